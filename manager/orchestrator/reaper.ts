import { taskHistoryPerSlot } from '../../src/spec/defaults.ts';
import { isTerminal, moveTask, type Task } from '../../src/spec/task.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import type { Change, View } from '../store/objects.ts';
import { historyNeeded } from './restart.ts';
import { servicesIn, tasksIn, type Services } from './scope.ts';
import type { TimedPlan } from './services.ts';
import { inGroups, isCurrent, isUnplaced, newestFirst, placeKey } from './tasks.ts';

/** A task on a node that has been down this long is declared orphaned (SwarmKit's 24 h). */
export const orphanAfterMs = 24 * 60 * 60 * 1000;

/**
 * A task that is to vanish is not waited for when its node has been down this long: the node stops it when it returns,
 * because its assignment no longer names it.
 */
export const removeFromDownNodeAfterMs = 60_000;

/**
 * Plans what the store no longer needs: tasks told to vanish once nothing of them is left, history beyond what is kept
 * for each slot; and ends tasks that no agent can end. `due` is when a node will have been down long enough.
 */
export function planReaping(view: View, now: number, services?: Services): TimedPlan {
  const changes: Change[] = [];
  const due = new Map<string, number>();
  const deleted = new Set<string>();
  for (const task of tasksIn(view, services)) {
    const fate = fateOf(task, view, now);
    if (fate.kind === 'delete') {
      deleted.add(task.id);
      changes.push({ kind: 'task', action: 'delete', object: task });
    } else if (fate.kind === 'end') {
      changes.push({ kind: 'task', action: 'update', object: fate.task });
    } else if (fate.kind === 'wait') {
      due.set(task.serviceId, Math.min(due.get(task.serviceId) ?? Infinity, fate.untilMs));
    }
  }
  for (const service of servicesIn(view, services)) {
    for (const task of surplusHistory(view.tasksOfService(service.id))) {
      if (!deleted.has(task.id)) changes.push({ kind: 'task', action: 'delete', object: task });
    }
  }
  return { plan: inGroups(changes), due };
}

type Fate =
  | { kind: 'keep' }
  | { kind: 'delete' }
  | { kind: 'end'; task: Task }
  | { kind: 'wait'; untilMs: number };

function fateOf(task: Task, view: View, now: number): Fate {
  const vanishing = task.desiredState === 'remove';
  if (isTerminal(task.status.state)) return vanishing ? { kind: 'delete' } : { kind: 'keep' };
  if (isUnplaced(task)) {
    if (vanishing) return { kind: 'delete' };
    return isCurrent(task) ? { kind: 'keep' } : { kind: 'end', task: endedUnplaced(task, now) };
  }
  const node = view.nodes.get(task.nodeId ?? '');
  if (node === undefined) return vanishing ? { kind: 'delete' } : { kind: 'end', task: orphaned(task, now) };
  if (node.status.state !== 'down') return { kind: 'keep' };
  const { since } = node.status;
  const delayMs = vanishing ? removeFromDownNodeAfterMs : orphanAfterMs;
  if (!hasPassed(since, delayMs, now)) return { kind: 'wait', untilMs: since + delayMs };
  return vanishing ? { kind: 'delete' } : { kind: 'end', task: orphaned(task, now) };
}

function endedUnplaced(task: Task, now: number): Task {
  const next = {
    ...task.status,
    state: 'shutdown',
    at: now,
    message: 'stopped before it was placed',
  } as const;
  return { ...task, status: moveTask(task.status, next, 'manager') };
}

function orphaned(task: Task, now: number): Task {
  const next = { ...task.status, state: 'orphaned', at: now, message: 'its node is gone' } as const;
  return { ...task, status: moveTask(task.status, next, 'manager') };
}

/** Finished tasks beyond the newest few of their slot. */
function surplusHistory(tasks: Iterable<Task>): Task[] {
  const finished = new Map<string, Task[]>();
  for (const task of tasks) {
    if (isCurrent(task) || !isTerminal(task.status.state)) continue;
    const key = placeKey(task);
    const others = finished.get(key);
    if (others === undefined) finished.set(key, [task]);
    else others.push(task);
  }
  const surplus: Task[] = [];
  for (const slotTasks of finished.values()) {
    if (slotTasks.length <= taskHistoryPerSlot) continue;
    slotTasks.sort(newestFirst);
    const kept = Math.max(taskHistoryPerSlot, historyNeeded(slotTasks[0]!));
    surplus.push(...slotTasks.slice(kept));
  }
  return surplus;
}
