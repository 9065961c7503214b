/**
 * Time, as a value that can be handed in. Code that keeps state never reads the wall clock itself; this file and
 * `random.ts` are the only places that touch `Date.now`, `setTimeout` and `Math.random` (checked by `test/tidy.test.ts`).
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, for time stamps. It steps when the machine's clock is set: durations need `monotonic`. */
  now(): number;
  /** Milliseconds since some moment of this process. Never steps, and means nothing to any other process. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` once after `ms` milliseconds; the returned function cancels it. */
  after(ms: number, callback: () => void): () => void;
}

/** The machine's own clock. Timers do not keep the process alive when `unref` is set. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** Rejects with a `deadline_exceeded` reason when `work` has not settled after `ms`; the signal given to `work` aborts then. */
export async function withDeadline<T>(
  ms: number,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
  parent?: AbortSignal,
): Promise<T> {
  const controller = new AbortController();
  const signal = parent ? AbortSignal.any([controller.signal, parent]) : controller.signal;
  const cancel = systemClock.after(ms, () =>
    controller.abort(new Error(`${what} took longer than ${ms} ms`)),
  );
  const onAbort = Promise.withResolvers<never>();
  const abort = () => onAbort.reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([work(signal), onAbort.promise]);
  } finally {
    cancel();
    signal.removeEventListener('abort', abort);
    onAbort.promise.catch(() => undefined); // nobody else looks at it once the race is over
  }
}
