import { isTerminal, type DesiredTaskState, type Task } from '../../src/spec/task.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Random } from '../../src/util/random.ts';
import type { Change, Plan } from '../store/objects.ts';

const desiredOrder: Record<DesiredTaskState, number> = { ready: 0, running: 1, shutdown: 2, remove: 3 };

/** Whether no agent has the task yet: nothing of it can exist on a host. */
export function isUnplaced(task: Task): boolean {
  return task.status.state === 'new' || task.status.state === 'pending';
}

/** Whether something of the task may exist on a host. */
export function isAlive(task: Task): boolean {
  return !isUnplaced(task) && !isTerminal(task.status.state);
}

/** The task with a later desired state; the same object when it is there or past it already. Desired states never go back. */
export function withDesired(task: Task, desiredState: DesiredTaskState): Task {
  if (desiredOrder[desiredState] <= desiredOrder[task.desiredState]) return task;
  const { awaited: _ended, ...rest } = task;
  return { ...rest, desiredState };
}

/** Sorts newest first. Tasks of one slot are never made at the same millisecond, see `makeTask`. */
export function newestFirst(left: Task, right: Task): number {
  return right.createdAt - left.createdAt || (left.id < right.id ? 1 : -1);
}

/** Where a task belongs: a slot number, or a node for a global service. */
export interface Place {
  slot: number;
  nodeId?: string | undefined;
}

/** The key of the task's slot among those of its service. */
export function placeKey(task: Task): string {
  return task.slot > 0 ? String(task.slot) : (task.nodeId ?? '');
}

/** What a new task is made from: the service as it is now, or the task that it replaces. */
export interface Blueprint {
  specVersion: number;
  template: Task['template'];
  attempts?: number | undefined;
}

/** The service's current version. */
export function blueprintOf(service: Service): Blueprint {
  return { specVersion: service.specVersion, template: service.spec.task };
}

export interface NewTaskOptions {
  service: Service;
  place: Place;
  blueprint: Blueprint;
  desiredState: 'ready' | 'running';
  now: number;
  random: Random;
  /** Do not start before this time (ms). */
  startAfter?: number | undefined;
  /** The newest task of the slot: the new one is made later, even when the clock stands still or was set back. */
  after?: Task | undefined;
}

/** A new task, not yet allocated or placed. */
export function makeTask(options: NewTaskOptions): Task {
  const { service, place, blueprint, desiredState, now, random, startAfter, after } = options;
  const createdAt = Math.max(now, (after?.createdAt ?? 0) + 1);
  const updateId = updateMaking(service, blueprint);
  return {
    id: random.id(),
    createdAt,
    updatedAt: createdAt,
    revision: 0,
    application: service.spec.application,
    serviceId: service.id,
    serviceName: service.spec.name,
    slot: place.slot,
    ...(place.nodeId === undefined ? {} : { nodeId: place.nodeId }),
    specVersion: blueprint.specVersion,
    ...(updateId === undefined ? {} : { updateId }),
    ...(blueprint.attempts === undefined ? {} : { attempts: blueprint.attempts }),
    template: blueprint.template,
    desiredState,
    status: { state: 'new', at: now, message: 'created' },
    attachments: [],
    ...(startAfter === undefined ? {} : { startAfter }),
  };
}

/** The update under way to whose version the new task belongs. */
function updateMaking({ updateStatus }: Service, { specVersion }: Blueprint): string | undefined {
  if (updateStatus?.specVersion !== specVersion || updateStatus.state.endsWith('completed')) return undefined;
  return updateStatus.id;
}

/** Independent changes share a transaction up to this many, well under the store's limit. */
const changesPerGroup = 100;

/** Cuts changes that do not depend on each other into groups. */
export function inGroups(changes: Change[]): Plan {
  const plan: Plan = [];
  for (let from = 0; from < changes.length; from += changesPerGroup) {
    plan.push(changes.slice(from, from + changesPerGroup));
  }
  return plan;
}
