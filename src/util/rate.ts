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

  /** Takes so much though there may be less: then nothing is left for a while, at most as long as the whole burst takes. */
  charge(amount: number): void {
    this.take(0);
    this.#left = Math.max(-this.#rate.burst, this.#left - amount);
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

/** A rate for each of many. Of those that are known at a time the one that is heard of least is forgotten. */
export class KeyedRates {
  readonly #rate: Rate;
  readonly #keysMax: number;
  readonly #clock: Clock;
  /** In the order in which they were heard of last. */
  readonly #limiters = new Map<string, RateLimiter>();

  constructor(rate: Rate, keysMax: number, clock: Clock) {
    this.#rate = rate;
    this.#keysMax = keysMax;
    this.#clock = clock;
  }

  /** Takes one of the key's; false when there is none left. */
  take(key: string): boolean {
    return this.#limiterOf(key).take();
  }

  /** As `RateLimiter.charge`. */
  charge(key: string, amount: number): void {
    this.#limiterOf(key).charge(amount);
  }

  #limiterOf(key: string): RateLimiter {
    const limiter = this.#limiters.get(key) ?? new RateLimiter(this.#rate, this.#clock);
    this.#limiters.delete(key);
    if (this.#limiters.size >= this.#keysMax) {
      for (const oldest of this.#limiters.keys()) {
        this.#limiters.delete(oldest);
        break;
      }
    }
    this.#limiters.set(key, limiter);
    return limiter;
  }
}
