import type { VolumeDriverOptions } from '../spec/resource.ts';
import { driverOptionsFault } from '../spec/volume-options.ts';
import type { Diagnostics } from './diagnostic.ts';
import { serviceMode } from './deploy.ts';
import type { CanonicalModel, CanonicalVolume } from './model.ts';
import { speakerOf, type Speaker } from './speaker.ts';
import type { TreeNode } from './tree.ts';

const kinds = ['networks', 'volumes', 'secrets', 'configs'] as const;

/** Networks that Docker's hosts have of themselves, and what to write for them. */
const predefined: ReadonlyMap<string, string> = new Map([
  ['host', 'write network_mode: host at the service'],
  ['none', 'write network_mode: none at the service'],
]);

/** Checks what the top level says of networks, volumes, secrets and configs. Reports with places from `tree`. */
export function checkResources(model: CanonicalModel, tree: TreeNode, diagnostics: Diagnostics): void {
  const speaker = speakerOf(tree, diagnostics);
  checkExternal(model, speaker);
  checkDriverOptions(model, speaker);
  checkJoinedTwice(model, speaker);
  checkHomes(model, speaker);
}

/** As compose-go does: beside `external` a volume may say nothing but `name`; what others say means nothing. */
function checkExternal(model: CanonicalModel, { complain, refuse, warn }: Speaker): void {
  for (const kind of kinds) {
    const noun = kind.slice(0, -1);
    for (const [key, entry] of Object.entries(model[kind] ?? {})) {
      if (entry.external !== true) continue;
      for (const name of Object.keys(entry)) {
        if (name === 'name' || name === 'external' || name.startsWith('x-')) continue;
        const report = kind === 'volumes' ? complain : warn;
        const what = kind === 'volumes' ? 'conflicting parameters' : 'it means nothing';
        report([kind, key, name], `${what}: the ${noun} is external`, 'leave out one of them');
      }
      const instead = kind === 'networks' ? predefined.get(entry.name) : undefined;
      if (instead !== undefined) refuse([kind, key], `${entry.name} is not a network here`, instead);
    }
  }
}

function checkDriverOptions(model: CanonicalModel, { refuse }: Speaker): void {
  for (const [key, { driver = 'local', driver_opts: options }] of Object.entries(model.volumes ?? {})) {
    if (driver !== 'local' || options === undefined || Object.keys(options).length === 0) continue;
    const path = ['volumes', key, 'driver_opts'];
    if (options.device === undefined) {
      refuse(path, 'what to mount is missing', 'add device, and type or o: bind');
      continue;
    }
    // Values that are none have been told of.
    const texts = Object.entries(options).filter(([, value]: [string, unknown]) => typeof value === 'string');
    const fault = driverOptionsFault(Object.fromEntries(texts) as unknown as VolumeDriverOptions);
    if (fault !== undefined) refuse([...path, ...fault.at], fault.why, fault.hint);
  }
}

/** A volume that is a folder of a host is on one host, and what uses it runs there. */
function checkHomes(model: CanonicalModel, { warn }: Speaker): void {
  for (const [key, service] of Object.entries(model.services)) {
    const mode = serviceMode(service);
    const replicas = mode.kind === 'global' ? 1 : mode.replicas;
    if (replicas < 2) continue;
    for (const [index, { type, source = '' }] of service.volumes?.entries() ?? []) {
      const volume = Object.hasOwn(model.volumes ?? {}, source) ? model.volumes?.[source] : undefined;
      if (type !== 'volume' || volume === undefined || !isOnOneHost(volume)) continue;
      warn(
        ['services', key, 'volumes', index],
        `the volume ${source} is on one host, and all ${replicas} replicas run there`,
        `for a copy on each host write x-shoal-volume: per-node under volumes.${source}`,
      );
    }
  }
}

/** What is external may be mounted, or not: its file does not say. */
function isOnOneHost({ external, driver_opts: options, 'x-shoal-volume': kind }: CanonicalVolume): boolean {
  return external !== true && options?.device === undefined && kind === undefined;
}

/** Two keys may mean one external network, but not for one service. */
function checkJoinedTwice(model: CanonicalModel, { refuse }: Speaker): void {
  for (const key of Object.keys(model.services)) {
    const networks = Object.keys(model.services[key]!.networks);
    if (networks.length < 2) continue;
    const joined = new Map<string, string>();
    for (const network of networks) {
      const name = model.networks?.[network]?.name;
      if (name === undefined) continue;
      const earlier = joined.get(name);
      if (earlier === undefined) joined.set(name, network);
      else {
        const path = ['services', key, 'networks', network];
        refuse(path, `it is the network of ${earlier}, called ${name}`, 'join it once');
      }
    }
  }
}
