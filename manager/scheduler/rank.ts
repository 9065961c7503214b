import type { TaskTemplate } from '../../src/spec/service.ts';
import type { View } from '../store/objects.ts';
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
    if (nodeId === undefined || version !== specVersion || status.at <= now - failureWindowMs) continue;
    if (status.state !== 'failed' && status.state !== 'rejected') continue;
    failures.set(nodeId, (failures.get(nodeId) ?? 0) + 1);
  }
  return failures;
}

/**
 * Whether a task of the service goes rather to `left` than to `right`: away from where it keeps failing, then to where fewest
 * tasks of the service are, then fewest failures, then fewest tasks in all, then the lower id.
 */
export function isBetter(
  left: NodeUse,
  right: NodeUse,
  serviceId: string,
  failures: Map<string, number>,
): boolean {
  const failuresLeft = failures.get(left.node.id) ?? 0;
  const failuresRight = failures.get(right.node.id) ?? 0;
  const demoted = (count: number) => (count >= failuresDemote ? count : 0);
  const difference =
    demoted(failuresLeft) - demoted(failuresRight) ||
    left.tasksOf(serviceId) - right.tasksOf(serviceId) ||
    failuresLeft - failuresRight ||
    left.tasks - right.tasks;
  return difference === 0 ? left.node.id < right.node.id : difference < 0;
}

/**
 * The node to which a task with a named volume should return, by slot: where the slot's last task that started is or was.
 * Empty for a template without a named volume.
 */
export function homeNodes(serviceId: string, template: TaskTemplate, view: View): Map<number, string> {
  const homes = new Map<number, string>();
  const { mounts } = template.container;
  if (!mounts.some((mount) => mount.type === 'volume' && mount.source !== undefined)) return homes;
  const latest = new Map<number, number>();
  for (const { slot, nodeId, status, createdAt } of view.tasksOfService(serviceId)) {
    if (nodeId === undefined || status.startedAt === undefined) continue;
    if (createdAt < (latest.get(slot) ?? 0)) continue;
    latest.set(slot, createdAt);
    homes.set(slot, nodeId);
  }
  return homes;
}
