import { systemClock, type Clock } from './clock.ts';
import { systemRandom, type Random } from './random.ts';

export interface BackoffOptions {
  /** First delay. @default 100 */
  minMs?: number;
  /** Largest delay. @default 8000 */
  maxMs?: number;
}

/**
 * Full-jitter exponential backoff: the delay before attempt `attempt` (1 is the first retry), in milliseconds.
 */
export function backoffMs(attempt: number, random: Random, options: BackoffOptions = {}): number {
  const { minMs = 100, maxMs = 8_000 } = options;
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling / 2 + (random.next() * ceiling) / 2);
}

export interface RetryOptions extends BackoffOptions {
  /** How many attempts at most, the first included. */
  attempts: number;
  /** Whether this error is worth another attempt. @default every error is */
  retryable?: (error: unknown) => boolean;
  /** How long the other side asks to be left alone after this error, in ms; the backoff if that is longer. */
  pauseMs?: (error: unknown) => number | undefined;
  signal?: AbortSignal;
  clock?: Clock;
  random?: Random;
}

/** Calls `work` until it succeeds, at most `attempts` times, with backoff between; throws the last error. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const {
    attempts,
    retryable = () => true,
    pauseMs,
    clock = systemClock,
    random = systemRandom,
    signal,
  } = options;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attempts || !retryable(error) || signal?.aborted) throw error;
      const wait = Math.max(backoffMs(attempt, random, options), pauseMs?.(error) ?? 0);
      await clock.sleep(wait, signal);
    }
  }
}
