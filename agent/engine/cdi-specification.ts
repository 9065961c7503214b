import { parse } from 'yaml';
import { ShoalError } from '../../src/util/errors.ts';

/**
 * What a Container Device Interface specification says of devices (github.com/cncf-tags/container-device-interface,
 * SPEC.md), as far as it changes a container.
 */
export interface CdiSpecification {
  /** `vendor.com/class` */
  kind: string;
  devices: { name: string; edits: CdiEdits }[];
  /** For each container that has any of the devices. */
  edits: CdiEdits;
}

export interface CdiEdits {
  env: string[];
  deviceNodes: CdiDeviceNode[];
  mounts: { hostPath: string; containerPath: string; options: string[] }[];
  hooks: CdiHook[];
  additionalGids: number[];
}

export interface CdiDeviceNode {
  /** In the container. */
  path: string;
  /** On the host. */
  hostPath: string;
  /** Some of `r`, `w` and `m`. */
  permissions: string;
  fileMode?: number;
  uid?: number;
  gid?: number;
}

export interface CdiHook {
  hookName: string;
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

/** Hooks that the runtime knows (OCI runtime specification, "POSIX-platform Hooks"). */
const hookNames = new Set([
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
]);
const kindSyntax = /^[a-zA-Z][a-zA-Z0-9_.-]*\/[a-zA-Z][a-zA-Z0-9_.-]*$/;
const nameSyntax = /^[a-zA-Z0-9][a-zA-Z0-9_.:-]*$/;
const aliasesMax = 100;

/** Reads the text of a specification, JSON or YAML. Throws `invalid_argument` for what is none. */
export function parseCdi(text: string): CdiSpecification {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: aliasesMax });
  } catch (cause) {
    throw new ShoalError('invalid_argument', 'Cannot read the device specification', { cause });
  }
  const { kind, devices, containerEdits } = mapOf(value);
  return {
    kind: matching(kind, kindSyntax, 'kind'),
    devices: listOf(devices).map((entry) => {
      const device = mapOf(entry);
      return { name: matching(device['name'], nameSyntax, 'name'), edits: editsOf(device['containerEdits']) };
    }),
    edits: editsOf(containerEdits),
  };
}

function editsOf(value: unknown): CdiEdits {
  const { env, deviceNodes, mounts, hooks, additionalGids, additionalGIDs, intelRdt } = mapOf(value ?? {});
  if (intelRdt !== undefined) throw wrong('intelRdt is not supported');
  return {
    env: texts(env),
    deviceNodes: listOf(deviceNodes).map(deviceNode),
    mounts: listOf(mounts).map((entry) => {
      const mount = mapOf(entry);
      return {
        hostPath: path(mount['hostPath'], 'hostPath'),
        containerPath: path(mount['containerPath'], 'containerPath'),
        options: texts(mount['options']),
      };
    }),
    hooks: listOf(hooks).map(hook),
    additionalGids: listOf(additionalGids ?? additionalGIDs).map((gid) => number(gid, 'additionalGids')),
  };
}

function deviceNode(value: unknown): CdiDeviceNode {
  const node = mapOf(value);
  const { hostPath, permissions, fileMode, uid, gid } = node;
  const inside = path(node['path'], 'path');
  return {
    path: inside,
    hostPath: hostPath === undefined ? inside : path(hostPath, 'hostPath'),
    permissions: permissions === undefined ? 'rwm' : matching(permissions, /^[rwm]{1,3}$/, 'permissions'),
    ...(fileMode !== undefined && { fileMode: number(fileMode, 'fileMode') }),
    ...(uid !== undefined && { uid: number(uid, 'uid') }),
    ...(gid !== undefined && { gid: number(gid, 'gid') }),
  };
}

function hook(value: unknown): CdiHook {
  const { hookName, path: program, args, env, timeout } = mapOf(value);
  if (typeof hookName !== 'string' || !hookNames.has(hookName)) throw wrong('hookName is not known');
  return {
    hookName,
    path: path(program, 'path'),
    ...(args !== undefined && { args: texts(args) }),
    ...(env !== undefined && { env: texts(env) }),
    ...(timeout !== undefined && { timeout: number(timeout, 'timeout') }),
  };
}

function mapOf(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw wrong('there must be a map');
}

function listOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value as unknown[];
  throw wrong('there must be a list');
}

function texts(value: unknown): string[] {
  return listOf(value).map((entry) => {
    if (typeof entry === 'string') return entry;
    throw wrong('there must be strings');
  });
}

function matching(value: unknown, pattern: RegExp, name: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw wrong(`${name} is malformed`);
}

function path(value: unknown, name: string): string {
  return matching(value, /^\//, name);
}

function number(value: unknown, name: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw wrong(`${name} must be a number`);
}

function wrong(why: string): ShoalError {
  return new ShoalError('invalid_argument', `Cannot use the device specification: ${why}`);
}
