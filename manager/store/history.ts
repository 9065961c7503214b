import { ShoalError } from '../../src/util/errors.ts';
import type { StoreEvent, WatchBatch } from './store.ts';

export interface HistoryLimits {
  /** Batches kept at most. @default 10000 */
  batchesMax?: number;
  /** Characters of values kept at most. @default 64 Mi */
  charactersMax?: number;
}

/**
 * The last batches of a store in memory, for its watchers. Watchers read from here at their own pace, so that a slow one
 * costs nothing; one that falls behind what is kept is told so and lists again.
 */
export class History {
  readonly #batchesMax: number;
  readonly #charactersMax: number;
  /** `#batches[0]` has the revision after this one; there are no holes. */
  #compacted: number;
  #batches: WatchBatch[] = [];
  #characters = 0;
  #closed = false;
  readonly #waiting = new Set<() => void>();

  constructor(revision: number, limits: HistoryLimits = {}) {
    this.#compacted = revision;
    this.#batchesMax = limits.batchesMax ?? 10_000;
    this.#charactersMax = limits.charactersMax ?? 64 * 1024 * 1024;
  }

  /** The latest revision. */
  get revision(): number {
    return this.#compacted + this.#batches.length;
  }

  /** Adds the events of the next revision and wakes the watchers; gives that revision. */
  append(events: StoreEvent[]): number {
    const revision = this.revision + 1;
    this.#batches.push({ revision, events });
    this.#characters += sizeOf(events);
    if (this.#batches.length > this.#batchesMax || this.#characters > this.#charactersMax) this.#compact();
    this.#wake();
    return revision;
  }

  /**
   * Forgets what was ever put under a key that is deleted now. A watcher that is behind hears of its deletion at once,
   * and comes to the same in the end.
   */
  forget(key: string): void {
    for (const batch of this.#batches) {
      if (!batch.events.some((event) => event.key === key && event.type === 'put')) continue;
      this.#characters -= sizeOf(batch.events);
      batch.events = batch.events.map((event) => (event.key === key ? { type: 'delete', key } : event));
      this.#characters += sizeOf(batch.events);
    }
  }

  /** Ends every watch with `unavailable`. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** See `Store.watch`. */
  async *watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    let seen = fromRevision;
    while (!signal.aborted) {
      if (this.#closed) throw new ShoalError('unavailable', 'Cannot watch the store: it was closed');
      if (seen < this.#compacted) {
        throw new ShoalError(
          'failed_precondition',
          `Cannot watch from revision ${seen}: the history is kept from ${this.#compacted}`,
          { next: 'List again and watch from there.', details: { reason: 'out_of_range' } },
        );
      }
      const batch = this.#batches[seen - this.#compacted];
      if (batch === undefined) {
        await this.#changed(signal);
        continue;
      }
      seen = batch.revision;
      const events = batch.events.filter((event) => event.key.startsWith(prefix));
      if (events.length > 0) yield { revision: batch.revision, events };
    }
  }

  /** Drops the oldest batches until a quarter of both limits is free again, so that it is not done at every append. */
  #compact(): void {
    let dropped = 0;
    while (
      this.#batches.length - dropped > this.#batchesMax * 0.75 ||
      this.#characters > this.#charactersMax * 0.75
    ) {
      const batch = this.#batches[dropped];
      if (batch === undefined) break;
      this.#characters -= sizeOf(batch.events);
      dropped++;
    }
    this.#batches = this.#batches.slice(dropped);
    this.#compacted += dropped;
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}

function sizeOf(events: StoreEvent[]): number {
  return events.reduce(
    (sum, event) => sum + event.key.length + (event.type === 'put' ? event.value.length : 0),
    0,
  );
}
