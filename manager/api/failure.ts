import { canRollBack, isPaused } from '../../src/spec/change.ts';
import { isMisplaced } from '../../src/spec/host-path.ts';
import { endedByItself } from '../../src/spec/restart.ts';
import type { Service } from '../../src/spec/service.ts';
import { isTerminal, isWanted, newestFirst, taskName, type Task } from '../../src/spec/task.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import { damageReason } from '../store/damage.ts';
import type { View } from '../store/objects.ts';
import { groupBySlot, isCompleted } from './tasks.ts';

/** This many tasks in a row that ended wrongly, in one slot, are a crash loop. */
const crashLoopTasks = 3;
/** A task that lived longer than this before it ended is no part of a crash loop. */
const crashLoopLifeMs = 60_000;
/** A task that cannot be placed is given this long before it is called failed: a node may just be coming. */
const unsuitableMs = 10_000;
/** What ended and is not replaced within this time is not going to be. */
const abandonedMs = 3_000;

/** What fails an update is judged within this time, by a manager that is busy as well. */
const judgedMs = 3_000;

/** Reasons for which trying again cannot help. */
const hopeless: ReadonlySet<string> = new Set(['image_not_found', 'image_invalid', 'command_not_found']);

/** Why a service has failed, and where that began. */
interface Failure {
  reason: string;
  /** The service that failed by itself, by name; this one waits for it, if it is another. */
  root: string;
}

/**
 * Why trying on will not help services, as one view shows it at one time (`now` in ms). Each service is judged once,
 * however many wait for it, so that the cost grows with the services and their dependencies alone.
 */
export class Failures {
  readonly #view: View;
  readonly #now: number;
  /** By service id. One that is just being judged has not failed: services may wait for each other in a circle. */
  readonly #known = new Map<string, Failure | undefined>();

  constructor(view: View, now: number) {
    this.#view = view;
    this.#now = now;
  }

  /**
   * Why trying on will not help the service, in words; undefined while it may yet come to what was asked. A service that
   * waits for another has failed only when that one has.
   */
  of(service: Service): string | undefined {
    const name = service.spec.name;
    const failure = this.#failureOf(service);
    if (failure === undefined || failure.root === name) return failure?.reason;
    const direct = this.#failedDependency(service)!.spec.name;
    const chain = direct === failure.root ? '' : `, which waits for ${failure.root}`;
    return `waiting for ${direct}${chain}, which failed: ${failure.reason}`;
  }

  #failureOf(service: Service): Failure | undefined {
    const { id, spec } = service;
    if (this.#known.has(id)) return this.#known.get(id);
    this.#known.set(id, undefined);
    const reason =
      damageReason(this.#view, service) ??
      service.damage ??
      allocationFailure(this.#view, service) ??
      (service.stopped === true ? undefined : updateFailure(service));
    const failure = reason === undefined ? this.#laterFailure(service) : { reason, root: spec.name };
    this.#known.set(id, failure);
    return failure;
  }

  #laterFailure(service: Service): Failure | undefined {
    if (service.stopped === true) return undefined;
    const dependency = this.#failedDependency(service);
    if (dependency !== undefined) return this.#failureOf(dependency);
    const reason = taskFailure(this.#view, service, this.#now);
    return reason === undefined ? undefined : { reason, root: service.spec.name };
  }

  /** The first dependency that the service waits for and that has failed. */
  #failedDependency({ dependenciesMet, spec }: Service): Service | undefined {
    if (dependenciesMet) return undefined;
    return spec.dependsOn
      .map(({ service }) => this.#view.serviceByName(service))
      .find((dependency) => dependency !== undefined && this.#failureOf(dependency) !== undefined);
  }
}

function allocationFailure(view: View, service: Service): string | undefined {
  if (service.allocationError !== undefined) return service.allocationError;
  const networks = service.spec.task.networks.map(({ name }) => view.networkByName(name));
  return networks.find((network) => network?.allocationError !== undefined)?.allocationError;
}

function updateFailure(service: Service): string | undefined {
  const { updateStatus: status, spec } = service;
  if (status === undefined || !isPaused(status)) return undefined;
  const what = status.state === 'paused' ? 'update' : 'rollback';
  const back = canRollBack(service)
    ? ` or \`shoal rollback ${spec.name}\` to return to version ${service.rollbackTarget!.version}`
    : '';
  return `the ${what} is paused: ${status.failure ?? status.message}; type \`shoal resume ${spec.name}\` to go on${back}`;
}

function taskFailure(view: View, service: Service, now: number): string | undefined {
  const all = [...view.tasksOfService(service.id)];
  const tasks = all.filter((task) => task.specVersion === service.specVersion).sort(newestFirst);
  const unplaced: Task[] = [];
  for (const slot of groupBySlot(tasks).values()) {
    if (slot.some((task) => isWanted(task) && task.status.state === 'running')) continue;
    if (slot.some((task) => isAboutToBeJudged(service, task, now))) continue;
    const failure = slotFailure(slot, now);
    if (failure !== undefined) return failure;
    unplaced.push(...slot.filter(isHeldUp));
  }
  // What is still stopping may hold what they wait for.
  if (all.some((task) => isStopping(task, view))) return undefined;
  // A change of the service may be what they have waited for.
  const stuck = unplaced.filter((task) =>
    hasPassed(Math.max(task.updatedAt, service.updatedAt), unsuitableMs, now),
  );
  const [first] = stuck;
  if (first === undefined) return undefined;
  const others = stuck.length === 1 ? '' : ` and ${stuck.length - 1} more`;
  const { message } = first.status;
  const whose = besideOld(service, first, all);
  return `${taskName(first)}${others} cannot be placed: ${message}${conditionsIn(message, view)}${whose}`;
}

/**
 * Whether the update under way is just about to be rolled back, or to pause, for the failed task: then that is what became of the
 * service, and not the failure of a version that nobody wishes any more a moment later.
 */
function isAboutToBeJudged(
  { spec, updateStatus }: Service,
  { updateId, status }: Task,
  now: number,
): boolean {
  if (updateStatus === undefined || updateId !== updateStatus.id || isPaused(updateStatus)) return false;
  const { failureAction, maxFailureRatio } =
    updateStatus.state === 'rollback_started' ? spec.rollback : spec.update;
  const isJudged = failureAction !== 'continue' && maxFailureRatio === 0;
  return isJudged && endedByItself(status.state) && !hasPassed(status.at, judgedMs, now);
}

/** What to do when the old task has the place that the new one needs, and is to stay until that one runs. */
function besideOld({ spec, updateStatus }: Service, waiting: Task, all: Task[]): string {
  const isRollback = updateStatus?.state === 'rollback_started';
  const { order } = isRollback ? spec.rollback : spec.update;
  const { hostPorts, placement } = waiting.template;
  if (order !== 'start-first' || (hostPorts.length === 0 && placement.maxReplicasPerNode === 0)) return '';
  const old = all.find(
    (task) => task.slot === waiting.slot && task.id !== waiting.id && task.status.state === 'running',
  );
  if (old === undefined) return '';
  const where = isRollback ? 'rollback_config' : 'update_config';
  return `; the old ${taskName(old)} keeps its place until the new one runs, as ${where} says: write order: stop-first there, or add a node`;
}

/** Nodes whose conditions are told in words, of those that a message names. */
const toldNodesMax = 3;

/** What is behind the conditions that the message names: the nodes that have them, in their own words. */
function conditionsIn(message: string, view: View): string {
  const told = [...view.nodes.values()].flatMap(({ id, description, conditions = [] }) =>
    conditions
      .filter(({ type }) => message.includes(`${type} on `))
      .map((condition) => `${description?.hostname ?? id}: ${condition.message}`),
  );
  if (told.length === 0) return '';
  const more = told.length > toldNodesMax ? `; and ${told.length - toldNodesMax} more` : '';
  return ` (${told.slice(0, toldNodesMax).join('; ')}${more})`;
}

/** Whether the task waits for something that does not come by itself: a node, an address, what it is to run beside. */
function isHeldUp(task: Task): boolean {
  const { state, message } = task.status;
  if (!isWanted(task) || (state !== 'new' && state !== 'pending')) return false;
  return message !== '' && message !== 'created' && !message.startsWith('waiting for ');
}

function isStopping(task: Task, view: View): boolean {
  const node = view.nodes.get(task.nodeId ?? '');
  return (
    !isWanted(task) && !isTerminal(task.status.state) && node !== undefined && node.status.state !== 'down'
  );
}

/** `tasks` are those of one slot and of the current version, newest first; none of them runs. */
function slotFailure(tasks: Task[], now: number): string | undefined {
  // Where a host lacks a path another one is tried, and when none is left the task says so itself.
  const ended = tasks.filter((task) => isTerminal(task.status.state) && !isMisplaced(task));
  const last = ended[0];
  if (last === undefined || !isFailure(last)) return undefined;
  if (hopeless.has(last.status.error?.code ?? '')) return describe(last);
  const run = ended.findIndex((task) => !isFailure(task) || livedLong(task));
  const failures = run === -1 ? ended.length : run;
  if (failures >= crashLoopTasks) return `${describe(last)}, ${failures} times in a row`;
  const replaced = tasks.some((task) => isWanted(task) && !isTerminal(task.status.state));
  const abandoned = !replaced && hasPassed(last.updatedAt, abandonedMs, now);
  return abandoned ? `${describe(last)}, and is not restarted` : undefined;
}

function isFailure(task: Task): boolean {
  const { state } = task.status;
  return state === 'failed' || state === 'rejected' || (state === 'complete' && !isCompleted(task));
}

function livedLong(task: Task): boolean {
  const { at, startedAt } = task.status;
  return startedAt !== undefined && at - startedAt > crashLoopLifeMs;
}

function describe(task: Task): string {
  const { error, exitCode, message, state } = task.status;
  const why = error?.message ?? message;
  if (/^(?:ended|killed)\b/.test(why)) return `${taskName(task)} ${why.replace(/^killed/, 'was killed')}`;
  if (why !== '') return `${taskName(task)}: ${why}`;
  return exitCode === undefined
    ? `${taskName(task)}: ${state}`
    : `${taskName(task)} ended with exit code ${exitCode}`;
}
