/** Attempts without success that one caller has in the log in a window; all callers without a certificate are one. */
export const failuresPerWindowMax = 60;
const windowMs = 60_000;
/** Callers that are counted apart; a window with more counts the rest together. */
const callersMax = 1_000;

/**
 * Bounds what failed attempts write, so that nobody who may do nothing can push out of the log what was done. Times are
 * of a monotonic clock.
 */
export class FailureBudget {
  #windowFrom = Number.NEGATIVE_INFINITY;
  readonly #counts = new Map<string, number>();

  /** Whether the caller's next failed attempt is written. */
  take(caller: string, nowMs: number): boolean {
    if (nowMs - this.#windowFrom >= windowMs) {
      this.#windowFrom = nowMs;
      this.#counts.clear();
    }
    const key = this.#counts.has(caller) || this.#counts.size < callersMax ? caller : '';
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count <= failuresPerWindowMax;
  }
}
