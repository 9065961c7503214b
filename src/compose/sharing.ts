import { fullName } from '../spec/names.ts';
import type { ServiceSpec, Sharing, TaskTemplate } from '../spec/service.ts';
import type { CanonicalModel, CanonicalService } from './model.ts';
import type { PathSegment } from './tree.ts';

/** A place where a service says that it takes something over from another. */
export interface Share {
  kind: 'network_mode' | 'ipc' | 'pid' | 'volumes_from';
  /** The key of the other service. */
  service: string;
  /** Below the service's own path. */
  path: PathSegment[];
}

const namespaces = ['network_mode', 'ipc', 'pid'] as const;

/** Every place where the service says so. */
export function sharesOf(service: Partial<CanonicalService>): Share[] {
  if (!mayShare(service)) return [];
  const shares: Share[] = [];
  for (const kind of namespaces) {
    const name = sharedService(service[kind]);
    if (name !== undefined) shares.push({ kind, service: name, path: [kind] });
  }
  for (const [index, entry] of service.volumes_from?.entries() ?? []) {
    if (isOfContainer(entry)) continue;
    shares.push({ kind: 'volumes_from', service: mountsSource(entry).name, path: ['volumes_from', index] });
  }
  return shares;
}

/** Whether the service says anything where it could take something over; nearly none does. */
function mayShare({
  network_mode: network,
  ipc,
  pid,
  volumes_from: volumes,
}: Partial<CanonicalService>): boolean {
  return (network ?? ipc ?? pid ?? volumes) !== undefined;
}

/** The NAME of `service:NAME`. */
export function sharedService(value: string | null | undefined): string | undefined {
  return value?.startsWith('service:') === true ? value.slice('service:'.length) : undefined;
}

/** `container:NAME`, which is never run. */
function isOfContainer(entry: string): boolean {
  return entry.startsWith('container:');
}

function mountsSource(entry: string): { name: string; readOnly: boolean } {
  const [name = '', access] = entry.split(':');
  return { name, readOnly: access === 'ro' };
}

/** Puts into the specs what their tasks take over from others, and beside whom they run. */
export function addSharing(specs: readonly ServiceSpec[], model: CanonicalModel): void {
  if (!Object.values(model.services).some(mayShare)) return;
  const leaders = leadersOf(model);
  const owners: Owners = {
    network_mode: ownersOf('network_mode', model),
    ipc: ownersOf('ipc', model),
    pid: ownersOf('pid', model),
  };
  for (const { key, task } of specs) {
    const leader = leaders.get(key);
    if (leader !== undefined) task.placement.with = fullName(model.name, leader);
    const sharing = sharingOf(key, model, owners);
    if (sharing === undefined) continue;
    task.sharing = sharing;
    addImageMounts(task, sharing, specs);
  }
}

/** Images are mounted for each task by itself: those that it takes over become its own, the later over the earlier. */
function addImageMounts(
  { container }: TaskTemplate,
  { mounts: sources = [] }: Sharing,
  specs: readonly ServiceSpec[],
): void {
  const images = sources.flatMap(({ service }) => {
    const source = specs.find(({ name }) => name === service);
    return source?.task.container.mounts.filter(({ type }) => type === 'image') ?? [];
  });
  for (const mount of images.toReversed()) {
    if (container.mounts.every(({ target }) => target !== mount.target)) container.mounts.push(mount);
  }
}

/** What tasks of the service take over, with chains followed to their ends; undefined when nothing. */
function sharingOf(key: string, model: CanonicalModel, owners: Owners): Sharing | undefined {
  if (!mayShare(model.services[key] ?? {})) return undefined;
  const sharing: Sharing = {};
  for (const [kind, part] of [
    ['network_mode', 'network'],
    ['ipc', 'ipc'],
    ['pid', 'pid'],
  ] as const) {
    const owner = owners[kind].get(key);
    if (owner !== undefined) sharing[part] = fullName(model.name, owner);
  }
  if ((model.services[key]?.volumes_from ?? []).length > 0) {
    sharing.mounts = mountSourcesOf(key, model).map(({ name, readOnly }) => ({
      service: fullName(model.name, name),
      readOnly,
    }));
  }
  return Object.keys(sharing).length === 0 ? undefined : sharing;
}

/** By each service that joins another's namespace: the one whose it is. */
type Owners = Record<(typeof namespaces)[number], ReadonlyMap<string, string>>;

/** A service that joins another's namespace has none of its own to share: each chain leads to its end. */
function ownersOf(kind: (typeof namespaces)[number], model: CanonicalModel): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const start of Object.keys(model.services)) {
    const way: string[] = [];
    let owner = start;
    for (;;) {
      // Circles have been refused.
      const next = owners.get(owner) ?? sharedService(model.services[owner]?.[kind]);
      if (next === undefined) break;
      way.push(owner);
      owner = next;
    }
    for (const key of way) owners.set(key, owner);
  }
  return owners;
}

/** A service may have the mounts of this many others, those that they took over themselves included. */
export const mountSourcesMax = 100;

/** Whose mounts the service has beside its own: what others took over themselves comes before theirs, for the later ones win. */
export function mountSourcesOf(key: string, model: CanonicalModel): { name: string; readOnly: boolean }[] {
  const sources = (of: string) =>
    (model.services[of]?.volumes_from ?? []).filter((entry) => !isOfContainer(entry)).map(mountsSource);
  const found = new Map<string, { name: string; readOnly: boolean }>();
  // From the end, so that of two ways to one service the later counts.
  const rest = sources(key);
  for (let next = rest.pop(); next !== undefined && found.size <= mountSourcesMax; next = rest.pop()) {
    const { name, readOnly } = next;
    if (found.has(name)) continue;
    found.set(name, next);
    rest.push(...sources(name).map((one) => ({ name: one.name, readOnly: one.readOnly || readOnly })));
  }
  return [...found.values()].toReversed();
}

/**
 * For each service that is to run beside another: the one that leads. Services that share, directly or through others,
 * are one group; it is led by the first by name of those that share with nobody, whatever their numbers of replicas,
 * so that scaling changes no leader.
 */
function leadersOf(model: CanonicalModel): Map<string, string> {
  const neighbours = new Map<string, string[]>();
  const link = (from: string, to: string) => {
    const list = neighbours.get(from);
    if (list === undefined) neighbours.set(from, [to]);
    else list.push(to);
  };
  for (const [key, service] of Object.entries(model.services)) {
    for (const share of sharesOf(service)) {
      link(key, share.service);
      link(share.service, key);
    }
  }
  const leaders = new Map<string, string>();
  const grouped = new Set<string>();
  for (const start of neighbours.keys()) {
    if (grouped.has(start)) continue;
    const group = new Set([start]);
    // A set grows while it is gone through.
    for (const key of group) for (const next of neighbours.get(key) ?? []) group.add(next);
    const leader = [...group].filter((key) => sharesOf(model.services[key] ?? {}).length === 0).toSorted()[0];
    for (const key of group) {
      grouped.add(key);
      if (leader !== undefined && key !== leader) leaders.set(key, leader);
    }
  }
  return leaders;
}
