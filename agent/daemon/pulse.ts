import { readFile } from 'node:fs/promises';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';

/** How often a process is asked whether its main loop turns. */
export const askMs = 5_000;
/** Of a process that has not answered for so long the log has a word. */
export const silentMsMax = 15_000;
/** One that has not answered for so long, and waits for nobody, hangs. No load of a small machine keeps a loop from turning for so long. */
export const hungMsMax = 45_000;

/** What a process does that is not its own fault, by its state in proc(5). */
const excuses: Record<string, string> = {
  D: 'it waits for a disk',
  t: 'a debugger holds it',
  Z: 'it has ended',
};

/** What is known of a process that does not answer. */
export interface Silence {
  /** Since its last answer, as far as it counts. */
  silentMs: number;
  isHung: boolean;
  /** Why it is left alone, however long it lasts. */
  excuse: string | undefined;
}

/**
 * How long a process has not answered. Time in which whoever asks stood still itself counts for two looks at most: the other
 * may have stood still with it, and its answer may be there unread.
 */
export class Pulse {
  #isHeard = true;
  #silentMs = 0;
  #unexcusedMs = 0;

  /** It has answered. */
  heard(): void {
    this.#isHeard = true;
  }

  /** Looks, `elapsedMs` after the last look; undefined when it has answered since. `state`: a letter of proc(5). */
  look(elapsedMs: number, state: string | undefined): Silence | undefined {
    const isHeard = this.#isHeard;
    this.#isHeard = false;
    const countedMs = Math.min(elapsedMs, 2 * askMs);
    const excuse = excuses[state ?? ''];
    this.#silentMs = isHeard ? 0 : this.#silentMs + countedMs;
    this.#unexcusedMs = isHeard || excuse !== undefined ? 0 : this.#unexcusedMs + countedMs;
    if (isHeard) return undefined;
    return { silentMs: this.#silentMs, isHung: this.#unexcusedMs >= hungMsMax, excuse };
  }
}

export interface WatchedProcess {
  /** Asks for an answer. */
  ask: () => void;
  kill: () => void;
  /** A letter of proc(5); undefined when it cannot be known. Never throws. */
  state: () => Promise<string | undefined>;
  /** Told at each look: `undefined` when it has answered. */
  onLook: (silence: Silence | undefined) => void;
}

/** Asks a process for signs of life until the signal aborts, and kills it when it hangs. Never throws. */
export async function watchPulse(
  { ask, kill, state, onLook }: WatchedProcess,
  pulse: Pulse,
  { clock, log, signal }: { clock: Clock; log: Logger; signal: AbortSignal },
): Promise<void> {
  let isTold = false;
  while (!signal.aborted) {
    const askedAt = clock.monotonic();
    ask();
    await clock.sleep(askMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const found = await state();
    const silence = pulse.look(clock.monotonic() - askedAt, found);
    onLook(silence);
    if (silence?.isHung) {
      log.error('the manager process hangs and is killed', { silentMs: silence.silentMs, state: found });
      return kill();
    }
    if (silence && silence.silentMs >= silentMsMax && !isTold) {
      const { silentMs, excuse = 'not known' } = silence;
      log.warn('the manager process does not answer', { silentMs, state: found, why: excuse });
    }
    if (!silence && isTold) log.info('the manager process answers again');
    isTold = silence !== undefined && silence.silentMs >= silentMsMax;
  }
}

/** The state of a process's main thread (proc(5)); undefined when it has none. */
export async function processState(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined); // it has ended
  // the name stands in parentheses and may hold any character
  return stat?.slice(stat.lastIndexOf(')') + 2)[0];
}
