import { ShoalError } from '../../src/util/errors.ts';
import { isNotFound } from './client.ts';
import type { ContainerState } from './engine.ts';
import type { TaskProcess } from './messages.ts';

export interface TaskState {
  state: ContainerState;
  pid?: number;
  exitCode?: number;
}

/** A container without a task is stopped, and how it ended is unknown. One whose shim does not answer may well run. */
export function describeTask(task: TaskProcess | undefined): TaskState {
  switch (task?.status) {
    case 'CREATED':
      return { state: 'created', pid: task.pid };
    case 'RUNNING':
    case 'PAUSED':
    case 'PAUSING':
      return { state: 'running', pid: task.pid };
    case 'STOPPED':
      return { state: 'stopped', exitCode: task.exitStatus };
    case 'UNKNOWN':
      return { state: 'unknown' };
    case undefined:
      return { state: 'stopped' };
    default:
      throw new ShoalError('internal', `Invariant broken: unknown task status ${String(task?.status)}`);
  }
}

/** For a removal: what is not there is removed. */
export async function ignoreMissing(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
