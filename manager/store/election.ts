import { ShoalError } from '../../src/util/errors.ts';
import type { Leader, Leadership } from './store.ts';

/** The key of every fence. No object has it, for its kind is empty. */
export const fenceKey = '/leader';

/**
 * Terms of all elections of this process: above every revision of a store, so that the fence of one store never holds in another
 * one (a store may move).
 */
let terms = 2 ** 52;

/** Leadership among candidates inside one process: the first one leads at once, the others in turn as it resigns. */
export class LocalElection {
  #leader: AbortController | undefined;
  readonly #waiting: (() => void)[] = [];
  readonly #watchers = new Set<() => void>();
  #current: Leader | undefined;
  #closed = false;
  #term = 0;

  /** The revision of the fence of who leads or led last; 0 when nobody has. */
  get term(): number {
    return this.#term;
  }

  /** Candidates that would lead if the leader resigned. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** See `Store.campaign`. `revision`: of the store as it is then. */
  async campaign(candidate: string, signal: AbortSignal, revision: () => number): Promise<Leadership> {
    signal.throwIfAborted();
    while (this.#leader !== undefined && !this.#closed) await this.#turn(signal);
    if (this.#closed) throw new ShoalError('unavailable', 'Cannot lead: the store was closed');
    const controller = new AbortController();
    this.#leader = controller;
    const fence = { key: fenceKey, revision: (this.#term = ++terms) };
    this.#tell({ candidate, revision: fence.revision });
    const resign = () => {
      if (this.#leader === controller) {
        this.#leader = undefined;
        this.#tell(undefined);
        controller.abort(new ShoalError('unavailable', `${candidate} no longer leads`));
        this.#waiting.shift()?.();
      }
      return Promise.resolve();
    };
    return { signal: controller.signal, fence, revision: revision(), before: undefined, resign };
  }

  /** See `Store.watchLeader`. */
  async *watchLeader(signal: AbortSignal): AsyncGenerator<Leader | undefined> {
    let told: Leader | undefined | null = null;
    while (!signal.aborted) {
      const current = this.#current;
      if (current !== told) yield (told = current);
      else if (this.#closed)
        throw new ShoalError('unavailable', 'Cannot see who leads: the store was closed');
      else await this.#change(signal);
    }
  }

  /** Ends the leadership and every campaign. */
  close(): void {
    this.#closed = true;
    this.#leader?.abort(new ShoalError('unavailable', 'The store was closed'));
    for (const wake of this.#waiting.splice(0)) wake();
    this.#tell(undefined);
  }

  #tell(leader: Leader | undefined): void {
    this.#current = leader;
    for (const wake of this.#watchers) wake();
  }

  /** Resolves at the next change, or when the signal aborts. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#watchers.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#watchers.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = () => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1);
        reject(signal.reason as Error);
      };
      this.#waiting.push(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
