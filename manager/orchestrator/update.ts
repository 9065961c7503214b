import type { Service, ServiceSpec, UpdatePolicy, UpdateStatus } from '../../src/spec/service.ts';
import { whySingle } from '../../src/spec/single.ts';
import { isTerminal, taskName, type Task } from '../../src/spec/task.ts';
import type { Planning } from './planning.ts';
import { endedByItself } from '../../src/spec/restart.ts';
import { isServing, type Slot } from './slot.ts';
import { isAlive, isUnplaced } from './tasks.ts';

/** What the update asks for in this pass. */
export interface UpdateDecision {
  /** The service with its new update status, or rolled back; absent when nothing changes. */
  service?: Service;
  order: UpdatePolicy['order'];
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
  const status = service.updateStatus?.specVersion === service.specVersion ? service.updateStatus : undefined;
  const rollingBack = status?.state.startsWith('rollback') === true;
  const policy = rollingBack ? service.spec.rollback : service.spec.update;
  const idle: UpdateDecision = { order: policy.order, paused: false, begin: new Set() };
  const anyDirty = slots.some((slot) => slot.current.dirty.length > 0);
  if (status === undefined || status.state === 'completed' || status.state === 'rollback_completed') {
    return anyDirty ? { ...idle, service: started(service, planning) } : retireStale(service, idle, planning);
  }
  if (status.state === 'paused' || status.state === 'rollback_paused') return { ...idle, paused: true };

  const progress = slots.map((slot) => progressOf(slot, status, policy));
  const failed = progress.filter((each) => each.failed !== undefined);
  const tolerated = policy.maxFailureRatio * Math.max(1, slots.length);
  if (policy.failureAction !== 'continue' && failed.length > tolerated) {
    const latest = failed
      .map((each) => each.failed!)
      .sort((left, right) => right.status.at - left.status.at)[0]!;
    const why = describeFailure(latest, planning);
    const next = mayRollBack(service, policy, rollingBack)
      ? rolledBack(service, why, planning)
      : paused(service, status, why, rollingBack);
    return { ...idle, paused: true, service: next };
  }
  if (!anyDirty && isComplete(progress, policy, planning)) {
    return { ...idle, service: completed(service, status, slots.length, rollingBack, planning) };
  }
  const begin = slotsToBegin(progress, policy, planning);
  const message = describeProgress(progress, begin, planning);
  return {
    ...idle,
    begin,
    ...(message === status.message ? {} : { service: withMessage(service, status, message) }),
  };
}

function progressOf(slot: Slot, status: UpdateStatus, policy: UpdatePolicy): Progress {
  const { clean, dirty } = slot.current;
  const made = slot.tasks.filter(
    (task) => task.specVersion === status.specVersion && task.updateId === status.id,
  );
  const times = made.map(settledTime).filter((time) => time !== undefined);
  return {
    slot,
    dirty: dirty[0],
    clean: clean[0],
    begun: made.length > 0 && slot.tasks.some((task) => task.specVersion !== status.specVersion),
    settledAt: times.length === 0 ? undefined : Math.min(...times),
    failed: made.find((task) => isFailure(task, policy)),
  };
}

/** When the task ran, or ended without; a task that was told to stop, or lost with its node, says nothing. */
function settledTime(task: Task): number | undefined {
  const { startedAt, at } = task.status;
  return startedAt ?? (endedByItself(task.status.state) ? at : undefined);
}

/** Whether the task ended wrongly, before it ran or soon enough after for the update to be blamed. */
function isFailure(task: Task, policy: UpdatePolicy): boolean {
  if (!endedByItself(task.status.state)) return false;
  if (task.status.state === 'complete' && task.template.restart.condition !== 'any') return false;
  const { startedAt, at } = task.status;
  return startedAt === undefined || at - startedAt <= policy.monitorMs;
}

/** Whether the slot still takes up one of the places of `parallelism`. */
function isBusy(progress: Progress, policy: UpdatePolicy, planning: Planning): boolean {
  if (!progress.begun) return false;
  return progress.settledAt === undefined || !planning.isDue(progress.settledAt, policy.delayMs);
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
  return { ...service, updateStatus };
}

/** An update that was overtaken by a version which every task has already must not be called paused or running for ever. */
function retireStale(service: Service, idle: UpdateDecision, planning: Planning): UpdateDecision {
  const { updateStatus: status, specVersion } = service;
  if (status === undefined || status.specVersion === specVersion) return idle;
  const updateStatus: UpdateStatus = {
    id: planning.random.id(),
    state: 'completed',
    specVersion,
    startedAt: planning.now,
    completedAt: planning.now,
    message: 'update completed',
  };
  return { ...idle, service: { ...service, updateStatus } };
}

/** A rollback is never rolled back: its failure pauses. */
function mayRollBack(service: Service, policy: UpdatePolicy, rollingBack: boolean): boolean {
  return policy.failureAction === 'rollback' && !rollingBack && service.previousSpec !== undefined;
}

function rolledBack(service: Service, why: string, planning: Planning): Service {
  const { previousSpec, ...rest } = service;
  const specVersion = service.specVersion + 1;
  const updateStatus: UpdateStatus = {
    id: planning.random.id(),
    state: 'rollback_started',
    specVersion,
    startedAt: planning.now,
    message: 'rollback in progress',
    failure: why,
  };
  const spec = { ...previousSpec!, mode: modeAfterRollback(service.spec, previousSpec!) };
  return { ...rest, spec, specVersion, updateStatus };
}

/**
 * How many tasks there are is not what has failed, and may have been changed since: it stays as it is, unless the earlier
 * version cannot have as many.
 */
function modeAfterRollback(current: ServiceSpec, previous: ServiceSpec): ServiceSpec['mode'] {
  const { with: leader } = previous.task.placement;
  const isBound = whySingle(previous) !== undefined || leader !== current.task.placement.with;
  return isBound ? previous.mode : current.mode;
}

function paused(service: Service, status: UpdateStatus, why: string, rollingBack: boolean): Service {
  const state = rollingBack ? 'rollback_paused' : 'paused';
  const message = `${rollingBack ? 'rollback' : 'update'} paused: ${why}`;
  return { ...service, updateStatus: { ...status, state, message, failure: why } };
}

function completed(
  service: Service,
  status: UpdateStatus,
  slots: number,
  rollingBack: boolean,
  planning: Planning,
): Service {
  const state = rollingBack ? 'rollback_completed' : 'completed';
  const message = `${rollingBack ? 'rollback' : 'update'} completed: ${slots} of ${slots} tasks`;
  return { ...service, updateStatus: { ...status, state, completedAt: planning.now, message } };
}

function withMessage(service: Service, status: UpdateStatus, message: string): Service {
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
function describeProgress(progress: Progress[], begin: ReadonlySet<Slot>, planning: Planning): string {
  const done = progress.filter((each) => each.dirty === undefined && isRunning(each.clean)).length;
  const waiting = progress.find((each) => each.begun && each.clean !== undefined && !isRunning(each.clean));
  const counted = `${done} of ${progress.length} tasks updated`;
  if (waiting !== undefined) return `${counted}, ${describeWait(waiting.slot, waiting.clean!, planning)}`;
  if (begin.size > 0) return counted;
  const left = progress.some((each) => each.dirty !== undefined);
  return `${counted}, ${left ? 'waiting between steps' : 'watching for failures'}`;
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
