import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { pagesOf } from './pages.ts';
import type { Store, StoredValue, StoreEvent } from './store.ts';

/**
 * The key of what is written last to a store that is left: what comes after it there is not copied. No object has it, for its kind
 * is empty.
 */
export const barrierKey = '/moved';

/** Of one transaction of the copy: large ones make etcd's members miss each other. */
const copyChangesMax = 1_000;
const copyBytesMax = 1024 * 1024;
const copyTransactionsMax = 4;
/** Changes that may wait when writes are held for the last of them, and how often they are fetched for that. */
const waitingMax = 5;
const roundsMax = 50;
const emptyMs = 5;

/** Pieces that one transaction of a copy takes each. */
export function piecesOf(events: Iterable<StoreEvent>): StoreEvent[][] {
  const pieces: StoreEvent[][] = [];
  let bytes = 0;
  for (const event of events) {
    const size = Buffer.byteLength(event.key) + (event.type === 'put' ? Buffer.byteLength(event.value) : 0);
    const last = pieces.at(-1);
    if (last === undefined || last.length >= copyChangesMax || bytes + size > copyBytesMax) {
      pieces.push([event]);
      bytes = size;
    } else {
      last.push(event);
      bytes += size;
    }
  }
  return pieces;
}

/**
 * A copy of a store that is written meanwhile: page by page, then what has changed since the first. Of a key that changes
 * often only the last value is written. Everything throws what the stores throw, and `unavailable` when it was stopped.
 */
export class StoreCopy {
  readonly #source: Store;
  readonly #target: Store;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  /** Aborts with what kept a piece from being written. */
  readonly #failure = new AbortController();
  /** What has changed at the source and is not at the target yet, by key. */
  #changed = new Map<string, StoreEvent>();
  readonly #barrier = Promise.withResolvers<void>();

  constructor(source: Store, target: Store, clock: Clock) {
    this.#source = source;
    this.#target = target;
    this.#clock = clock;
    this.#barrier.promise.catch(() => undefined); // whoever flushes or finishes looks at it
  }

  /** Aborts when the copy is given up. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Everything that there is; what was at the target goes. */
  async all(): Promise<void> {
    await this.#empty();
    const writing = new Set<Promise<void>>();
    let isFollowed = false;
    for await (const { revision, values } of pagesOf(this.#source)) {
      if (!isFollowed) void this.#follow(revision);
      isFollowed = true;
      for (const piece of piecesOf(values.filter(({ key }) => key !== barrierKey).map(eventOf))) {
        if (writing.size >= copyTransactionsMax) await Promise.race(writing);
        this.#failure.signal.throwIfAborted();
        const written = this.#write(piece)
          .catch((error: unknown) => this.#failure.abort(error))
          .finally(() => writing.delete(written));
        writing.add(written);
      }
    }
    await Promise.all(writing);
    this.#failure.signal.throwIfAborted();
  }

  /** What has changed meanwhile, until little of it is left. */
  async catchUp(): Promise<void> {
    for (let round = 0; round < roundsMax; round++) {
      await this.#flush();
      await this.#clock.sleep(emptyMs, this.#stopped.signal);
      if (this.#changed.size < waitingMax) return;
    }
  }

  /** The rest, when nobody writes any more. */
  async finish(): Promise<void> {
    const puts = [{ key: barrierKey, value: JSON.stringify(this.#target.lineage) }];
    await this.#source.transact({ compares: [], puts, deletes: [] });
    await this.#barrier.promise;
    await this.#flush();
  }

  /** Ends whatever is under way. */
  stop(): void {
    const stopped = new ShoalError('unavailable', 'The copy of the store was given up');
    this.#stopped.abort(stopped);
    this.#barrier.reject(stopped);
  }

  async #empty(): Promise<void> {
    for await (const { values } of pagesOf(this.#target, { keysOnly: true })) {
      const deletes = values.map(({ key }): StoreEvent => ({ type: 'delete', key }));
      for (const piece of piecesOf(deletes)) await this.#write(piece);
    }
  }

  /** Notes what changes after the revision. Never throws: what it meets is met by `finish`. */
  async #follow(revision: number): Promise<void> {
    try {
      for await (const { events } of this.#source.watch('', revision, this.#stopped.signal)) {
        for (const event of events) {
          if (event.key !== barrierKey) this.#changed.set(event.key, event);
          else if (event.type === 'put') return this.#barrier.resolve();
        }
      }
    } catch (error) {
      this.#barrier.reject(error);
    }
  }

  /** Writes what has changed until now, one piece after another. */
  async #flush(): Promise<void> {
    const changed = this.#changed;
    this.#changed = new Map();
    for (const piece of piecesOf(changed.values())) await this.#write(piece);
  }

  async #write(events: StoreEvent[]): Promise<void> {
    this.#stopped.signal.throwIfAborted();
    const puts = events.filter((event) => event.type === 'put').map(({ key, value }) => ({ key, value }));
    const deletes = events.filter(({ type }) => type === 'delete').map(({ key }) => key);
    await this.#target.transact({ compares: [], puts, deletes });
  }
}

function eventOf({ key, value }: StoredValue): StoreEvent {
  return { type: 'put', key, value };
}
