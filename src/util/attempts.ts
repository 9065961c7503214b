const windowMs = 60_000;
/** Callers that are counted apart; in a window with more the rest are counted together. */
const callersMax = 1_000;

/** Bounds how often each caller does something in a minute. Times are of a monotonic clock. */
export class AttemptBudget {
  readonly #perWindowMax: number;
  #windowFrom = Number.NEGATIVE_INFINITY;
  readonly #counts = new Map<string, number>();

  constructor(perWindowMax: number) {
    this.#perWindowMax = perWindowMax;
  }

  /** Counts one more; false when the caller has had all before. */
  take(caller: string, nowMs: number): boolean {
    if (this.isSpent(caller, nowMs)) return false;
    const key = this.#keyOf(caller);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return true;
  }

  /** Whether the caller has had all of this minute. */
  isSpent(caller: string, nowMs: number): boolean {
    if (nowMs - this.#windowFrom >= windowMs) {
      this.#windowFrom = nowMs;
      this.#counts.clear();
    }
    return (this.#counts.get(this.#keyOf(caller)) ?? 0) >= this.#perWindowMax;
  }

  #keyOf(caller: string): string {
    return this.#counts.has(caller) || this.#counts.size < callersMax ? caller : '';
  }
}
