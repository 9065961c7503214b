import type { RestartPolicy } from './service.ts';
import type { TaskState } from './task.ts';

/** Whether a task in this state has ended, or could not be started, without having been told to stop. */
export function endedByItself(state: TaskState): boolean {
  return state === 'complete' || state === 'failed' || state === 'rejected';
}

/** Whether a task that ended in this state is run again, as far as the policy's condition goes. */
export function allowsRestart({ condition }: RestartPolicy, state: TaskState): boolean {
  return condition !== 'none' && !(condition === 'on-failure' && state === 'complete');
}
