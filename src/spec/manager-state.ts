import type { Node } from './node.ts';

/**
 * What a node is among the managers, as people know it from Swarm. `Standby`: it has a copy of everything and no vote. `Joining`: it waits
 * for its place. `Leaving`: it is to be a worker, and is a manager still.
 */
export type ManagerState = 'Leader' | 'Reachable' | 'Unreachable' | 'Standby' | 'Joining' | 'Leaving';

/** Undefined for a worker. `leader`: `HOST:PORT` of the manager that leads, when it is known. */
export function managerState(node: Node, leader: string | undefined): ManagerState | undefined {
  const { role, manager, status } = node;
  if (role !== 'manager') return manager?.member === undefined ? undefined : 'Leaving';
  if (leader !== undefined && manager?.address === leader) return 'Leader';
  if (status.state === 'down') return 'Unreachable';
  if (manager?.member?.phase === 'voting') return 'Reachable';
  return manager?.member?.phase === 'started' ? 'Standby' : 'Joining';
}
