import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';

interface Waiting {
  priority: number;
  admit: () => void;
}

/**
 * Places that work of different priorities shares. `limits[P]` is how many may be taken in all when work of priority P
 * comes; 0 is the most urgent. The limits never grow with P, so what is less urgent leaves places free for what is more.
 */
export class PriorityLimiter {
  readonly #limits: readonly number[];
  readonly #waitingMax: number;
  readonly #waiting: Waiting[] = [];
  #taken = 0;

  constructor(limits: readonly number[], waitingMax: number) {
    this.#limits = limits;
    this.#waitingMax = waitingMax;
  }

  /** Whether nobody has or wants a place. */
  get isIdle(): boolean {
    return this.#taken === 0 && this.#waiting.length === 0;
  }

  /**
   * Resolves with how to give the place back, once there is one. Throws `resource_exhausted` after `timeoutMs`, or at once
   * when as many wait already as may.
   */
  async take(priority: number, clock: Clock, timeoutMs: number): Promise<() => void> {
    if (!this.#fits(priority)) await this.#wait(priority, clock, timeoutMs);
    this.#taken++;
    let isGivenBack = false;
    return () => {
      if (isGivenBack) return;
      isGivenBack = true;
      this.#taken--;
      this.#admit();
    };
  }

  #fits(priority: number): boolean {
    const isFirst = this.#waiting.every((other) => other.priority > priority);
    return isFirst && this.#taken < this.#limits[priority]!;
  }

  async #wait(priority: number, clock: Clock, timeoutMs: number): Promise<void> {
    if (this.#waiting.length >= this.#waitingMax) throw exhausted(`${this.#waitingMax} others wait already`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { priority, admit: resolve };
    const before = this.#waiting.findIndex((other) => other.priority > priority);
    this.#waiting.splice(before < 0 ? this.#waiting.length : before, 0, waiting);
    const cancel = clock.after(timeoutMs, () => {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      reject(exhausted(`no place came free within ${timeoutMs / 1000} s`));
      this.#admit();
    });
    await promise.finally(cancel);
    this.#taken--; // it was taken in its name
  }

  #admit(): void {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined || this.#taken >= this.#limits[first.priority]!) return;
      this.#waiting.shift();
      this.#taken++;
      first.admit();
    }
  }
}

function exhausted(why: string): ShoalError {
  return new ShoalError('resource_exhausted', `Cannot begin: ${why}`);
}
