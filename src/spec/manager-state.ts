import type { Node } from './node.ts';

/**
 * What a node is among the managers, as people know it from Swarm. `Standby`: it has a copy of everything and no vote. `Joining`: it waits
 * for its place. `Leaving`: it is to be a worker, and is a manager still.
 */
export type ManagerState = 'Leader' | 'Reachable' | 'Unreachable' | 'Standby' | 'Joining' | 'Leaving';

/** Whether a manager runs on the node: one that is to be a worker is one until its member of the store is gone. */
export function isManager({ role, manager }: Pick<Node, 'role' | 'manager'>): boolean {
  return role === 'manager' || manager?.member !== undefined;
}

/** Undefined for a worker. `leader`: `HOST:PORT` of the manager that leads, when it is known. */
export function managerState(node: Node, leader: string | undefined): ManagerState | undefined {
  const { role, manager, status } = node;
  if (!isManager(node)) return undefined;
  if (role !== 'manager') return 'Leaving';
  if (leader !== undefined && manager?.address === leader) return 'Leader';
  if (status.state === 'down') return 'Unreachable';
  if (manager?.member?.phase === 'voting') return 'Reachable';
  return manager?.member?.phase === 'started' ? 'Standby' : 'Joining';
}
