import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../util/random.ts';
import { withFormer } from './former.ts';
import type { ObjectMeta } from './object.ts';
import type { RollbackTarget, Service, ServiceSpec, UpdateStatus, VersionCause } from './service.ts';
import { whySingle } from './single.ts';
import { withTarget } from './targets.ts';
import { currentVersion, isUnderWay, withCurrentVersion, withNewVersion } from './versions.ts';

/** What makes a version, who asked for it (absent: the manager itself), and when (ms). */
export interface Origin {
  cause: VersionCause;
  by?: string | undefined;
  now: number;
  random: Random;
}

function changedBy({ by }: Origin): Pick<Service, 'changedBy'> {
  return { changedBy: by };
}

function recordOf({ cause, by, now }: Origin) {
  return { cause, createdAt: now, ...(by === undefined ? {} : { by }) };
}

/** A service that was not there before, in its first version. */
export function createService(meta: ObjectMeta, spec: ServiceSpec, origin: Origin): Service {
  const versions = withNewVersion([], { ...recordOf(origin), state: 'rolling' });
  return {
    ...meta,
    spec,
    versions,
    specVersion: 1,
    dependenciesMet: false,
    ...changedBy(origin),
    removing: false,
  };
}

/**
 * The service with another spec. All but a change of the number of tasks makes a new version; only another task template
 * rolls. What had paused goes on: it may be just what was wrong that has changed.
 */
export function changeService(stored: Service, spec: ServiceSpec, origin: Origin): Service {
  if (sameButScale(stored.spec, spec)) return { ...stored, spec, ...changedBy(origin) };
  const rolls = !isDeepStrictEqual(stored.spec.task, spec.task);
  const state = rolls || !isUnderWay(currentVersion(stored)) ? 'proposed' : 'rolling';
  const versions = withNewVersion(stored.versions, { ...recordOf(origin), state });
  const isRestart = origin.cause === 'restart' || origin.cause === 'dependency';
  // A person who takes a change back after a restart means the change.
  const rollbackTarget = isRestart ? stored.rollbackTarget : targetAfter(stored);
  const changed: Service = {
    ...stored,
    spec,
    versions,
    ...withTarget(stored, rollbackTarget),
    ...changedBy(origin),
  };
  if (!rolls) return withFormer(stored, resumeUpdate(changed, origin.random));
  // The update that the status tells of is overtaken.
  return withFormer(stored, {
    ...changed,
    specVersion: stored.specVersion + 1,
    updateStatus: undefined,
  });
}

function sameButScale(left: ServiceSpec, right: ServiceSpec): boolean {
  return left.mode.kind === right.mode.kind && isDeepStrictEqual({ ...left, mode: right.mode }, right);
}

/** What a rollback returns to once the current version is followed by another. */
function targetAfter(service: Service): RollbackTarget | undefined {
  const { version, state } = currentVersion(service);
  return state === 'completed' ? { version, spec: service.spec } : failureTarget(service);
}

/** What a failure of the current version returns to: what was restarted, if it is a restart of what was completed. */
export function failureTarget(service: Service): RollbackTarget | undefined {
  const { spec, versions, rollbackTarget } = service;
  let { forceUpdate } = spec.task;
  for (const [index, { version, state, cause }] of versions.toReversed().entries()) {
    if (index > 0 && state === 'completed')
      return { version, spec: { ...spec, task: { ...spec.task, forceUpdate } } };
    if (cause !== 'restart' && cause !== 'dependency') break;
    forceUpdate--;
  }
  return rollbackTarget;
}

/**
 * The service with its paused update under way again, as another one: what failed before is no failure of it. The same
 * when none is paused.
 */
export function resumeUpdate(service: Service, random: Random): Service {
  const { updateStatus: status } = service;
  if (status === undefined || !isPaused(status)) return service;
  const { failure: _forgiven, ...rest } = status;
  const isRollback = status.state === 'rollback_paused';
  const updateStatus: UpdateStatus = {
    ...rest,
    id: random.id(),
    state: isRollback ? 'rollback_started' : 'updating',
    message: `${isRollback ? 'rollback' : 'update'} in progress`,
  };
  return { ...service, updateStatus };
}

export function isPaused({ state }: UpdateStatus): boolean {
  return state === 'paused' || state === 'rollback_paused';
}

/** Whether there is a version to return to (what a person returns to by default) that is another than the current one. */
export function canRollBack({ spec, rollbackTarget }: Service, target = rollbackTarget): boolean {
  return target !== undefined && !sameButScale(target.spec, spec);
}

/**
 * The service back at `target`, by default the last version that was completed before the current one, with the scale that it has.
 * `failure`: why the current version failed, when that is the cause; then `failureTarget` is the default. There must be a target.
 */
export function rollBack(
  service: Service,
  origin: Origin,
  failure?: string,
  target = (failure === undefined ? service.rollbackTarget : failureTarget(service))!,
): Service {
  const { now, random } = origin;
  const before =
    failure === undefined ? service : withCurrentVersion(service, { state: 'failed', endedAt: now, failure });
  const versions = withNewVersion(before.versions, {
    ...recordOf(origin),
    state: 'rolling',
    restores: target.version,
  });
  const spec = { ...target.spec, mode: modeAfterRollback(service.spec, target.spec) };
  const changed: Service = {
    ...service,
    spec,
    versions,
    ...withTarget(service, targetAfter(service)),
    ...changedBy(origin),
  };
  if (isDeepStrictEqual(service.spec.task, spec.task))
    return withFormer(service, resumeUpdate(changed, random));
  const specVersion = service.specVersion + 1;
  const updateStatus: UpdateStatus = {
    id: random.id(),
    state: 'rollback_started',
    specVersion,
    startedAt: now,
    message: 'rollback in progress',
    ...(failure === undefined ? {} : { failure }),
  };
  return withFormer(service, { ...changed, specVersion, updateStatus });
}

/**
 * How many tasks there are is not what has failed, and may have been changed since: it stays as it is, unless the earlier
 * version cannot have as many.
 */
function modeAfterRollback(current: ServiceSpec, previous: ServiceSpec): ServiceSpec['mode'] {
  const { with: leader } = previous.task.placement;
  const isBound =
    previous.mode.kind !== current.mode.kind ||
    whySingle(previous) !== undefined ||
    leader !== current.task.placement.with;
  return isBound ? previous.mode : current.mode;
}
