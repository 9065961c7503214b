import type { Clock } from '../../src/util/clock.ts';

/**
 * A program that has been started needs a moment until it listens, and whoever is sent to it before is refused. A task
 * with a healthcheck is sent nothing until that passes; one without waits here for its published ports.
 */

/** A program that listens later than this, or not at all, is sent requests all the same: what it waits for is not known. */
export const listeningMsMax = 3_000;
/** The first looks come soon, for most programs listen at once. */
const looksMs = [5, 10, 20, 50] as const;
const laterLooksMs = 100;

export interface ListeningWait {
  ports: readonly number[];
  /** The ports that something listens on now. */
  look: () => Promise<ReadonlySet<number>>;
  /** Whether there is still anything to wait for. */
  isWanted: () => boolean;
  clock: Clock;
  signal: AbortSignal;
}

/** Resolves when all of the ports are listened on, or waiting has no use any more; gives those that are not. Throws what `look` does. */
export async function untilListening(wait: ListeningWait): Promise<number[]> {
  const { ports, look, isWanted, clock, signal } = wait;
  const begin = clock.monotonic();
  for (let turn = 0; ; turn++) {
    const open = ports.length === 0 ? new Set<number>() : await look();
    const missing = ports.filter((port) => !open.has(port));
    if (missing.length === 0 || !isWanted() || clock.monotonic() - begin >= listeningMsMax) return missing;
    await clock.sleep(looksMs[turn] ?? laterLooksMs, signal);
  }
}
