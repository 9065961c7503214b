import { isWanted } from '../../src/spec/task.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import type { View } from '../store/objects.ts';
import type { Balance } from './balance.ts';
import { takesRoom, type NodeUse } from './node-use.ts';

/** Failures older than this are forgotten. */
const failureWindowMs = 5 * 60_000;
/** From this many on, a node comes after all that have fewer (SwarmKit's rule). */
const failuresDemote = 5;

/** How often this version of the service has failed of late, by node. */
export function recentFailures(
  serviceId: string,
  specVersion: number,
  view: View,
  now: number,
): Map<string, number> {
  const failures = new Map<string, number>();
  for (const { nodeId, specVersion: version, status } of view.tasksOfService(serviceId)) {
    if (nodeId === undefined || version !== specVersion || hasPassed(status.at, failureWindowMs, now))
      continue;
    if (status.state !== 'failed' && status.state !== 'rejected') continue;
    failures.set(nodeId, (failures.get(nodeId) ?? 0) + 1);
  }
  return failures;
}

/**
 * How many tasks of the service each node is about to lose: another of a later version is to take their place, here or elsewhere.
 * What is spread is what will be there when the step of the update is over.
 */
export function leavingTasks(serviceId: string, view: View): Map<string, number> {
  const newest = new Map<number, number>();
  const wanted = [...view.tasksOfService(serviceId)].filter((task) => task.slot > 0 && isWanted(task));
  for (const { slot, specVersion } of wanted) {
    newest.set(slot, Math.max(newest.get(slot) ?? 0, specVersion));
  }
  const leaving = new Map<string, number>();
  for (const task of wanted) {
    const { nodeId, slot, specVersion } = task;
    if (nodeId === undefined || !takesRoom(task) || specVersion === newest.get(slot)) continue;
    leaving.set(nodeId, (leaving.get(nodeId) ?? 0) + 1);
  }
  return leaving;
}

/** What is known of the nodes with regard to one version of a service. */
export interface Preferences {
  serviceId: string;
  /** Tasks of the service that nodes are about to lose. */
  leaving: ReadonlyMap<string, number>;
  /** Recent failures, by node. */
  failures: Map<string, number>;
  /** Nodes that hold data of its volumes. */
  volumes: Set<string>;
  /** How its tasks are spread. */
  balance: Balance;
}

/**
 * Whether a task of the service goes rather to `left` than to `right`: away from where it keeps failing, then as it is to
 * be spread, then to where fewest tasks of the service are, then to its data, then to where it failed least, where fewest tasks are in all, the lower id.
 */
export function isBetter(left: NodeUse, right: NodeUse, preferences: Preferences): boolean {
  const { serviceId, failures, volumes, balance, leaving } = preferences;
  const staying = (tasks: number, { node }: NodeUse) => tasks - (leaving.get(node.id) ?? 0);
  const failuresLeft = failures.get(left.node.id) ?? 0;
  const failuresRight = failures.get(right.node.id) ?? 0;
  const demoted = (count: number) => (count >= failuresDemote ? count : 0);
  const difference =
    demoted(failuresLeft) - demoted(failuresRight) ||
    balance.compare(left, right) ||
    staying(left.tasksOf(serviceId), left) - staying(right.tasksOf(serviceId), right) ||
    Number(volumes.has(right.node.id)) - Number(volumes.has(left.node.id)) ||
    failuresLeft - failuresRight ||
    staying(left.tasks, left) - staying(right.tasks, right);
  return difference === 0 ? left.node.id < right.node.id : difference < 0;
}
