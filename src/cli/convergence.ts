import type { ApplicationStatus, ServiceStatus } from '../wire/api.ts';

/**
 * A service without a healthcheck counts as up only when its tasks have run this long: a program that dies at once
 * has been "running" for a moment too.
 */
export const settleMs = 2_000;

export type Progress = { state: 'converging' } | { state: 'converged' } | { state: 'failed'; reason: string };

function settled(status: ServiceStatus, now: number): boolean {
  const { healthcheck } = status.service.spec.task.container;
  if (healthcheck?.test !== undefined && healthcheck.test[0] !== 'NONE') return true;
  return status.tasks.every(
    (task) => task.status.state !== 'running' || now - (task.status.startedAt ?? task.status.at) >= settleMs,
  );
}

/** How far one service is. `now` in ms, by the same clock as the tasks' times or near it. */
export function progressOf(status: ServiceStatus, now: number): Progress {
  if (status.failure !== undefined) return { state: 'failed', reason: status.failure };
  return status.converged && settled(status, now) ? { state: 'converged' } : { state: 'converging' };
}

export interface Assessment {
  /** True when nothing more will happen: every service has converged or failed. */
  done: boolean;
  failures: { service: string; reason: string }[];
}

/** How far the whole application is; only services in `names` count, where given. */
export function assess(status: ApplicationStatus, now: number): Assessment {
  const progress = status.services
    .filter(({ service }) => !service.removing)
    .map((service) => ({ service: service.service.spec.name, progress: progressOf(service, now) }));
  return {
    done:
      progress.every((each) => each.progress.state !== 'converging') &&
      status.services.every(({ service }) => !service.removing),
    failures: progress.flatMap(({ service, progress: each }) =>
      each.state === 'failed' ? [{ service, reason: each.reason }] : [],
    ),
  };
}
