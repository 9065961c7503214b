import type { AllocatedPort } from '../../src/spec/service.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';

/**
 * A program that has been started needs a moment until it listens, and whoever is sent to it before is refused. A task
 * with a healthcheck is sent nothing until that passes; one without waits here for its published ports.
 */

/** A program that listens later than this, or not at all, is sent requests all the same: what it waits for is not known. */
export const listeningMsMax = 3_000;
/** The first looks come soon, for most programs listen at once. */
const looksMs = [5, 10, 20, 50] as const;
const laterLooksMs = 100;
/** Whole ranges may be published. */
const portsTold = 10;

/** What the program of a task is to listen on, over TCP: the targets of what is published on all hosts or on its own. */
export function portsToListenOn(ingress: AllocatedPort[], ofHost: AllocatedPort[] = []): number[] {
  return [...ingress, ...ofHost].flatMap(({ protocol, target }) => (protocol === 'tcp' ? [target] : []));
}

export interface ListeningWait {
  task: string;
  ports: readonly number[];
  /** The ports that something listens on now. */
  look: () => Promise<ReadonlySet<number>>;
  /** Whether there is still anything to wait for. */
  isWanted: () => boolean;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
}

/** Resolves when all of the ports are listened on, or waiting has no use any more. Throws when the signal aborts. */
export async function untilListening(wait: ListeningWait): Promise<void> {
  const { task, isWanted, clock, log, signal } = wait;
  const begin = clock.monotonic();
  for (let turn = 0; isWanted(); turn++) {
    const missing = await missingPorts(wait);
    if (missing.length === 0) return;
    if (clock.monotonic() - begin >= listeningMsMax) {
      const ports = missing.slice(0, portsTold);
      log.info('a task does not listen on ports that are published for it', {
        task,
        ports,
        missing: missing.length,
      });
      return;
    }
    await clock.sleep(looksMs[turn] ?? laterLooksMs, signal);
  }
}

/** None when it cannot be seen: that says nothing of the task. */
async function missingPorts({ task, ports, look, log }: ListeningWait): Promise<number[]> {
  if (ports.length === 0) return [];
  try {
    const open = await look();
    return ports.filter((port) => !open.has(port));
  } catch (error) {
    log.warn('whether a task listens cannot be seen', { task, error: messageOf(error) });
    return [];
  }
}
