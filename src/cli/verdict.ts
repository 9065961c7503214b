import { compareTaskStates, isTerminal } from '../spec/task.ts';
import type { Service, ServiceVersion } from '../spec/service.ts';
import { currentVersion } from '../spec/versions.ts';
import type { ApplicationStatus, ApplyResult, ServiceStatus } from '../wire/api.ts';
import { progressOf, settled } from './convergence.ts';

/** What a command asked of one service: a version that it wrote, or found to be what it would have written. */
export interface Asked {
  /** Full name. */
  name: string;
  id: string;
  version: number;
  /** Absent for a global service, and where no number was asked for. */
  replicas?: number;
}

export type Verdict =
  | { state: 'converging' }
  | { state: 'converged' }
  | { state: 'failed'; reason: string }
  /** Somebody has asked for something else since. */
  | { state: 'overtaken'; reason: string };

/**
 * Whether the service has come to what the command asked for. `status` is undefined when there is no such service; `now` in
 * ms, by the manager's clock.
 */
export function verdictOn(asked: Asked, status: ServiceStatus | undefined, now: number): Verdict {
  return (
    absence(asked, status) ??
    laterVersions(asked, status!, now) ??
    otherScale(asked.replicas, status!.service) ??
    progressOf(status!, now)
  );
}

/** Whether the service has come to the number of replicas, whichever of its versions they run. */
export function scaleVerdict(
  asked: Pick<Asked, 'id' | 'replicas'>,
  status: ServiceStatus | undefined,
  now: number,
): Verdict {
  const overtaken = absence(asked, status) ?? otherScale(asked.replicas, status!.service);
  if (overtaken !== undefined) return overtaken;
  const { serving, desired, leaving, failure } = status!;
  if (serving === desired && leaving === 0)
    return { state: settled(status!, now) ? 'converged' : 'converging' };
  return failure === undefined ? { state: 'converging' } : { state: 'failed', reason: failure };
}

/** Whether the version that an action made of the service is there, with however many replicas: it did not ask for a number. */
export function actionVerdict(service: Service, status: ServiceStatus | undefined, now: number): Verdict {
  const { replicas: _notAsked, ...asked } = askedOf(service);
  return verdictOn(asked, status, now);
}

/** Whether all tasks of the service have ended. */
export function stopVerdict({ id }: Service, status: ServiceStatus | undefined): Verdict {
  const gone = absence({ id }, status);
  if (gone !== undefined) return gone;
  const { service, converged } = status!;
  if (service.stopped !== true) return overtaken(`it was started again${by(service.changedBy)} meanwhile`);
  return { state: converged ? 'converged' : 'converging' };
}

/** What a change of the service asked for that the API answered with it. */
export function askedOf(service: Service): Asked {
  const { id, spec } = service;
  const { version } = currentVersion(service);
  const scale = spec.mode.kind === 'replicated' ? { replicas: spec.mode.replicas } : {};
  return { id, name: spec.name, version, ...scale };
}

function overtaken(reason: string): Verdict {
  return { state: 'overtaken', reason };
}

function absence({ id }: Pick<Asked, 'id'>, status: ServiceStatus | undefined): Verdict | undefined {
  if (status === undefined) return overtaken('it was removed meanwhile');
  const { service } = status;
  if (service.removing) return overtaken(`it is being removed${by(service.changedBy)}`);
  if (service.id !== id) return overtaken(`it was removed and made anew${by(currentVersion(service).by)}`);
  return undefined;
}

/** What versions after the one that was asked for make of it; undefined when they leave it as it was asked for. */
function laterVersions({ version }: Asked, status: ServiceStatus, now: number): Verdict | undefined {
  const { versions } = status.service;
  const later = versions.filter((each) => each.version > version);
  if (later.length > 0 && later[0]!.version > version + 1) return overtaken(wordsOf(later.at(-1)!));
  for (const [index, next] of later.entries()) {
    // A restart makes the same of it once more.
    if (next.cause === 'restart' || next.cause === 'dependency') continue;
    if (next.cause !== 'failure') return overtaken(wordsOf(next));
    const failed = versions.find((each) => each.version === next.version - 1);
    return rolledBack(failed, next, index === later.length - 1 ? progressOf(status, now) : undefined);
  }
  return undefined;
}

/** `progress`: that of the rollback, unless something else has come since. */
function rolledBack(
  failed: ServiceVersion | undefined,
  rollback: ServiceVersion,
  progress: Verdict | undefined,
): Verdict {
  const why = failed?.failure ?? 'a task failed';
  if (progress?.state === 'converging') return progress;
  if (progress?.state === 'failed') {
    return { state: 'failed', reason: `the update failed: ${why}; ${progress.reason}` };
  }
  const reason = `the update failed and was rolled back to version ${rollback.restores}: ${why}`;
  return { state: 'failed', reason };
}

function wordsOf({ version, cause, by: who, restores }: ServiceVersion): string {
  const what = cause === 'rollback' ? `rolled back to version ${restores}` : `changed to version ${version}`;
  return `it was ${what}${by(who)} meanwhile`;
}

function otherScale(replicas: number | undefined, service: Service): Verdict | undefined {
  const { mode } = service.spec;
  if (service.stopped === true) return overtaken(`it was stopped${by(service.changedBy)} meanwhile`);
  if (mode.kind === 'global' || replicas === undefined || mode.replicas === replicas) return undefined;
  return overtaken(`it was scaled to ${mode.replicas}${by(service.changedBy)} meanwhile`);
}

function by(who: string | undefined): string {
  return who === undefined ? '' : ` by ${who}`;
}

/** What an apply asked of the services of an application, and at which revision it was stored. */
export interface Wish {
  /** `isKept`: the apply found it as it was asked for. */
  asked: readonly (Asked & { isKept: boolean })[];
  revision: number;
}

/** What the apply asks for. */
export function wishOf({ changes, revision }: ApplyResult): Wish {
  const asked = changes.flatMap(({ name, action, service }) =>
    service === undefined ? [] : [{ name, ...service, isKept: action === 'keep' }],
  );
  return { asked, revision };
}

export interface Assessment {
  /** True when nothing more will happen: every service has come to what was asked for, failed, or was overtaken. */
  done: boolean;
  failures: { service: string; reason: string }[];
  overtaken: { service: string; reason: string }[];
}

/**
 * How far the whole application is (`now` as in `verdictOn`). Failures of services that the apply kept do not count while
 * they are tried again: what was missing may be there by now.
 */
export function assess(status: ApplicationStatus, now: number, { asked, revision }: Wish): Assessment {
  const byName = new Map(status.services.map((each) => [each.service.spec.name, each]));
  const kept = new Set(asked.filter(({ isKept }) => isKept).map(({ id }) => id));
  const triedAgain = status.services.some(
    (each) => kept.has(each.service.id) && isTriedAgain(each, revision),
  );
  const verdicts = asked.map((each) => {
    const verdict = verdictOn(each, byName.get(each.name), now);
    const waits = triedAgain && each.isKept && verdict.state === 'failed';
    return { name: each.name, verdict: waits ? ({ state: 'converging' } as const) : verdict };
  });
  const names = new Set(asked.map(({ name }) => name));
  const isLeaving = status.services.some(({ service }) => service.removing && !names.has(service.spec.name));
  const reasons = (state: 'failed' | 'overtaken') =>
    verdicts.flatMap(({ name, verdict }) =>
      verdict.state === state ? [{ service: name, reason: verdict.reason }] : [],
    );
  return {
    done: !isLeaving && verdicts.every(({ verdict }) => verdict.state !== 'converging'),
    failures: reasons('failed'),
    overtaken: reasons('overtaken'),
  };
}

/**
 * What a command ends with. A failure outranks being overtaken: who is told that somebody else has changed it may leave it
 * at that, and what does not work has to be looked at.
 */
export function endOf({ failures, overtaken }: Assessment): 'done' | 'failed' | 'overtaken' {
  if (failures.length > 0) return 'failed';
  return overtaken.length > 0 ? 'overtaken' : 'done';
}

/** Whether the failure is one of before the apply, and another attempt, which may do better, is under way. */
function isTriedAgain({ service, failure, tasks }: ServiceStatus, revision: number): boolean {
  if (failure === undefined || service.updateStatus?.state.endsWith('paused') === true) return false;
  const underWay = tasks.some(
    ({ status: { state } }) => !isTerminal(state) && compareTaskStates(state, 'assigned') >= 0,
  );
  return underWay && !tasks.some((task) => isTerminal(task.status.state) && task.revision > revision);
}
