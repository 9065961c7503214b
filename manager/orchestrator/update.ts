import { canRollBack, failureTarget, isPaused, rollBack } from '../../src/spec/change.ts';
import { hasWhatItAsks } from '../../src/spec/published-port.ts';
import { isMisplaced } from '../../src/spec/host-path.ts';
import { endedByItself } from '../../src/spec/restart.ts';
import type { Service, UpdatePolicy, UpdateStatus } from '../../src/spec/service.ts';
import { isTerminal, taskName, type Task } from '../../src/spec/task.ts';
import { currentVersion, isUnderWay, withCurrentVersion } from '../../src/spec/versions.ts';
import type { Planning } from './planning.ts';
import { isGood, isServing, type Slot } from './slot.ts';
import { isAlive, isUnplaced } from './tasks.ts';

/** What the update asks for in this pass. */
export interface UpdateDecision {
  /** The service with its new update status, or rolled back; absent when nothing changes. */
  service?: Service;
  /** By which tasks are replaced: that of updates, or that of rollbacks. */
  policy: UpdatePolicy;
  paused: boolean;
  /** Slots that may begin to move to the current version. */
  begin: ReadonlySet<Slot>;
}

/** How far one slot is in the update. */
interface Progress {
  slot: Slot;
  /** A current task is out of date. */
  dirty: Task | undefined;
  /** The newest current task of the current version. */
  clean: Task | undefined;
  /** The update has made a task here in the place of an older version's. */
  begun: boolean;
  /** When the first task of this update ran or failed (ms); undefined while neither has happened. */
  settledAt: number | undefined;
  /** A task of this update that failed while it was watched. */
  failed: Task | undefined;
}

/**
 * Decides the next step of a rolling update from the service and its slots alone: nothing is remembered between passes,
 * so a new leader goes on where the old one stopped. `slots` are the ones the service wants and that can be updated now.
 */
export function decideUpdate(service: Service, slots: readonly Slot[], planning: Planning): UpdateDecision {
  const { updateStatus: status } = service;
  const policy = policyOf(service);
  const idle: UpdateDecision = { policy, paused: false, begin: new Set() };
  const anyDirty = slots.some((slot) => slot.current.dirty.length > 0);
  if (status === undefined || status.state === 'completed' || status.state === 'rollback_completed') {
    return changed(idle, service, anyDirty ? started(service, planning) : proven(service, slots, planning));
  }
  if (isPaused(status)) return { ...idle, paused: true };

  const progress = slots.map((slot) => progressOf(slot, status, policy));
  const failed = progress.filter((each) => each.failed !== undefined);
  const tolerated = policy.maxFailureRatio * Math.max(1, slots.length);
  if (policy.failureAction !== 'continue' && failed.length > tolerated) {
    const latest = failed
      .map((each) => each.failed!)
      .sort((left, right) => right.status.at - left.status.at)[0]!;
    return { ...idle, paused: true, service: afterFailure(service, status, latest, planning) };
  }
  if (!anyDirty && isComplete(progress, policy, planning)) {
    const done = completed(service, status, slots.length, planning);
    return { ...idle, service: proven(done, slots, planning) };
  }
  const begin = slotsToBegin(progress, policy, planning);
  const message = describeProgress(progress, begin, policy, planning);
  return { ...changed(idle, service, withMessage(service, status, message)), begin };
}

function changed(decision: UpdateDecision, before: Service, service: Service): UpdateDecision {
  return service === before ? decision : { ...decision, service };
}

/** The policy by which tasks are replaced now. */
function policyOf({ spec, updateStatus }: Service): UpdatePolicy {
  const rollsBack = updateStatus?.state === 'rollback_started' || updateStatus?.state === 'rollback_paused';
  return rollsBack ? spec.rollback : spec.update;
}

/** The service with its version completed once every task has run for the monitor time, and it has what else it asks for. */
function proven(service: Service, slots: readonly Slot[], planning: Planning): Service {
  if (slots.length === 0 || !isUnderWay(currentVersion(service)) || !hasWhatItAsks(service)) return service;
  const { monitorMs } = policyOf(service);
  const isProven = slots.every(({ current }) =>
    current.clean.some((task) => isGood(task, monitorMs, planning)),
  );
  return isProven ? withCurrentVersion(service, { state: 'completed', endedAt: planning.now }) : service;
}

function progressOf(slot: Slot, status: UpdateStatus, policy: UpdatePolicy): Progress {
  const { clean, dirty } = slot.current;
  const made = slot.tasks.filter(
    (task) => task.specVersion === status.specVersion && task.updateId === status.id,
  );
  // What the update has made before it was paused is watched on; what failed then is forgiven.
  const watched = made.length > 0 ? made : clean.slice(0, 1);
  const times = watched.map(settledTime).filter((time) => time !== undefined);
  return {
    slot,
    dirty: dirty[0],
    clean: clean[0],
    begun: watched.length > 0 && slot.tasks.some((task) => task.specVersion !== status.specVersion),
    settledAt: times.length === 0 ? undefined : Math.min(...times),
    failed: made.find((task) => isFailure(task, policy)),
  };
}

/** When the task ran, or ended without; a task that was told to stop, or lost with its node, says nothing, nor does one that is elsewhere now. */
function settledTime(task: Task): number | undefined {
  if (isMisplaced(task)) return undefined;
  const { startedAt, at } = task.status;
  return startedAt ?? (endedByItself(task.status.state) ? at : undefined);
}

/** Whether the task ended wrongly, before it ran or soon enough after for the update to be blamed. */
function isFailure(task: Task, policy: UpdatePolicy): boolean {
  if (!endedByItself(task.status.state) || isMisplaced(task)) return false;
  if (task.status.state === 'complete' && task.template.restart.condition !== 'any') return false;
  const { startedAt, at } = task.status;
  return startedAt === undefined || at - startedAt <= policy.monitorMs;
}

/**
 * Whether the slot still takes up one of the places of `parallelism`: until its task has been watched for the monitor time, so that
 * a bad version gets no further than those places.
 */
function isBusy(progress: Progress, policy: UpdatePolicy, planning: Planning): boolean {
  if (!progress.begun) return false;
  if (progress.settledAt === undefined) return true;
  return !planning.isDue(progress.settledAt, Math.max(policy.monitorMs, policy.delayMs));
}

/** The next slots, those first that do not work anyway. */
function slotsToBegin(progress: Progress[], policy: UpdatePolicy, planning: Planning): ReadonlySet<Slot> {
  const busy = progress.filter((each) => isBusy(each, policy, planning)).length;
  const free = policy.parallelism === 0 ? Infinity : Math.max(0, policy.parallelism - busy);
  const waiting = progress.filter((each) => each.dirty !== undefined && each.clean === undefined);
  const serves = (each: Progress) => (isServing(each.dirty!, planning) ? 1 : 0);
  waiting.sort((left, right) => serves(left) - serves(right) || left.slot.place.slot - right.slot.place.slot);
  return new Set(waiting.slice(0, free).map((each) => each.slot));
}

/** Whether every slot that the update began has run (or failed within what is tolerated) and was watched long enough. */
function isComplete(progress: Progress[], policy: UpdatePolicy, planning: Planning): boolean {
  const begun = progress.filter((each) => each.begun);
  return begun.every(
    (each) => each.settledAt !== undefined && planning.isDue(each.settledAt, policy.monitorMs),
  );
}

function started(service: Service, planning: Planning): Service {
  const updateStatus: UpdateStatus = {
    id: planning.random.id(),
    state: 'updating',
    specVersion: service.specVersion,
    startedAt: planning.now,
    message: 'update in progress',
  };
  const rolling = isUnderWay(currentVersion(service))
    ? withCurrentVersion(service, { state: 'rolling' })
    : service;
  return { ...rolling, updateStatus };
}

/**
 * The service rolled back, or paused. A rollback that fails is never rolled back; and what is completed is what one would
 * return to, when a task fails that a node which was away has only now got.
 */
function afterFailure(service: Service, status: UpdateStatus, failed: Task, planning: Planning): Service {
  const { now, random } = planning;
  const failure = describeFailure(failed, planning);
  const isRollback = status.state === 'rollback_started';
  const wantsRollback =
    !isRollback && service.spec.update.failureAction === 'rollback' && isUnderWay(currentVersion(service));
  if (wantsRollback && canRollBack(service, failureTarget(service))) {
    return rollBack(service, { cause: 'failure', now, random }, failure);
  }
  const why = wantsRollback ? `${failure}; there is no completed version to roll back to` : failure;
  const updateStatus: UpdateStatus = {
    ...status,
    state: isRollback ? 'rollback_paused' : 'paused',
    message: `${isRollback ? 'rollback' : 'update'} paused: ${why}`,
    failure: why,
  };
  const isNew = isUnderWay(currentVersion(service));
  const judged = isNew ? withCurrentVersion(service, { state: 'failed', endedAt: now, failure }) : service;
  return { ...judged, updateStatus };
}

function completed(service: Service, status: UpdateStatus, slots: number, planning: Planning): Service {
  const isRollback = status.state === 'rollback_started';
  const message = `${isRollback ? 'rollback' : 'update'} completed: ${slots} of ${slots} tasks`;
  const state = isRollback ? 'rollback_completed' : 'completed';
  return { ...service, updateStatus: { ...status, state, completedAt: planning.now, message } };
}

function withMessage(service: Service, status: UpdateStatus, message: string): Service {
  if (message === status.message) return service;
  return { ...service, updateStatus: { ...status, message } };
}

/** The name a person knows: in a global service the node's hostname takes the slot's place. */
function nameOf(task: Task, { view }: Planning): string {
  const { serviceName, slot, nodeId } = task;
  if (slot > 0) return taskName(task);
  return taskName({
    serviceName,
    slot,
    nodeId: view.nodes.get(nodeId ?? '')?.description?.hostname ?? nodeId!,
  });
}

function describeFailure(task: Task, planning: Planning): string {
  const { state, error, message, exitCode } = task.status;
  const why = error?.message ?? (message || (exitCode === undefined ? '' : `exit code ${exitCode}`));
  return `${nameOf(task, planning)} ${state}${why === '' ? '' : `: ${why}`}`;
}

/** How far the update is and what it waits for. Changes only when a slot takes a step, for each change is a write. */
function describeProgress(
  progress: Progress[],
  begin: ReadonlySet<Slot>,
  policy: UpdatePolicy,
  planning: Planning,
): string {
  const done = progress.filter((each) => each.dirty === undefined && isRunning(each.clean)).length;
  const waiting = progress.find((each) => each.begun && each.clean !== undefined && !isRunning(each.clean));
  const counted = `${done} of ${progress.length} tasks updated`;
  if (waiting !== undefined) return `${counted}, ${describeWait(waiting.slot, waiting.clean!, planning)}`;
  if (begin.size > 0) return counted;
  const left = progress.some((each) => each.dirty !== undefined && each.clean === undefined);
  const isDelay = left && policy.delayMs > policy.monitorMs;
  return `${counted}, ${isDelay ? 'waiting between steps' : 'watching for failures'}`;
}

function isRunning(task: Task | undefined): boolean {
  return task?.status.state === 'running' || task?.status.state === 'complete';
}

function describeWait(slot: Slot, clean: Task, planning: Planning): string {
  const name = nameOf(clean, planning);
  if (isTerminal(clean.status.state)) return describeFailure(clean, planning);
  if (isUnplaced(clean)) return `waiting for ${name} to be placed: ${clean.status.message}`;
  if (clean.desiredState === 'running') return `waiting for ${name} to run`;
  const stopping = slot.tasks.some(
    (task) =>
      task.id !== clean.id && isAlive(task) && task.desiredState === 'shutdown' && !planning.isGone(task),
  );
  return stopping ? `waiting for the old ${name} to stop` : `preparing ${name}`;
}
