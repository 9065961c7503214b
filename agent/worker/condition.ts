import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** Lets others wait until something they can look at has come about, without polling. */
export class Condition {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tells everybody who waits to look again. */
  changed(): void {
    for (const look of this.#waiting) look();
  }

  /**
   * Resolves with what `look` gives as soon as it gives something. Throws `deadline_exceeded`, with `what` in its message,
   * after `timeoutMs`, and the signal's reason when it aborts.
   */
  async until<T>(
    what: string,
    timeoutMs: number,
    look: () => T | undefined,
    signal?: AbortSignal,
  ): Promise<T> {
    signal?.throwIfAborted();
    const now = look();
    if (now !== undefined) return now;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onChange = () => {
      const value = look();
      if (value !== undefined) resolve(value);
    };
    const onAbort = () => reject(signal?.reason as Error);
    const cancel = this.#clock.after(timeoutMs, () =>
      reject(
        new ShoalError('deadline_exceeded', `Cannot go on: ${what} did not come within ${timeoutMs} ms`),
      ),
    );
    this.#waiting.add(onChange);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      cancel();
      this.#waiting.delete(onChange);
      signal?.removeEventListener('abort', onAbort);
    }
  }
}
