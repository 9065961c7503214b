import { isMisplaced } from '../../src/spec/host-path.ts';
import { allowsRestart, endedByItself } from '../../src/spec/restart.ts';
import type { Task } from '../../src/spec/task.ts';

/** `attempts`: what `Task.attempts` of the replacement is to be. */
export type RestartDecision = { restart: false } | { restart: true; delayMs: number; attempts?: number };

/** Attempts are counted in the tasks that have ended, which are kept for it, up to this many; more are counted in the tasks. */
export const countedAttemptsMax = 20;

/**
 * Whether a task that ended by itself is to be replaced in its slot, and after how long, by the restart policy in its
 * template. `slotTasks` is everything the store has of the slot, the task included: attempts are counted from what is
 * stored, so that a new leader counts the same. The first task of a version is no attempt.
 */
export function decideRestart(task: Task, slotTasks: readonly Task[]): RestartDecision {
  const { delayMs, maxAttempts, windowMs } = task.template.restart;
  const { state } = task.status;
  // Its host lost it; the program itself did not end.
  if (state === 'orphaned') return { restart: true, delayMs: 0 };
  // It has not even begun: another host is tried, and each but once in a while.
  if (isMisplaced(task)) return { restart: true, delayMs: 0 };
  if (state === 'shutdown') return { restart: true, delayMs };
  if (!allowsRestart(task.template.restart, state)) return { restart: false };
  if (maxAttempts === 0) return { restart: true, delayMs };
  // In both directions: after the clock was set back, earlier ends may lie ahead.
  const isRecent = (other: Task) => Math.abs(other.status.at - task.status.at) <= (windowMs || Infinity);
  const ended = slotTasks.filter(
    (other) =>
      other.specVersion === task.specVersion &&
      endedByItself(other.status.state) &&
      isRecent(other) &&
      !isMisplaced(other),
  );
  if (maxAttempts <= countedAttemptsMax)
    return ended.length <= maxAttempts ? { restart: true, delayMs } : { restart: false };
  // The one before ended too long ago: the count begins anew.
  const attempts = ended.length > 1 ? (task.attempts ?? 0) + 1 : 1;
  return attempts <= maxAttempts ? { restart: true, delayMs, attempts } : { restart: false };
}

/** How many finished tasks of a slot the counting of attempts needs. */
export function historyNeeded(task: Task): number {
  return Math.min(task.template.restart.maxAttempts, countedAttemptsMax);
}
