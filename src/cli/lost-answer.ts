import { systemClock, type Clock } from '../util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../util/errors.ts';

/** How long it is asked again for an answer that was lost: a manager that was killed is back within seconds. */
const askAgainMs = 30_000;
const pauseMs = 500;

/** A connection that did not come about: nothing was sent. */
const neverSent: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ECONNREFUSED', 'EACCES', 'EPERM']);

function isLost(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'unavailable' || code === 'deadline_exceeded';
}

function wasSent(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return !neverSent.has(cause?.code);
}

/**
 * Sends a change that may be sent again, and sends it again while its answer is lost. `onLost` is told once. Throws `unavailable`
 * when nobody answers for `askAgainMs`, and what the other side says otherwise.
 */
export async function untilAnswered<T>(
  send: (timeoutMs: number | undefined) => Promise<T>,
  {
    what,
    onLost,
    signal,
    clock = systemClock,
  }: { what: string; onLost: (why: string) => void; signal: AbortSignal; clock?: Clock },
): Promise<T> {
  let lostAt: number | undefined;
  for (;;) {
    const leftMs = lostAt === undefined ? undefined : lostAt + askAgainMs - clock.monotonic();
    try {
      return await send(leftMs === undefined ? undefined : Math.max(1_000, leftMs));
    } catch (error) {
      if (!isLost(error) || (lostAt === undefined && !wasSent(error))) throw error;
      if (lostAt === undefined) onLost(messageOf(error));
      lostAt ??= clock.monotonic();
      if (clock.monotonic() - lostAt >= askAgainMs) {
        throw new ShoalError('unavailable', `Cannot tell whether ${what} was changed: ${messageOf(error)}`, {
          cause: error,
          next: 'Say it again once the manager answers: what it has is not changed again. See `shoal doctor`.',
        });
      }
    }
    await clock.sleep(pauseMs, signal);
  }
}
