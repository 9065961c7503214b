import type { Clock } from '../../src/util/clock.ts';

/** Wakes whoever follows a task's log when something was written to it, so that nobody looks at files again and again. */
export class LogSignals {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something was written to the task's log. */
  written(taskId: string): void {
    for (const wake of this.#waiting.get(taskId) ?? []) wake();
  }

  /**
   * Begins to listen: `next` of what it gives resolves when something was written since the last call, after `timeoutMs`
   * in any case, and when the signal aborts. `close` ends it.
   */
  follow(
    taskId: string,
    signal?: AbortSignal,
  ): { next: (timeoutMs: number) => Promise<void>; close: () => void } {
    const waiting = this.#waiting.get(taskId) ?? new Set();
    this.#waiting.set(taskId, waiting);
    let isNew = false;
    let wake: (() => void) | undefined;
    const onWritten = () => {
      isNew = true;
      wake?.();
    };
    waiting.add(onWritten);
    signal?.addEventListener('abort', onWritten, { once: true });
    return {
      next: async (timeoutMs) => {
        if (!isNew && signal?.aborted !== true) {
          const { promise, resolve } = Promise.withResolvers<void>();
          const cancel = this.#clock.after(timeoutMs, resolve);
          wake = resolve;
          await promise;
          cancel();
          wake = undefined;
        }
        isNew = false;
      },
      close: () => {
        signal?.removeEventListener('abort', onWritten);
        waiting.delete(onWritten);
        if (waiting.size === 0) this.#waiting.delete(taskId);
      },
    };
  }
}
