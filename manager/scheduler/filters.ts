import { parseSubnet } from '../../src/spec/address.ts';
import { describeConstraint, nodeSatisfies, parseConstraint } from '../../src/spec/constraint.ts';
import { hostNeeds } from '../../src/spec/host-features.ts';
import { nodeConditions, type NodeConditionType } from '../../src/spec/node.ts';
import { portName, portsClash } from '../../src/spec/port.ts';
import type { TaskTemplate } from '../../src/spec/service.ts';
import { connectedOverlap } from '../../src/spec/underlay.ts';
import { assert } from '../../src/util/errors.ts';
import { damageOfNode, damageOfServiceObject } from '../store/damage.ts';
import type { View } from '../store/objects.ts';
import { fixedHostPorts, type NodeUse } from './node-use.ts';

/** One reason why a task may not go to a node. */
export interface Filter {
  fits(use: NodeUse): boolean;
  /** Reads well before "on 2 nodes". */
  explain: string;
}

/** The filters for the tasks of one service with one template. */
export interface Filters {
  /** Those whose answer stays the same while a plan is made. */
  fixed: Filter[];
  /** Those whose answer changes with every task placed. */
  changing: Filter[];
}

/** Throws `invalid_argument` when a constraint cannot be read. */
export function filtersFor(serviceId: string, template: TaskTemplate, view: View): Filters {
  return {
    fixed: [
      ...stateFilters,
      ...constraintFilters(template),
      ...featureFilters(template),
      ...networkFilters(template, view),
    ],
    changing: [
      ...resourceFilters(template),
      ...hostPortFilters(serviceId, template, view),
      ...maxReplicasFilters(serviceId, template),
    ],
  };
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
  const filters: Filter[] = [];
  if (nanoCpus > 0) {
    filters.push({
      explain: 'insufficient CPU',
      fits: (use) => use.nanoCpus + nanoCpus <= (use.node.description?.nanoCpus ?? 0),
    });
  }
  if (memoryBytes > 0) {
    filters.push({
      explain: 'insufficient memory',
      fits: (use) => use.memoryBytes + memoryBytes <= (use.node.description?.memoryBytes ?? 0),
    });
  }
  return filters;
}

/** A port is also in use where another service publishes it on every host. */
function hostPortFilters(serviceId: string, template: TaskTemplate, view: View): Filter[] {
  const wanted = fixedHostPorts(template.hostPorts);
  if (wanted.length === 0) return [];
  const ingress = [...view.services.values()]
    .filter((service) => service.id !== serviceId && damageOfServiceObject(service) === undefined)
    .flatMap((service) => service.endpoint?.ports ?? []);
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
 * Why none of the nodes will do, for a person: `no suitable node: insufficient memory on 2 nodes, constraint
 * node.labels.disk == ssd on 1`. Each node counts for the first filter it fails; the most frequent reason comes first.
 */
export function explainNodes(uses: Iterable<NodeUse>, { fixed, changing }: Filters): string {
  const counts = new Map<string, number>();
  for (const use of uses) {
    const failed = [...fixed, ...changing].find((filter) => !filter.fits(use));
    if (failed) counts.set(failed.explain, (counts.get(failed.explain) ?? 0) + 1);
  }
  if (counts.size === 0) return 'no suitable node: the cluster has no nodes';
  const reasons = [...counts]
    .sort(([, left], [, right]) => right - left)
    .map(([explain, count], index) => {
      const unit = count === 1 ? ' node' : ' nodes';
      return `${explain} on ${count}${index === 0 ? unit : ''}`;
    });
  return `no suitable node: ${reasons.join(', ')}`;
}

/** Why one given node will not do, in the same words. */
export function explainNode(use: NodeUse | undefined, { fixed, changing }: Filters): string {
  if (use === undefined) return 'no suitable node: its node is gone';
  const failed = [...fixed, ...changing].find((filter) => !filter.fits(use));
  assert(failed !== undefined, 'a node that does not fit fails a filter');
  return `no suitable node: ${failed.explain} on ${use.node.description?.hostname ?? use.node.id}`;
}
