import type { Clock } from './clock.ts';

/** So much a second on average, and so much at once. */
export interface Rate {
  perSecond: number;
  burst: number;
}

/** Lets through what a rate allows (a token bucket). */
export class RateLimiter {
  readonly #rate: Rate;
  readonly #clock: Clock;
  #left: number;
  #at: number;

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
    this.#left = rate.burst;
    this.#at = clock.monotonic();
  }

  /** Takes so much; false when there is not as much left, and then nothing is taken. */
  take(amount = 1): boolean {
    const now = this.#clock.monotonic();
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1_000) * perSecond);
    this.#at = now;
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }
}
