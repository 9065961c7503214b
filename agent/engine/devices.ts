import type { Stats } from 'node:fs';
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { ContainerSettings, Device } from '../../src/spec/settings.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** A device node as the runtime is to make it (OCI runtime specification, "Devices"). */
export interface OciDevice {
  path: string;
  type: 'c' | 'b';
  major: number;
  minor: number;
  fileMode: number;
  uid: number;
  gid: number;
}

/** A rule of the device controller. */
export interface DeviceRule {
  allow: boolean;
  access: string;
  type?: string;
  major?: number;
  minor?: number;
}

export interface ContainerDevices {
  nodes: OciDevice[];
  rules: DeviceRule[];
}

/** A host with more devices than this below one folder is not described to a container. */
const devicesMax = 4096;
/** What a container has one of its own of, or must not see even when it is privileged. */
const ownFolders = new Set(['/dev/pts', '/dev/shm', '/dev/fd', '/dev/mqueue', '/dev/console', '/dev/ptmx']);

/** The devices of this host that a container gets. Throws `failed_precondition` when the host does not have one. */
export async function devicesOf(settings: ContainerSettings): Promise<ContainerDevices> {
  if (settings.privileged) {
    const nodes = await nodesBelow('/dev', '/dev');
    return { nodes, rules: [{ allow: true, access: 'rwm' }] };
  }
  const found = await Promise.all((settings.devices ?? []).map(deviceNodes));
  return {
    nodes: found.flatMap(({ nodes }) => nodes),
    rules: [
      // everything is denied; the runtime itself allows null, zero, full, random, urandom, tty, console, ptmx, pts and mknod
      { allow: false, access: 'rwm' },
      ...found.flatMap(({ nodes, permissions }) =>
        nodes.map(({ type, major, minor }) => ({ allow: true, access: permissions, type, major, minor })),
      ),
      ...(settings.deviceRules ?? []).map(parseRule),
    ],
  };
}

/** The device with this path on the host as a container gets it. Throws `failed_precondition` when there is none. */
export async function describeDevice(source: string, target: string): Promise<OciDevice> {
  const status = await stat(source).catch(() => undefined); // said below, in words
  if (!status) throw missing(source, 'this host has none');
  const node = nodeOf(target, status);
  if (!node) throw missing(source, 'on this host it is no device');
  return node;
}

async function deviceNodes({ source, target, permissions }: Device) {
  const place = await realpath(source).catch(() => undefined); // said below, in words
  const status = place === undefined ? undefined : await stat(place);
  if (place === undefined || !status) throw missing(source, 'this host has none');
  if (status.isDirectory()) return { nodes: await nodesBelow(place, target), permissions };
  const node = nodeOf(target, status);
  if (!node) throw missing(source, 'on this host it is no device');
  return { nodes: [node], permissions };
}

function missing(source: string, why: string): ShoalError {
  return new ShoalError('failed_precondition', `Cannot use the device ${source}: ${why}`, {
    next: 'Keep the service to hosts that have it, by a placement constraint.',
  });
}

/** Every device below a folder of the host, as it is called below `target`. Links are not followed. */
async function nodesBelow(folder: string, target: string): Promise<OciDevice[]> {
  const nodes: OciDevice[] = [];
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    for (const name of await readdir(next)) {
      const path = join(next, name);
      if (ownFolders.has(path)) continue;
      const status = await lstat(path).catch(() => undefined); // devices come and go
      if (status?.isDirectory()) folders.push(path);
      const node = status && nodeOf(join(target, relative(folder, path)), status);
      if (node) nodes.push(node);
      if (nodes.length > devicesMax) {
        throw new ShoalError(
          'failed_precondition',
          `Cannot give the devices below ${folder}: there are too many`,
        );
      }
    }
  }
  return nodes;
}

function nodeOf(path: string, { mode, rdev, uid, gid }: Stats): OciDevice | undefined {
  const isCharacter = (mode & fileTypes.mask) === fileTypes.character;
  if (!isCharacter && (mode & fileTypes.mask) !== fileTypes.block) return undefined;
  // makedev(3): 12 bits of the major number and 20 of the minor, folded
  const number = BigInt(rdev);
  const major = Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn));
  const minor = Number((number & 0xffn) | ((number >> 12n) & ~0xffn));
  return { path, type: isCharacter ? 'c' : 'b', major, minor, fileMode: mode & 0o777, uid, gid };
}

/** File types in the mode (inode(7)). */
const fileTypes = { mask: 0o170000, character: 0o020000, block: 0o060000 };

/** `TYPE MAJOR:MINOR ACCESS` with `*` for any (cgroup v1 devices.txt). */
function parseRule(text: string): DeviceRule {
  const [, type, major, minor, access] = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text) ?? [];
  if (type === undefined || access === undefined) {
    throw new ShoalError('invalid_argument', `Cannot use the device rule ${JSON.stringify(text)}`, {
      next: 'Write it as c 1:3 rwm.',
    });
  }
  return {
    allow: true,
    access,
    type,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
  };
}
