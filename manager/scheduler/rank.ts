import { hasPassed } from '../../src/util/steady-clock.ts';
import type { View } from '../store/objects.ts';
import type { Balance } from './balance.ts';
import type { NodeUse } from './node-use.ts';

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

/** What is known of the nodes with regard to one version of a service. */
export interface Preferences {
  serviceId: string;
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
  const { serviceId, failures, volumes, balance } = preferences;
  const failuresLeft = failures.get(left.node.id) ?? 0;
  const failuresRight = failures.get(right.node.id) ?? 0;
  const demoted = (count: number) => (count >= failuresDemote ? count : 0);
  const difference =
    demoted(failuresLeft) - demoted(failuresRight) ||
    balance.compare(left, right) ||
    left.tasksOf(serviceId) - right.tasksOf(serviceId) ||
    Number(volumes.has(right.node.id)) - Number(volumes.has(left.node.id)) ||
    failuresLeft - failuresRight ||
    left.tasks - right.tasks;
  return difference === 0 ? left.node.id < right.node.id : difference < 0;
}
