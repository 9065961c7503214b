import type { Clock } from '../../src/util/clock.ts';
import type { Database } from '../store/objects.ts';

/** Resolves when the view is past `revision`, or after `waitMs`; rejects when the signal aborts. */
export function changeAfter(
  database: Pick<Database, 'view' | 'onChange'>,
  clock: Clock,
  { revision, waitMs, signal }: { revision: number; waitMs: number; signal: AbortSignal },
): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  if (database.view.revision > revision) return Promise.resolve();
  return calledWithin(clock, waitMs, signal, (call) => database.onChange(call));
}

/**
 * Resolves when what `subscribe` is given is called, or after `waitMs`; rejects when the signal aborts. `subscribe` gives how to
 * stop the calls.
 */
export function calledWithin(
  clock: Clock,
  waitMs: number,
  signal: AbortSignal,
  subscribe: (call: () => void) => () => void,
): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      cancel();
      unsubscribe();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = () => end(() => reject(signal.reason as Error));
    const cancel = clock.after(waitMs, () => end(resolve));
    const unsubscribe = subscribe(() => end(resolve));
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
