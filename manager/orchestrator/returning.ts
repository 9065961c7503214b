import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { Planning } from './planning.ts';

/**
 * A node that has come back has this long to say which of its tasks have ended meanwhile, before one is kept in the place
 * of its replacement.
 */
export const returnSettleMs = 500;
/** A replacement that has no addresses after this long may be waiting for those of the task that it replaces. */
export const addressPatienceMs = 2_000;

/**
 * Whether the task, whose node is down, is to be kept if it comes back in time. It ran, it is of the service's version, and nothing
 * but the silence of its node is against it; and what it holds does not keep its replacement from running.
 */
export function mayReturn(service: Service, task: Task, planning: Planning): boolean {
  return planning.isOnlySilent(task) && isKept(service, task, planning);
}

/** Whether the task runs, as far as is known, and the service would have it as it is. */
function isKept(service: Service, task: Task, planning: Planning): boolean {
  if (task.status.state !== 'running' || task.desiredState !== 'running') return false;
  if (task.specVersion !== service.specVersion || service.spec.mode.kind !== 'replicated') return false;
  // Tasks that stand on each other move together; and a fixed address is the replacement's by then.
  if (planning.isGrouped(service) || Object.keys(task.anchors ?? {}).length > 0) return false;
  return task.template.networks.every(({ address }) => address === undefined);
}

type Outcome = 'wait' | 'keep' | 'retire';

/**
 * What becomes of a task that a replacement stands in for: kept when its node is back before the replacement runs, told to
 * stop when the replacement runs first, or when the service no longer wants it as it is.
 */
export function outcomeOf(
  service: Service,
  task: Task,
  current: readonly Task[],
  planning: Planning,
): Outcome {
  if (!isKept(service, task, planning)) return 'retire';
  if (current.some(({ status }) => status.state === 'running' || status.state === 'complete'))
    return 'retire';
  if (planning.isOnlySilent(task)) {
    const hungry = current.find(({ status }) => status.state === 'new');
    const isPatient = hungry === undefined || !planning.isDue(hungry.createdAt, addressPatienceMs);
    return isPatient ? 'wait' : 'retire';
  }
  if (planning.mustLeave(task)) return 'retire';
  const { state, since } = planning.view.nodes.get(task.nodeId!)!.status;
  if (state !== 'ready') return 'wait';
  return planning.isDue(since, returnSettleMs) ? 'keep' : 'wait';
}
