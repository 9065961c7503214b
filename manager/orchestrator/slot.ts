import { initialiserOf, initialisesOnce, isInitialised } from '../../src/spec/initialisation.ts';
import type { Service, UpdatePolicy } from '../../src/spec/service.ts';
import { compareTaskStates, isTerminal, isWanted, type Task } from '../../src/spec/task.ts';
import type { Change } from '../store/objects.ts';
import type { Planning } from './planning.ts';
import { decideRestart } from './restart.ts';
import { mayReturn, outcomeOf } from './returning.ts';
import {
  blueprintOf,
  isAlive,
  isUnplaced,
  makeTask,
  newestFirst,
  placeKey,
  withDesired,
  type Blueprint,
  type Place,
} from './tasks.ts';

/**
 * A stop-first replacement that cannot be placed for this long may be waiting for what the old task holds (memory, a
 * host port, a fixed address); then the old one is stopped before the new one is ready.
 */
export const placementPatienceMs = 2_000;

/**
 * Tasks of one slot that have not ended, on nodes that are there. Whatever makes more of them does not end: a host that stops
 * nothing, or one that lies.
 */
export const unfinishedTasksMax = 16;

/** What the slot's step needs to know of the update under way. */
export interface SlotRules {
  policy: UpdatePolicy;
  /** The update has stopped: steps that were begun are taken back, nothing is begun. */
  paused: boolean;
  /** This slot may begin to move to the current version now. */
  begin: boolean;
  /** Whether a task may be made here; false where a global service's node takes no new tasks now. */
  mayCreate: boolean;
  /** Whether the task moves to another node when its own must be left: in replicated services, not in global ones. */
  mayMove: boolean;
}

interface Current {
  clean: Task[];
  dirty: Task[];
}

/** One slot: all its tasks in the store, newest first. Collects what is to change. Thousands are made in each pass. */
export class Slot {
  readonly key: string;
  readonly place: Place;
  readonly service: Service;
  readonly #tasks: Task[];
  #current: Current | undefined;
  #created: Task[] | undefined;
  #updated: Map<string, Task> | undefined;

  /** `tasks` must be newest first. */
  constructor(key: string, place: Place, service: Service, tasks: Task[] = []) {
    this.key = key;
    this.place = place;
    this.service = service;
    this.#tasks = tasks;
  }

  get tasks(): readonly Task[] {
    return this.#tasks;
  }

  /** Tasks that the service wants, by whether they are of its current version. */
  get current(): Readonly<Current> {
    if (this.#current !== undefined) return this.#current;
    const current: Current = { clean: [], dirty: [] };
    for (const task of this.#tasks) {
      if (!isWanted(task)) continue;
      if (task.specVersion === this.service.specVersion) current.clean.push(task);
      else current.dirty.push(task);
    }
    return (this.#current = current);
  }

  /** Puts the task in the place of the one with its id; nothing is written for one that is unchanged. */
  replace(task: Task): void {
    const index = this.#tasks.findIndex((other) => other.id === task.id);
    if (this.#tasks[index] === task) return;
    this.#tasks[index] = task;
    this.#current = undefined;
    (this.#updated ??= new Map()).set(task.id, task);
  }

  /** The task, if any, that another stands in for while its node is down. */
  get awaited(): Task | undefined {
    return this.#tasks.find(({ awaited }) => awaited === true);
  }

  retire(task: Task): void {
    this.replace(withDesired(task, 'shutdown'));
  }

  /** Makes a task, unless too many of the slot have yet to end: then the pass after one has ended makes it. */
  create(
    planning: Planning,
    blueprint: Blueprint,
    desiredState: 'ready' | 'running',
    startAfter?: number,
  ): void {
    const unfinished = this.#tasks.filter((task) => isAlive(task) && !planning.isGone(task));
    if (unfinished.length >= unfinishedTasksMax) return;
    const task = makeTask({
      service: this.service,
      place: this.place,
      blueprint,
      desiredState,
      startAfter,
      now: planning.now,
      random: planning.random,
      after: this.#tasks[0],
    });
    this.#tasks.unshift(task);
    this.#current = undefined;
    (this.#created ??= []).push(task);
  }

  changes(): Change[] {
    const updated = [...(this.#updated?.values() ?? [])];
    return [
      ...updated.map((object): Change => ({ kind: 'task', action: 'update', object })),
      ...(this.#created ?? []).map((object): Change => ({ kind: 'task', action: 'create', object })),
    ];
  }
}

/** Sorts the tasks of a service into slots: by number, or by node for a global service. */
export function slotsOf(service: Service, tasks: Iterable<Task>): Map<string, Slot> {
  const byPlace = new Map<string, Task[]>();
  for (const task of tasks) {
    const key = placeKey(task);
    const others = byPlace.get(key);
    if (others === undefined) byPlace.set(key, [task]);
    else others.push(task);
  }
  const slots = new Map<string, Slot>();
  for (const [key, slotTasks] of byPlace) {
    if (slotTasks.length > 1) slotTasks.sort(newestFirst);
    const { slot, nodeId } = slotTasks[0]!;
    slots.set(key, new Slot(key, slot > 0 ? { slot } : { slot, nodeId }, service, slotTasks));
  }
  return slots;
}

/** Decides between the slot's task that is away and its replacement, as soon as it can be told which one runs. */
export function settleReturn(slot: Slot, planning: Planning): void {
  const task = slot.awaited;
  if (task === undefined) return;
  const { clean, dirty } = slot.current;
  const current = [...clean, ...dirty];
  const outcome = outcomeOf(slot.service, task, current, planning);
  if (outcome === 'retire') slot.retire(task);
  if (outcome !== 'keep') return;
  for (const replacement of current) slot.retire(replacement);
  const { awaited: _back, ...kept } = task;
  slot.replace(kept);
}

/** Brings one slot a step further: fills it, replaces what ended, starts what was held back, updates it when it may. */
export function stepSlot(slot: Slot, rules: SlotRules, planning: Planning): void {
  const clean = keepBest(slot, slot.current.clean);
  const dirty = keepBest(slot, slot.current.dirty);
  if (clean !== undefined && dirty !== undefined) stepPair(slot, clean, dirty, rules, planning);
  else if (clean !== undefined) keepUp(slot, clean, rules, planning);
  else if (dirty !== undefined && rules.begin) beginUpdate(slot, dirty, rules, planning);
  else if (dirty !== undefined) keepUp(slot, dirty, rules, planning);
  else if (rules.mayCreate) {
    slot.create(
      planning,
      blueprintOf(slot.service),
      isBlocked(slot, undefined, rules, planning) ? 'ready' : 'running',
    );
  }
}

/** The task that serves best; any others of the same kind are told to stop. */
function keepBest(slot: Slot, tasks: Task[]): Task | undefined {
  if (tasks.length < 2) return tasks[0];
  const score = (task: Task) => (task.status.state === 'running' ? 2 : isTerminal(task.status.state) ? 0 : 1);
  const sorted = [...tasks].sort(
    (left, right) => score(right) - score(left) || longestRunning(left, right) || newestFirst(left, right),
  );
  for (const task of sorted.slice(1)) slot.retire(task);
  return sorted[0];
}

/** Of two that run the one that has for longer: it is the better proven. 0 when one of them does not run. */
function longestRunning(left: Task, right: Task): number {
  if (left.status.state !== 'running' || right.status.state !== 'running') return 0;
  return (left.status.startedAt ?? left.status.at) - (right.status.startedAt ?? right.status.at);
}

/** A slot on its way from `dirty` to `clean`: decides when the old one is told to stop, and keeps the new one coming. */
function stepPair(slot: Slot, clean: Task, dirty: Task, rules: SlotRules, planning: Planning): void {
  if (!isServing(dirty, planning) || mayStopOld(slot, clean, dirty, rules, planning)) {
    slot.retire(dirty);
    keepUp(slot, clean, rules, planning);
  } else if (rules.paused) {
    slot.retire(clean);
    keepUp(slot, dirty, rules, planning);
  } else keepUp(slot, clean, rules, planning);
}

/** Whether the task does, or is about to do, the slot's work. */
export function isServing(task: Task, planning: Planning): boolean {
  return isAlive(task) && task.desiredState === 'running' && !planning.mustLeave(task);
}

/** Whether the task has run for the monitor time, or has done what it is for. */
export function isGood(
  { status, desiredState, template }: Task,
  monitorMs: number,
  planning: Planning,
): boolean {
  const { state, startedAt, at } = status;
  if (state === 'complete') return template.restart.condition !== 'any';
  return state === 'running' && desiredState === 'running' && planning.isDue(startedAt ?? at, monitorMs);
}

/** Where the new task starts first, the old one stays until the new one is known to be good. */
function mayStopOld(slot: Slot, clean: Task, dirty: Task, rules: SlotRules, planning: Planning): boolean {
  const { state } = clean.status;
  const { order, monitorMs } = rules.policy;
  if (order === 'start-first') return isGood(clean, monitorMs, planning);
  if (state === 'running' || state === 'complete') return true;
  if (rules.paused || isTerminal(state)) return false;
  if (compareTaskStates(state, 'ready') >= 0) return true;
  if (!isUnplaced(clean) || !stoppingMayHelp(clean, dirty)) return false;
  if (waitsForInitialisation(slot, clean, planning)) return false;
  return planning.isDue(clean.status.at, placementPatienceMs);
}

/** Whether the old task may hold something that the new one needs before it can be placed. */
function stoppingMayHelp(clean: Task, dirty: Task): boolean {
  const { reservations, placement, hostPorts } = clean.template;
  const needsRoom = (reservations.nanoCpus ?? 0) > 0 || (reservations.memoryBytes ?? 0) > 0;
  return (
    needsRoom ||
    placement.maxReplicasPerNode > 0 ||
    (hostPorts.length > 0 && dirty.template.hostPorts.length > 0) ||
    clean.template.networks.some(({ address }) =>
      dirty.attachments.some((attachment) => attachment.address === address),
    )
  );
}

/** Whether the task is not placed because another one runs the init containers of their version. */
function waitsForInitialisation({ service }: Slot, task: Task, planning: Planning): boolean {
  if (!initialisesOnce(task.template) || isInitialised(service, task.specVersion)) return false;
  const tasks = planning.view.tasksOfService(service.id);
  return initialiserOf(tasks, task.specVersion, (other) => planning.isGone(other)) !== undefined;
}

function beginUpdate(slot: Slot, dirty: Task, rules: SlotRules, planning: Planning): void {
  const serving = isServing(dirty, planning);
  if (!serving) slot.retire(dirty);
  const held = serving ? rules.policy.order === 'stop-first' : isBlocked(slot, undefined, rules, planning);
  slot.create(planning, blueprintOf(slot.service), held ? 'ready' : 'running');
}

/** Keeps one task of the slot going: replaces it when it ended or must leave its node, starts it when its time has come. */
function keepUp(slot: Slot, task: Task, rules: SlotRules, planning: Planning): void {
  if (planning.hasLostAnchor(task)) {
    // However it ended itself: what it was made for is another task's now.
    if (rules.mayCreate) replaceTask(slot, task, atOnce, rules, planning);
    else slot.retire(task);
  } else if (isTerminal(task.status.state)) {
    // One that failed while it was held back (its image is missing, say) has its delay still to wait for.
    if (!rules.mayCreate || !mayStart(task, planning)) return;
    const decision = decideRestart(task, slot.tasks);
    if (decision.restart) replaceTask(slot, task, decision, rules, planning);
  } else if (rules.mayMove && planning.mustLeave(task)) {
    replaceTask(slot, task, atOnce, rules, planning);
  } else if (task.desiredState === 'ready') {
    const due = mayStart(task, planning);
    if (due && !isBlocked(slot, task, rules, planning)) slot.replace(withDesired(task, 'running'));
  }
}

/** Whether the delay that the task was made with has passed. */
function mayStart({ startAfter, template }: Task, planning: Planning): boolean {
  const { delayMs } = template.restart;
  return startAfter === undefined || planning.isDue(startAfter - delayMs, delayMs);
}

interface Replacement {
  delayMs: number;
  attempts?: number;
}

const atOnce: Replacement = { delayMs: 0 };

/** A new task of the same version in the place of one that ended or must leave. */
function replaceTask(
  slot: Slot,
  task: Task,
  { delayMs, attempts }: Replacement,
  rules: SlotRules,
  planning: Planning,
): void {
  if (mayReturn(slot.service, task, planning)) slot.replace({ ...task, awaited: true });
  else slot.retire(task);
  const { specVersion, template } = task;
  const held = delayMs > 0 || isBlocked(slot, undefined, rules, planning);
  const startAfter = delayMs > 0 ? planning.now + delayMs : undefined;
  slot.create(planning, { specVersion, template, attempts }, held ? 'ready' : 'running', startAfter);
  if (delayMs > 0) planning.isDue(planning.now, delayMs);
}

/** Whether another task of the slot may still run, so that a new one must not start yet. */
function isBlocked(slot: Slot, candidate: Task | undefined, rules: SlotRules, planning: Planning): boolean {
  return slot.tasks.some(
    (task) =>
      task.id !== candidate?.id &&
      isAlive(task) &&
      !planning.isGone(task) &&
      !(rules.policy.order === 'start-first' && isWanted(task)),
  );
}
