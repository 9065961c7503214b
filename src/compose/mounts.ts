import { posix } from 'node:path';
import { parseBytes, parseFileMode } from './values.ts';

/** A volume of a service in Compose's long form. */
export interface ShortMount {
  type: 'volume' | 'bind';
  source?: string;
  target: string;
  read_only?: boolean;
  bind?: { propagation?: string; selinux?: string };
  volume?: { nocopy?: boolean };
}

/** `ignored` are options that mean something, but not to a mount of this type. */
export type ShortMounts = { mount: ShortMount; ignored: string[] } | { fault: string; hint: string };

const example = 'write NAME:/path, /host/path:/path or either with :ro';
const propagations = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']);

/** Reads `[SOURCE:]TARGET[:OPTION,…]` (Compose specification, "volumes", short syntax). */
export function parseShortMount(text: string): ShortMounts {
  const parts = text.split(':');
  if (parts.includes('')) {
    return { fault: `${JSON.stringify(text)} has an empty part`, hint: example };
  }
  if (parts.length > 3) return { fault: `${JSON.stringify(text)} has too many colons`, hint: example };
  if (parts.length > 1 && /^[a-zA-Z]$/u.test(parts[0]!)) {
    return {
      fault: `${JSON.stringify(parts[0])} is read as a Windows drive`,
      hint: 'give the volume a name of two letters or more',
    };
  }
  if (parts.length === 1) return { mount: { type: 'volume', target: cleanPath(text) }, ignored: [] };
  const [source = '', target = '', options = ''] = parts;
  const isBind = /^[./~\\]/u.test(source);
  const mount: ShortMount = {
    type: isBind ? 'bind' : 'volume',
    source,
    target: cleanPath(target),
    ...(isBind ? { bind: {} } : { volume: {} }),
  };
  const ignored: string[] = [];
  for (const option of options === '' ? [] : options.split(',')) {
    if (applyOption(mount, option)) continue;
    if (propagations.has(option) || option === 'nocopy' || option === 'z' || option === 'Z') {
      ignored.push(option);
      continue;
    }
    return {
      fault: `${JSON.stringify(option)} is not an option of a ${isBind ? 'bind mount' : 'volume'}`,
      hint: isBind ? 'write ro or rw' : 'write ro, rw or nocopy',
    };
  }
  return { mount, ignored };
}

/** What Docker Desktop makes of a mount; on Linux they have no effect. */
const consistencies = new Set(['consistent', 'cached', 'delegated']);

/** Whether the option means something to a mount of this type. */
function applyOption(mount: ShortMount, option: string): boolean {
  if (option === 'ro' || option === 'rw') {
    if (option === 'ro') mount.read_only = true;
    else delete mount.read_only;
    return true;
  }
  if (consistencies.has(option)) return true;
  if (mount.type === 'volume') {
    if (option === 'nocopy') mount.volume = { nocopy: true };
    return option === 'nocopy' || option === 'copy';
  }
  if (propagations.has(option)) mount.bind!.propagation = option;
  else if (option === 'z' || option === 'Z') mount.bind!.selinux = option;
  else return false;
  return true;
}

/** Where a container has a secret or config: a target that is no absolute path is below a folder of its kind. */
export function fileTarget(kind: 'secrets' | 'configs', file: { source: string; target?: string }): string {
  return posix.resolve(kind === 'secrets' ? '/run/secrets' : '/', file.target ?? file.source);
}

/** The path without `.`, `..`, doubled or trailing slashes. */
export function cleanPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

export interface TmpfsMount {
  target: string;
  sizeBytes?: number;
  mode?: number;
  options?: string[];
}

/** Options of tmpfs and of every file system (tmpfs(5), mount(8)) that a container may choose. */
const tmpfsOption =
  /^(?:(?:uid|gid|nr_inodes|nr_blocks)=\d{1,10}[kmg]?|ro|rw|(?:no)?(?:exec|suid|dev|atime|diratime)|relatime|strictatime|sync|async)$/u;

/** Reads `PATH[:OPTION,…]` (`tmpfs` of a service); undefined for anything else. */
export function parseTmpfs(text: string): TmpfsMount | undefined {
  const [path = '', options = '', ...rest] = text.split(':');
  if (!path.startsWith('/') || rest.length > 0) return undefined;
  const mount: TmpfsMount = { target: cleanPath(path) };
  for (const option of options === '' ? [] : options.split(',')) {
    const [name, value = ''] = option.split('=');
    const sizeBytes = name === 'size' ? parseBytes(value) : undefined;
    const mode = name === 'mode' ? parseFileMode(value) : undefined;
    if (sizeBytes !== undefined) mount.sizeBytes = sizeBytes;
    else if (mode !== undefined) mount.mode = mode;
    else if (tmpfsOption.test(option)) (mount.options ??= []).push(option);
    else return undefined;
  }
  return mount;
}
