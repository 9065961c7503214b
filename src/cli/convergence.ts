import { hasPassed } from '../util/steady-clock.ts';
import type { ServiceStatus } from '../wire/api.ts';

/**
 * A service without a healthcheck counts as up only when its tasks have run this long: a program that dies at once
 * has been "running" for a moment too.
 */
export const settleMs = 2_000;

export type Progress = { state: 'converging' } | { state: 'converged' } | { state: 'failed'; reason: string };

/** Whether its tasks have run long enough to be called up. `now` as in `progressOf`. */
export function settled(status: ServiceStatus, now: number): boolean {
  const { healthcheck } = status.service.spec.task.container;
  if (healthcheck?.test !== undefined && healthcheck.test[0] !== 'NONE') return true;
  return status.tasks.every(
    ({ status: { state, startedAt, at } }) =>
      state !== 'running' || hasPassed(startedAt ?? at, settleMs, now),
  );
}

/** How far one service is. `now` in ms, by the manager's clock, as all times of tasks are. */
export function progressOf(status: ServiceStatus, now: number): Progress {
  if (status.failure !== undefined) return { state: 'failed', reason: status.failure };
  return status.converged && settled(status, now) ? { state: 'converged' } : { state: 'converging' };
}
