import type { Clock } from './clock.ts';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';
import { systemRandom } from './random.ts';
import { backoffMs } from './retry.ts';

export interface LoopOptions {
  name: string;
  clock: Clock;
  log: Logger;
  /** One pass: look at the state, decide, act. Must be safe to run again after a failure. */
  tick: (signal: AbortSignal) => Promise<void>;
  /** How long after a poke the pass starts, so that changes that come together are handled together. @default 0 */
  debounceMs?: number;
  /** A pass runs at least this often, poked or not. @default never */
  intervalMs?: number;
}

/**
 * A loop that runs one pass at a time: soon after `poke()`, and every `intervalMs`. A pass that throws is logged and
 * tried again with backoff. `stop()` waits for the pass under way.
 */
export class Loop {
  readonly #options: LoopOptions;
  readonly #stop = new AbortController();
  #poked = false;
  #wake: (() => void) | undefined;
  #done: Promise<void> | undefined;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#done ??= this.#run();
  }

  /** Asks for a pass. Pokes that come before the pass starts share it. */
  poke(): void {
    this.#poked = true;
    this.#wake?.();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error(`${this.#options.name} stopped`));
    this.#wake?.();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { clock, log, name, tick, debounceMs = 0 } = this.#options;
    const signal = this.#stop.signal;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (debounceMs > 0) await clock.sleep(debounceMs, signal);
        this.#poked = false;
        await tick(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        log.warn(`${name} failed and will try again`, { error: messageOf(error), failures });
        await clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined);
        continue;
      }
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    if (this.#poked || this.#stop.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const { intervalMs, clock } = this.#options;
      const cancel = intervalMs === undefined ? undefined : clock.after(intervalMs, () => this.#wake?.());
      this.#wake = () => {
        cancel?.();
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
