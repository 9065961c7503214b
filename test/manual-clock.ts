import type { Clock } from '../src/util/clock.ts';

/** A clock that goes when it is told to. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  now = () => this.#now;
  monotonic = () => this.#now;

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(ms, resolve);
      const abort = () => {
        cancel();
        reject(signal?.reason as Error);
      };
      if (signal?.aborted) abort();
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  advance(ms: number): void {
    this.#now += ms;
    for (const timer of Array.from(this.#timers).filter(({ at }) => at <= this.#now)) {
      this.#timers.delete(timer);
      timer.callback();
    }
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.size;
  }
}
