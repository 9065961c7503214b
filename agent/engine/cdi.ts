import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseCdiDevices } from '../../src/spec/host-features.ts';
import type { CdiRequest } from '../../src/spec/settings.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { parseCdi, type CdiEdits } from './cdi-specification.ts';
import { describeDevice } from './devices.ts';
import { missing } from './image-root.ts';
import type { OciSpecification } from './specification.ts';

/** Where specifications lie; what is in the later folder wins (CDI, SPEC.md). */
const folders = ['/etc/cdi', '/var/run/cdi'];
const fileBytesMax = 4 * 1024 * 1024;
const filesMax = 200;
/** A host does not announce more devices than this. */
const devicesMax = 1_000;

/** A device with what it changes in a container. */
interface CdiDevice {
  edits: CdiEdits;
  /** What all devices of its specification change. */
  common: CdiEdits;
}

/** The devices that this host's specifications describe, read anew each time: they come and go with drivers. */
export class CdiDevices {
  readonly #folders: readonly string[];
  readonly #log: Logger;

  constructor(log: Logger, directories: readonly string[] = folders) {
    this.#folders = directories;
    this.#log = log;
  }

  /** Full names, `vendor.com/class=name`, sorted. */
  async names(): Promise<string[]> {
    return [...(await this.#read()).keys()].sort().slice(0, devicesMax);
  }

  /** The specification with what the devices change. Throws `failed_precondition` when this host has too few. */
  async apply(specification: OciSpecification, requests: readonly CdiRequest[]): Promise<OciSpecification> {
    if (requests.length === 0) return specification;
    const devices = await this.#read();
    const wanted = new Set(requests.flatMap((request) => chosen(request, [...devices.keys()])));
    const edits = [...wanted].map((name) => devices.get(name)!);
    const common = new Set(edits.map((device) => device.common));
    let result = specification;
    for (const edit of [...common, ...edits.map((device) => device.edits)]) {
      result = await withEdits(result, edit);
    }
    return result;
  }

  async #read(): Promise<Map<string, CdiDevice>> {
    const devices = new Map<string, CdiDevice>();
    for (const folder of this.#folders) {
      const names = ((await readdir(folder).catch(missing)) ?? []).filter((name) =>
        /\.(?:json|ya?ml)$/.test(name),
      );
      for (const name of names.sort().slice(0, filesMax)) {
        await this.#readFile(join(folder, name), devices).catch((error: unknown) =>
          this.#log.warn('a device specification is passed over', {
            path: join(folder, name),
            error: messageOf(error),
          }),
        );
      }
    }
    return devices;
  }

  async #readFile(path: string, devices: Map<string, CdiDevice>): Promise<void> {
    const { size } = await stat(path);
    if (size > fileBytesMax)
      throw new ShoalError('resource_exhausted', `it is larger than ${fileBytesMax} bytes`);
    const { kind, devices: described, edits: common } = parseCdi(await readFile(path, 'utf8'));
    for (const { name, edits } of described) devices.set(`${kind}=${name}`, { edits, common });
  }
}

function chosen(request: CdiRequest, names: string[]): string[] {
  const found = chooseCdiDevices(request, names);
  if (found) return found;
  const what =
    'device' in request ? `the device ${request.device}` : `${request.count} devices ${request.kind}`;
  throw new ShoalError('failed_precondition', `Cannot give ${what}: this host does not have them any more`, {
    next: 'Look at the device specifications in /etc/cdi and /var/run/cdi on the host.',
  });
}

/** The specification with these edits. Throws `failed_precondition` for a device node that is not there. */
async function withEdits(specification: OciSpecification, edits: CdiEdits): Promise<OciSpecification> {
  const { process, mounts, linux, hooks = {} } = specification;
  const nodes = await Promise.all(
    edits.deviceNodes.map(async ({ path, hostPath, permissions, ...own }) => ({
      node: { ...(await describeDevice(hostPath, path)), ...own },
      permissions,
    })),
  );
  const named = new Set(edits.env.map((line) => line.split('=', 1)[0]));
  return {
    ...specification,
    process: {
      ...process,
      env: [...process.env.filter((line) => !named.has(line.split('=', 1)[0])), ...edits.env],
      user: { ...process.user, additionalGids: [...process.user.additionalGids, ...edits.additionalGids] },
    },
    mounts: [
      ...mounts,
      ...edits.mounts.map(({ hostPath, containerPath, options }) => ({
        destination: containerPath,
        type: 'bind',
        source: hostPath,
        options: options.some((option) => /^r?bind$/.test(option)) ? options : ['rbind', ...options],
      })),
    ],
    linux: {
      ...linux,
      devices: [...linux.devices, ...nodes.map(({ node }) => node)],
      resources: {
        ...linux.resources,
        devices: [
          ...linux.resources.devices,
          ...nodes.map(({ node: { type, major, minor }, permissions }) => ({
            allow: true,
            access: permissions,
            type,
            major,
            minor,
          })),
        ],
      },
    },
    ...(edits.hooks.length > 0 || specification.hooks ? { hooks: withHooks(hooks, edits) } : {}),
  };
}

function withHooks(hooks: NonNullable<OciSpecification['hooks']>, edits: CdiEdits) {
  const all = { ...hooks };
  for (const { hookName, ...hook } of edits.hooks) all[hookName] = [...(all[hookName] ?? []), hook];
  return all;
}
