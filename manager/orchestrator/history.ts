import { taskHistoryPerSlot } from '../../src/spec/defaults.ts';
import { hostPathMemoryMs, isMisplaced } from '../../src/spec/host-path.ts';
import { isTerminal, isWanted, type Task } from '../../src/spec/task.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import { historyNeeded } from './restart.ts';
import { newestFirst, placeKey } from './tasks.ts';

/** What is kept of ended tasks in the whole cluster, however many slots there are. */
export interface HistoryLimits {
  tasksMax: number;
  bytesMax: number;
}

export const historyLimits: HistoryLimits = { tasksMax: 20_000, bytesMax: 64 * 1024 * 1024 };

/** How large a task is; it never changes, for objects of a view are replaced. */
const sizes = new WeakMap<Task, number>();

/**
 * Ended tasks of one service beyond the newest few of their slot. Those that say which hosts lack a path are kept for as long as that
 * is remembered: the scheduler would go round in a circle without them.
 */
export function surplusInSlots(tasks: Iterable<Task>, now: number): Task[] {
  const isRemembered = (task: Task) => isMisplaced(task) && !hasPassed(task.status.at, hostPathMemoryMs, now);
  return [...endedBySlot(tasks)].flatMap((ended) => {
    if (ended.length <= taskHistoryPerSlot) return [];
    ended.sort(newestFirst);
    const surplus = ended.slice(Math.max(taskHistoryPerSlot, historyNeeded(ended[0]!)));
    return surplus.filter((task) => !isRemembered(task));
  });
}

/** The oldest ended tasks of all, as long as there are too many of them or they are too large together. */
export function surplusInAll(tasks: Iterable<Task>, limits = historyLimits): Task[] {
  const ended = [...tasks].filter(isEnded).sort((left, right) => right.status.at - left.status.at);
  let bytes = 0;
  return ended.filter((task, index) => {
    bytes += sizeOf(task);
    return index >= limits.tasksMax || bytes > limits.bytesMax;
  });
}

function isEnded(task: Task): boolean {
  return !isWanted(task) && isTerminal(task.status.state);
}

function endedBySlot(tasks: Iterable<Task>): Iterable<Task[]> {
  const ended = new Map<string, Task[]>();
  for (const task of tasks) {
    if (!isEnded(task)) continue;
    const key = placeKey(task);
    const others = ended.get(key);
    if (others === undefined) ended.set(key, [task]);
    else others.push(task);
  }
  return ended.values();
}

function sizeOf(task: Task): number {
  const known = sizes.get(task);
  if (known !== undefined) return known;
  const size = JSON.stringify(task).length;
  sizes.set(task, size);
  return size;
}
