import { compareTaskStates, isTerminal } from '../spec/task.ts';
import { hasPassed } from '../util/steady-clock.ts';
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
    ({ status: { state, startedAt, at } }) =>
      state !== 'running' || hasPassed(startedAt ?? at, settleMs, now),
  );
}

/** How far one service is. `now` in ms, by the manager's clock, as all times of tasks are. */
export function progressOf(status: ServiceStatus, now: number): Progress {
  if (status.failure !== undefined) return { state: 'failed', reason: status.failure };
  return status.converged && settled(status, now) ? { state: 'converged' } : { state: 'converging' };
}

export interface Assessment {
  /** True when nothing more will happen: every service has converged or failed. */
  done: boolean;
  failures: { service: string; reason: string }[];
}

/** The services (full names) that an apply left as they were, and its revision. */
export interface Kept {
  services: ReadonlySet<string>;
  revision: number;
}

/** Whether the failure is one of before the apply, and another attempt, which may do better, is under way. */
function isTriedAgain(status: ServiceStatus, kept: Kept): boolean {
  if (status.failure === undefined || !kept.services.has(status.service.spec.name)) return false;
  const { tasks } = status;
  const underWay = tasks.some(
    ({ status: { state } }) => !isTerminal(state) && compareTaskStates(state, 'assigned') >= 0,
  );
  return underWay && !tasks.some((task) => isTerminal(task.status.state) && task.revision > kept.revision);
}

/**
 * How far the whole application is (`now` as in `progressOf`). Failures of services that the apply kept do not count while they are tried again:
 * what was missing may be there by now.
 */
export function assess(status: ApplicationStatus, now: number, kept?: Kept): Assessment {
  const triedAgain = kept !== undefined && status.services.some((service) => isTriedAgain(service, kept));
  const progress = status.services
    .filter(({ service }) => !service.removing)
    .map((each) => {
      const { name } = each.service.spec;
      const waits = triedAgain && kept.services.has(name) && each.failure !== undefined;
      return { service: name, progress: waits ? ({ state: 'converging' } as const) : progressOf(each, now) };
    });
  return {
    done:
      progress.every((each) => each.progress.state !== 'converging') &&
      status.services.every(({ service }) => !service.removing),
    failures: progress.flatMap(({ service, progress: each }) =>
      each.state === 'failed' ? [{ service, reason: each.reason }] : [],
    ),
  };
}
