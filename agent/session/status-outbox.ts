import type { TaskStatus } from '../../src/spec/task.ts';
import { statusBatchMax } from '../../src/wire/session.ts';
import { statusBatchBytesMax, statusTextMax } from './limits.ts';

export interface StatusBatch {
  batch: number;
  tasks: { taskId: string; status: TaskStatus }[];
}

/**
 * Statuses on their way to the manager: the latest of each task, so never more than there are tasks. One batch is under
 * way at a time; what changes meanwhile goes into the next one, and what a lost session had not acknowledged goes again.
 */
export class StatusOutbox {
  readonly #waiting = new Map<string, TaskStatus>();
  #inFlight: StatusBatch | undefined;
  #batches = 0;
  /** Since when batches have been sent of which no manager has taken one (monotonic ms). */
  #untakenSince: number | undefined;

  put(taskId: string, status: TaskStatus): void {
    this.#waiting.set(taskId, shortened(status));
  }

  /** Whether a status of the task waits, or is under way and not acknowledged. */
  has(taskId: string): boolean {
    return this.#waiting.has(taskId) || this.#inFlight?.tasks.some((told) => told.taskId === taskId) === true;
  }

  /** For a task that is not assigned here any more: nobody wants to know. */
  drop(taskId: string): void {
    this.#waiting.delete(taskId);
  }

  /** For how long no manager has taken what it was told; 0: nothing is to be told. */
  untakenMs(now: number): number {
    if (this.#waiting.size === 0 && this.#inFlight === undefined) this.#untakenSince = undefined;
    return this.#untakenSince === undefined ? 0 : now - this.#untakenSince;
  }

  /** The next batch to send; undefined while one is under way or when there is nothing to tell. `now`: monotonic ms. */
  take(now: number): StatusBatch | undefined {
    if (this.#inFlight || this.#waiting.size === 0) return undefined;
    const chosen: StatusBatch['tasks'] = [];
    let bytes = 0;
    for (const [taskId, status] of this.#waiting) {
      bytes += Buffer.byteLength(JSON.stringify({ taskId, status }));
      if (chosen.length > 0 && (chosen.length === statusBatchMax || bytes > statusBatchBytesMax)) break;
      chosen.push({ taskId, status });
      this.#waiting.delete(taskId);
    }
    this.#batches++;
    this.#untakenSince ??= now;
    this.#inFlight = { batch: this.#batches, tasks: chosen };
    return this.#inFlight;
  }

  /** True when it was the batch under way. */
  acknowledge(batch: number): boolean {
    if (this.#inFlight?.batch !== batch) return false;
    this.#inFlight = undefined;
    this.#untakenSince = undefined;
    return true;
  }

  /** True when it was the batch under way: it is to be told again. */
  declined(batch: number): boolean {
    if (this.#inFlight?.batch !== batch) return false;
    this.lost();
    return true;
  }

  /** Nobody took what was under way: it is to be told again, unless something newer is. */
  lost(): void {
    for (const { taskId, status } of this.#inFlight?.tasks ?? []) {
      if (!this.#waiting.has(taskId)) this.#waiting.set(taskId, status);
    }
    this.#inFlight = undefined;
  }
}

function shortened(status: TaskStatus): TaskStatus {
  const cut = (text: string) =>
    text.length > statusTextMax ? `${text.slice(0, statusTextMax)} … (cut)` : text;
  const { error } = status;
  return {
    ...status,
    message: cut(status.message),
    ...(error ? { error: { ...error, message: cut(error.message) } } : {}),
  };
}
