import { parseSubnet } from '../../src/spec/address.ts';
import { describeConstraint, nodeSatisfies, parseConstraint } from '../../src/spec/constraint.ts';
import { hostNeeds } from '../../src/spec/host-features.ts';
import { nodeConditions, type NodeConditionType } from '../../src/spec/node.ts';
import { portName, portsClash } from '../../src/spec/port.ts';
import { openPorts } from '../../src/spec/published-port.ts';
import type { TaskTemplate } from '../../src/spec/service.ts';
import { connectedOverlap } from '../../src/spec/underlay.ts';
import { assert } from '../../src/util/errors.ts';
import { count, formatBytes } from '../../src/util/text.ts';
import { damageOfNode, damageOfServiceObject } from '../store/damage.ts';
import type { View } from '../store/objects.ts';
import { hostPathFilters } from './host-paths.ts';
import { fixedHostPorts, type Filter, type NodeUse } from './node-use.ts';
import type { VolumeHomes } from './volume-homes.ts';

/** The filters for the tasks of one service with one template. */
export interface Filters {
  /** Those whose answer stays the same while a plan is made. */
  fixed: Filter[];
  /** Those whose answer changes with every task placed. */
  changing: Filter[];
}

/** Throws `invalid_argument` when a constraint cannot be read. */
export function filtersFor(
  serviceId: string,
  template: TaskTemplate,
  view: View,
  volumes: VolumeHomes,
  now: number,
): Filters {
  return {
    fixed: [
      ...stateFilters,
      ...constraintFilters(template),
      ...featureFilters(template),
      ...networkFilters(template, view),
      ...hostPathFilters(serviceId, template, view, now),
    ],
    changing: [
      ...volumes.filtersOf(serviceId, template),
      ...resourceFilters(template),
      ...hostPortFilters(serviceId, template, view),
      ...maxReplicasFilters(serviceId, template),
    ],
  };
}

/** Those that a node fails whatever else runs there and however it is just now. */
export function lastingFilters(template: TaskTemplate): Filter[] {
  return [...constraintFilters(template), ...featureFilters(template), ...resourceFilters(template)];
}

/** The conditions for which no new task goes to a node, by their name in `shoal node ls`. */
const keepingAway = (Object.keys(nodeConditions) as NodeConditionType[]).filter(
  (type) => nodeConditions[type].keepsTasksAway,
);

const stateFilters: Filter[] = [
  // First, for the others rely on what it says.
  { explain: 'stored node object damaged', fits: ({ node }) => damageOfNode(node) === undefined },
  { explain: 'not ready', fits: ({ node }) => node.status.state === 'ready' },
  ...keepingAway.map((type) => ({
    explain: type,
    fits: ({ node }: NodeUse) => node.conditions?.some((condition) => condition.type === type) !== true,
  })),
  { explain: 'drained', fits: ({ node }) => node.availability !== 'drain' },
  { explain: 'paused', fits: ({ node }) => node.availability !== 'pause' },
];

function constraintFilters(template: TaskTemplate): Filter[] {
  return template.placement.constraints.map(parseConstraint).map((constraint) => ({
    explain: `constraint ${describeConstraint(constraint)}`,
    fits: ({ node }) => nodeSatisfies(node, constraint),
  }));
}

function featureFilters(template: TaskTemplate): Filter[] {
  return hostNeeds(template).map(({ explain, isMet }) => ({
    explain,
    fits: ({ node }) => isMet(node.description),
  }));
}

/**
 * A node that has just joined has no bridge address on the task's networks for a moment. A node that is itself on a network
 * with the same addresses would lose it.
 */
function networkFilters(template: TaskTemplate, view: View): Filter[] {
  return template.networks.flatMap(({ name }) => {
    const { bridgeAddresses = {}, subnet } = view.networkByName(name) ?? {};
    const parsed = subnet === undefined ? undefined : parseSubnet(subnet);
    const overlaps = ({ node: { description } }: NodeUse) =>
      parsed !== undefined &&
      description?.underlay !== undefined &&
      connectedOverlap(description.underlay, parsed) !== undefined;
    return [
      {
        explain: `no bridge address for network ${name}`,
        fits: ({ node }: NodeUse) => Object.hasOwn(bridgeAddresses, node.id),
      },
      {
        explain: `subnet ${subnet} of network ${name} in use by the host itself`,
        fits: (use: NodeUse) => !overlaps(use),
      },
    ];
  });
}

function resourceFilters({ reservations }: TaskTemplate): Filter[] {
  const { nanoCpus = 0, memoryBytes = 0 } = reservations;
  return [
    ...(nanoCpus > 0 ? [roomFilter('CPU', () => nanoCpus)] : []),
    ...(memoryBytes > 0 ? [roomFilter('memory', () => memoryBytes)] : []),
  ];
}

const rooms = {
  CPU: { key: 'nanoCpus', show: (nanoCpus: number) => String(Number((nanoCpus / 1e9).toFixed(2))) },
  memory: { key: 'memoryBytes', show: formatBytes },
} as const;

/** Whether a node has as much left to reserve as `wanted`; `why` is added to the reason. */
export function roomFilter(room: keyof typeof rooms, wanted: (use: NodeUse) => number, why = ''): Filter {
  const { key, show } = rooms[room];
  const freeOf = (use: NodeUse) => Math.max(0, (use.node.description?.[key] ?? 0) - use[key]);
  return {
    explain: `insufficient ${room}${why}`,
    fits: (use) => use[key] + wanted(use) <= (use.node.description?.[key] ?? 0),
    detail: (uses) => {
      const most = uses.map((use) => ({ wanted: wanted(use), free: freeOf(use) }));
      most.sort((left, right) => right.free - left.free);
      const texts = most.map((each) => show(each.free));
      const isSame = texts.length > 1 && texts.every((text) => text === texts[0]);
      const told = texts.length > roomsToldMax ? `at most ${texts[0]}` : joined(texts);
      const free = isSame ? `${texts[0]} free on each` : `${told} free`;
      return `${show(Math.max(...most.map((each) => each.wanted)))} wanted, ${free}`;
    },
  };
}

/** Of more nodes than this only the one with the most room is told. */
const roomsToldMax = 3;

/** `a`, `a and b`, `a, b and c`. */
function joined(texts: string[]): string {
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} and ${texts.at(-1)}`;
}

/** A port is also in use where another service publishes it on every host. */
function hostPortFilters(serviceId: string, template: TaskTemplate, view: View): Filter[] {
  const wanted = fixedHostPorts(template.hostPorts);
  if (wanted.length === 0) return [];
  const ingress = [...view.services.values()]
    .filter((service) => service.id !== serviceId && damageOfServiceObject(service) === undefined)
    .flatMap(openPorts);
  return wanted.map((port) => {
    const isPublished = ingress.some((other) => portsClash(other, port));
    return {
      explain: `port ${portName(port)} in use`,
      fits: (use) => !isPublished && !use.hostPorts.some((other) => portsClash(other, port)),
    };
  });
}

function maxReplicasFilters(serviceId: string, { placement }: TaskTemplate): Filter[] {
  const { maxReplicasPerNode: max } = placement;
  if (max === 0) return [];
  return [{ explain: `max replicas per node (${max}) reached`, fits: (use) => use.tasksOf(serviceId) < max }];
}

/**
 * Why none of the nodes will do, for a person: `no suitable node: insufficient memory on 2 nodes (2 GiB wanted, 1.1 GiB and 300 MiB
 * free), constraint node.labels.disk == ssd on 1`. Each node counts for the first filter it fails; the most frequent reason
 * comes first.
 */
export function explainNodes(uses: Iterable<NodeUse>, filters: Filters): string {
  const failing = new Map<string, { filter: Filter; uses: NodeUse[] }>();
  for (const use of uses) {
    const filter = failedFilter(use, filters);
    if (filter === undefined) continue;
    const known = failing.get(filter.explain);
    if (known === undefined) failing.set(filter.explain, { filter, uses: [use] });
    else known.uses.push(use);
  }
  if (failing.size === 0) return 'no suitable node: the cluster has no nodes';
  const reasons = [...failing.values()]
    .sort((left, right) => right.uses.length - left.uses.length)
    .map(({ filter, uses: kept }, index) => {
      const where = index === 0 ? count(kept.length, 'node') : String(kept.length);
      return `${filter.explain} on ${where}${detailOf(filter, kept)}`;
    });
  return `no suitable node: ${reasons.join(', ')}`;
}

/** Why the node will not do: the first filter that it fails, in its words and with its figures. */
export function firstFailed(use: NodeUse, filters: Filters): string | undefined {
  const failed = failedFilter(use, filters);
  return failed && `${failed.explain}${figuresOf(failed, use)}`;
}

function failedFilter(use: NodeUse, { fixed, changing }: Filters): Filter | undefined {
  return [...fixed, ...changing].find((filter) => !filter.fits(use));
}

/** Why one given node will not do, in the same words. */
export function explainNode(use: NodeUse | undefined, filters: Filters): string {
  if (use === undefined) return 'no suitable node: its node is gone';
  const failed = failedFilter(use, filters);
  assert(failed !== undefined, 'a node that does not fit fails a filter');
  const where = use.node.description?.hostname ?? use.node.id;
  return `no suitable node: ${failed.explain} on ${where}${figuresOf(failed, use)}`;
}

/** The same for one node, whose name is told anyway. */
function figuresOf(filter: Filter, use: NodeUse): string {
  return filter.namesNodes === true ? '' : detailOf(filter, [use]);
}

/** The figures behind a filter's reason, in brackets; nothing where there are none. */
export function detailOf(filter: Filter, uses: NodeUse[]): string {
  return filter.detail === undefined ? '' : ` (${filter.detail(uses)})`;
}
