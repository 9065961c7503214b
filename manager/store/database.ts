import type { Clock } from '../../src/util/clock.ts';
import { assert, ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { Change, Database, Plan, View, ViewChange } from './objects.ts';
import type { Store, Transaction } from './store.ts';
import { transactionChangesMax } from './transaction.ts';
import { encodeObject, keyOf, MutableView } from './view.ts';

/** A group is one transaction; a larger one is a fault of the planner. */
export const groupChangesMax = transactionChangesMax;

/**
 * Loads everything the store holds and follows it from there. `close` ends the following; the store stays open.
 * Throws what the store throws when it cannot be read.
 */
export async function openDatabase(
  store: Store,
  clock: Clock,
): Promise<Database & { close(): Promise<void> }> {
  const database = new StoreDatabase(store, clock);
  await database.open();
  return database;
}

class StoreDatabase implements Database {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #view = new MutableView();
  readonly #callbacks = new Set<(change: ViewChange) => void>();
  readonly #stop = new AbortController();
  /** Writers that wait for the view to reach a revision. */
  #waiting: { revision: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  #following: Promise<void> | undefined;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  get view(): View {
    return this.#view;
  }

  get problem(): ShoalError | undefined {
    return this.#store.problem;
  }

  async open(): Promise<void> {
    await this.#load();
    this.#following = this.#follow();
  }

  async write(plan: Plan): Promise<{ conflicts: number }> {
    const now = this.#clock.now();
    const groups = plan.filter((group) => group.length > 0).map((group) => transactionOf(group, now));
    const results = await Promise.allSettled(groups.map((group) => this.#store.transact(group)));
    let conflicts = 0;
    let revision = 0;
    let failure: unknown;
    for (const result of results) {
      if (result.status === 'rejected') failure ??= result.reason;
      else if (result.value.committed) revision = Math.max(revision, result.value.revision);
      else conflicts++;
    }
    if (failure !== undefined) throw failure;
    await this.#reached(revision);
    return { conflicts };
  }

  onChange(callback: (change: ViewChange) => void): () => void {
    // Wrapped, so that the same function given twice is called twice and stopped one at a time.
    const entry = (change: ViewChange) => callback(change);
    this.#callbacks.add(entry);
    return () => this.#callbacks.delete(entry);
  }

  async close(): Promise<void> {
    this.#stop.abort(new ShoalError('unavailable', 'The database was closed'));
    await this.#following;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new ShoalError('unavailable', 'Cannot wait for the write to show: the database was closed'));
    }
  }

  async #load(): Promise<void> {
    const { revision, values } = await this.#store.list('');
    this.#changed(this.#view.reset(revision, values));
  }

  /** Follows the watch until closed. A watch that breaks (history compacted, backend away) begins anew from a listing. */
  async #follow(): Promise<void> {
    const signal = this.#stop.signal;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (failures > 0) await this.#load();
        for await (const batch of this.#store.watch('', this.#view.revision, signal)) {
          failures = 0;
          this.#changed(this.#view.apply(batch));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ShoalError) || error.code === 'internal') this.#fail(error);
        failures++;
        await this.#clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined);
      }
    }
  }

  /** A bug, not the world's fault. Nothing may plan from a view that stands still: the process ends by this rejection. */
  #fail(cause: unknown): never {
    const error = new ShoalError('internal', 'Cannot keep the view of the store up to date', { cause });
    this.#stop.abort(error);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    throw error;
  }

  #changed(change: ViewChange): void {
    const reached = this.#waiting.filter(({ revision }) => revision <= this.#view.revision);
    if (reached.length > 0) {
      this.#waiting = this.#waiting.filter(({ revision }) => revision > this.#view.revision);
      for (const { resolve } of reached) resolve();
    }
    if (change.objects.length > 0) for (const callback of this.#callbacks) callback(change);
  }

  #reached(revision: number): Promise<void> {
    if (revision <= this.#view.revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (this.#stop.signal.aborted) reject(this.#stop.signal.reason as Error);
      else this.#waiting.push({ revision, resolve, reject });
    });
  }
}

/** One group as a transaction that is guarded by the revisions its objects had when they were read. */
function transactionOf(group: Change[], now: number): Transaction {
  assert(
    group.length <= groupChangesMax,
    `a group has at most ${groupChangesMax} changes, not ${group.length}`,
  );
  const transaction: Transaction = { compares: [], puts: [], deletes: [] };
  for (const { kind, action, object } of group) {
    const key = keyOf(kind, object.id);
    transaction.compares.push({ key, revision: action === 'create' ? 0 : object.revision });
    if (action === 'delete') transaction.deletes.push(key);
    else transaction.puts.push({ key, value: encodeObject({ ...object, updatedAt: now }) });
  }
  return transaction;
}
