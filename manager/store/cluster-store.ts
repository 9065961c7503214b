import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { barrierKey, StoreCopy } from './store-copy.ts';
import type {
  Leader,
  Leadership,
  ListOptions,
  Store,
  StoredValue,
  StorePage,
  StoreUpkeep,
  Transaction,
  TransactionResult,
  WatchBatch,
} from './store.ts';

export type Backend = 'embedded' | 'etcd';

export interface MoveTarget {
  backend: Backend;
  /** Opens it. What is in it goes. */
  open: () => Promise<Store>;
  /**
   * Called while writes are held and all is copied: says durably that this one is the store from now on. When it throws, the one of
   * before must be found at the next start; with `internal`, either may be.
   */
  settled: () => Promise<void>;
}

/** The store of this manager, whichever backend it has now. What is switched under it shows as a new lineage. */
export interface ClusterStore extends Store {
  readonly backend: Backend;
  /**
   * Copies everything live to `target`, holds writes for the last of it, and goes on there. Watches end, leaderships end, and
   * what was planned from the old revisions conflicts. Resolves with how long writes were held.
   *
   * When it throws, the store is the one of before and takes writes; only when nobody knows which of both will be found at the next
   * start it takes none any more, and says so in `problem`.
   */
  moveTo(target: MoveTarget): Promise<{ heldMs: number }>;
}

export interface ClusterStoreParts {
  clock: Clock;
  log: Logger;
  /** Called with the backend that was left, once it is closed. */
  retired?: (backend: Backend) => Promise<void>;
}

/** How long writes are held before the move is given up, and how long and how many of them wait. */
const heldMsMax = 5_000;
const waitMsMax = 10_000;
const waitingWritesMax = 50_000;

/** The store of a manager, which may move. */
export function createClusterStore(store: Store, backend: Backend, parts: ClusterStoreParts): ClusterStore {
  return new MovableStore(store, backend, parts);
}

class MovableStore implements ClusterStore {
  readonly #parts: ClusterStoreParts;
  #current: Store;
  #backend: Backend;
  /** Aborts when another store has taken the place of this one. */
  #switched = new AbortController();
  #moving: { copy: StoreCopy | undefined; done: Promise<unknown> } | undefined;
  /** Ends when writes go on. */
  #held: { released: Promise<void>; waiting: number } | undefined;
  #writing = 0;
  #onIdle: (() => void) | undefined;
  /** Why nobody knows which store is the true one. */
  #doubt: ShoalError | undefined;
  #retiring: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(store: Store, backend: Backend, parts: ClusterStoreParts) {
    this.#current = store;
    this.#backend = backend;
    this.#parts = parts;
  }

  get backend(): Backend {
    return this.#backend;
  }

  get lineage(): string {
    return this.#current.lineage;
  }

  get upkeep(): StoreUpkeep | undefined {
    return this.#current.upkeep;
  }

  get problem(): ShoalError | undefined {
    return this.#doubt ?? this.#current.problem;
  }

  get(key: string): Promise<StoredValue | undefined> {
    return this.#current.get(key);
  }

  list(prefix: string, options?: ListOptions): Promise<{ revision: number; values: StoredValue[] }> {
    return this.#current.list(prefix, options);
  }

  page(after: string, options?: ListOptions): Promise<StorePage> {
    return this.#current.page(after, options);
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    if (this.#held !== undefined) await this.#wait(this.#held);
    if (this.#doubt !== undefined) throw this.#doubt;
    this.#writing++;
    try {
      return await this.#current.transact(transaction);
    } finally {
      if (--this.#writing === 0) this.#onIdle?.();
    }
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch> {
    return watchUntil(this.#switched.signal, this.#current, { prefix, fromRevision, signal });
  }

  async campaign(candidate: string, signal: AbortSignal): Promise<Leadership> {
    for (;;) {
      const switched = this.#switched.signal;
      try {
        return await this.#current.campaign(candidate, AbortSignal.any([signal, switched]));
      } catch (error) {
        // The next store has a leader of its own.
        if (signal.aborted || !switched.aborted) throw error;
      }
    }
  }

  async *watchLeader(signal: AbortSignal): AsyncGenerator<Leader | undefined> {
    while (!signal.aborted) {
      const switched = this.#switched.signal;
      try {
        yield* this.#current.watchLeader(AbortSignal.any([signal, switched]));
      } catch (error) {
        if (!switched.aborted) throw error;
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#moving?.copy?.stop();
    await this.#moving?.done.catch(() => undefined); // whoever moves is told
    await this.#retiring;
    await this.#current.close();
  }

  async moveTo(target: MoveTarget): Promise<{ heldMs: number }> {
    if (target.backend === this.#backend || this.#moving !== undefined || this.#isClosed) {
      throw new ShoalError('failed_precondition', `Cannot move the store to ${target.backend}`, {
        next: `It is ${this.#moving === undefined ? 'there' : 'moving'} already, or was closed.`,
      });
    }
    const done = this.#move(target);
    this.#moving = { copy: undefined, done };
    try {
      return await done;
    } finally {
      this.#moving = undefined;
    }
  }

  async #move({ backend, open, settled }: MoveTarget): Promise<{ heldMs: number }> {
    const source = this.#current;
    const next = await open();
    const copy = new StoreCopy(source, next, this.#parts.clock);
    if (this.#moving !== undefined) this.#moving.copy = copy;
    if (this.#isClosed) copy.stop();
    try {
      await copy.all();
      await copy.catchUp();
      return await this.#switchTo(next, backend, { copy, settled });
    } catch (error) {
      await this.#givenUp(source, next, error);
      throw error;
    } finally {
      copy.stop();
    }
  }

  /** Holds writes for the last of the copy, and goes on with the other store. */
  async #switchTo(
    next: Store,
    backend: Backend,
    { copy, settled }: { copy: StoreCopy; settled: () => Promise<void> },
  ): Promise<{ heldMs: number }> {
    const { clock } = this.#parts;
    const begin = clock.monotonic();
    const cancel = clock.after(heldMsMax, () => copy.stop());
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    this.#held = { released, waiting: 0 };
    try {
      await this.#idle(copy);
      await copy.finish();
      cancel();
      await settled().catch((error: unknown) => {
        if (codeOf(error) === 'internal') this.#doubt = inDoubt(error);
        throw error;
      });
      this.#replace(next, backend);
    } finally {
      cancel();
      this.#held = undefined;
      release();
    }
    return { heldMs: clock.monotonic() - begin };
  }

  #replace(next: Store, backend: Backend): void {
    const { log, retired } = this.#parts;
    const [old, left, switched] = [this.#current, this.#backend, this.#switched];
    this.#current = next;
    this.#backend = backend;
    this.#switched = new AbortController();
    switched.abort(
      new ShoalError('failed_precondition', `Cannot watch the store: it has moved to ${backend}`, {
        next: 'List again and watch from there.',
      }),
    );
    const retire = async () => {
      // What was held goes first.
      await new Promise(setImmediate);
      await old.close();
      await retired?.(left);
    };
    this.#retiring = retire().catch((error: unknown) => {
      log.warn('the store that was left could not be put aside', { error: messageOf(error) });
    });
  }

  async #givenUp(source: Store, next: Store, error: unknown): Promise<void> {
    const { log } = this.#parts;
    const why = { error: messageOf(error) };
    if (this.#doubt === undefined) log.warn('the store has not moved, and goes on where it is', why);
    else log.error('nobody knows which store is the true one: nothing is written until a restart', why);
    await next.close().catch(() => undefined); // what is in it goes anyway
    await source.transact({ compares: [], puts: [], deletes: [barrierKey] }).catch(() => undefined); // it says nothing there
  }

  /** Resolves when no write is under way; throws when the copy is stopped first. */
  async #idle(copy: StoreCopy): Promise<void> {
    if (this.#writing === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    copy.stopped.addEventListener('abort', () => reject(copy.stopped.reason), { once: true });
    try {
      await promise;
    } finally {
      this.#onIdle = undefined;
    }
  }

  /** Until writes go on. Throws `unavailable` when that takes too long, or too many wait. */
  async #wait(held: { released: Promise<void>; waiting: number }): Promise<void> {
    const moving = () => new ShoalError('unavailable', 'Cannot write: the store is just moving');
    if (held.waiting >= waitingWritesMax) throw moving();
    held.waiting++;
    const late = Promise.withResolvers<never>();
    const cancel = this.#parts.clock.after(waitMsMax, () => late.reject(moving()));
    try {
      await Promise.race([held.released, late.promise]);
    } finally {
      cancel();
    }
  }
}

/** The watch of one store; ends with the reason of `switched` when that comes first. */
async function* watchUntil(
  switched: AbortSignal,
  store: Store,
  { prefix, fromRevision, signal }: { prefix: string; fromRevision: number; signal: AbortSignal },
): AsyncGenerator<WatchBatch> {
  yield* store.watch(prefix, fromRevision, AbortSignal.any([signal, switched]));
  if (!signal.aborted) switched.throwIfAborted();
}

function inDoubt(cause: unknown): ShoalError {
  return new ShoalError('unavailable', 'Cannot write: nobody knows which store is the true one', {
    cause,
    next: 'Restart the manager on this host: it goes on with the one that the disk names, and nothing is missing.',
  });
}
