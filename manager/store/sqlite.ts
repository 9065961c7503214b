import { systemClock } from '../../src/util/clock.ts';
import { codeOf, ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { fenceKey, LocalElection } from './election.ts';
import { History, type HistoryLimits } from './history.ts';
import { SqliteFile, storedValue, writeFault } from './sqlite-file.ts';
import type {
  Leader,
  Leadership,
  ListOptions,
  Store,
  StoredValue,
  StorePage,
  StoreEvent,
  Transaction,
  TransactionResult,
  WatchBatch,
} from './store.ts';
import { checkTransaction, conflictsOf, eventsOf, foreignResult, isForeign } from './transaction.ts';

export interface SqliteOptions extends HistoryLimits {
  /** How long opening waits for a manager that is just ending to let go of the file. @default 5000 */
  lockWaitMs?: number;
  /** A folder in memory, to read the store from when its own disk is read-only. Absent: then it does not open */
  memoryFolder?: string;
}

/** Transactions in one commit, and those waiting for the next ones. */
const commitTransactionsMax = 1_000;
const waitingTransactionsMax = 50_000;
/** Keys of a page: what is read of it keeps the process busy for some milliseconds. */
const pageKeys = 500;
/** How often a store that cannot be written looks whether it can. */
const probeMs = 1_000;
/** Keys whose values must not be found in the file once they are deleted. */
const secretPrefix = 'secret/';

/**
 * The store of a cluster with one manager: one SQLite file (WAL, a full sync at every commit). Makes the file, readable by its
 * owner alone, and its folder when they do not exist. The process holds the file alone until `close`. The history for
 * watchers is in memory: after opening, watch from the revision of a listing.
 *
 * A disk that is full or read-only does not keep it from opening, if the file is there: it serves reads, refuses
 * transactions with `no_space` or `unavailable`, says so in `problem`, and takes them again as soon as the disk does. A
 * secret that was deleted is in none of its files.
 *
 * Throws `failed_precondition` when another process has it open, when a newer version wrote it, or when it is not a store.
 */
export async function openSqliteStore(path: string, options: SqliteOptions = {}): Promise<Store> {
  const { memoryFolder, lockWaitMs = 5_000 } = options;
  try {
    return new SqliteStore(path, options, SqliteFile.open(path, lockWaitMs));
  } catch (error) {
    if (codeOf(error) === 'failed_precondition' || memoryFolder === undefined) throw error;
    const read = SqliteFile.readCopy(path, memoryFolder);
    return new SqliteStore(path, options, { ...read, problem: error as ShoalError });
  }
}

/** What was read from a file that cannot be opened for writing. */
interface ReadOnly {
  latest: number;
  values: Map<string, StoredValue>;
  problem: ShoalError;
}

interface Waiting {
  transaction: Transaction;
  resolve: (result: TransactionResult) => void;
  reject: (error: Error) => void;
}

class SqliteStore implements Store {
  /** Of this opening: the history for watchers begins with it. */
  readonly lineage = systemRandom.id();
  readonly #path: string;
  readonly #history: History;
  readonly #election = new LocalElection();
  /** Absent while the disk is read-only; then `#values` holds everything. */
  #file: SqliteFile | undefined;
  #values: Map<string, StoredValue> | undefined;
  #problem: ShoalError | undefined;
  #cancelProbe: (() => void) | undefined;
  /** A secret was deleted whose value may still be in the log beside the file. */
  #mustWipe = false;
  #waiting: Waiting[] = [];
  #scheduled = false;
  #closed = false;

  constructor(path: string, options: HistoryLimits, opened: SqliteFile | ReadOnly) {
    this.#path = path;
    this.#history = new History(opened.latest, options);
    if (opened instanceof SqliteFile) this.#file = opened;
    else {
      this.#values = opened.values;
      this.#failed(opened.problem);
    }
  }

  get problem(): ShoalError | undefined {
    return this.#problem;
  }

  async get(key: string): Promise<StoredValue | undefined> {
    this.#checkOpen();
    if (this.#file === undefined) return this.#values?.get(key);
    const row = this.#file.get.get(key);
    return row && storedValue(row);
  }

  async list(
    prefix: string,
    { keysOnly = false }: ListOptions = {},
  ): Promise<{ revision: number; values: StoredValue[] }> {
    this.#checkOpen();
    const { revision } = this.#history;
    if (this.#file !== undefined) {
      const statement = keysOnly ? this.#file.listKeys : this.#file.list;
      return { revision, values: statement.all(prefix).map(storedValue) };
    }
    const values = [...(this.#values?.values() ?? [])]
      .filter(({ key }) => key.startsWith(prefix))
      .map((stored) => (keysOnly ? { ...stored, value: '' } : stored));
    return { revision, values };
  }

  async page(after: string, { keysOnly = false }: ListOptions = {}): Promise<StorePage> {
    this.#checkOpen();
    const { revision } = this.#history;
    if (this.#file === undefined) {
      const { values } = await this.list('', { keysOnly });
      return { revision, values: values.filter(({ key }) => key > after), more: false };
    }
    const statement = keysOnly ? this.#file.pageKeys : this.#file.page;
    const values = statement.all(after, pageKeys + 1).map(storedValue);
    return { revision, values: values.slice(0, pageKeys), more: values.length > pageKeys };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.#checkOpen();
    checkTransaction(transaction);
    if (isForeign(transaction, this)) return foreignResult(transaction);
    if (this.#waiting.length >= waitingTransactionsMax) {
      throw new ShoalError('unavailable', 'Cannot write: too many transactions wait for the disk');
    }
    const { promise, resolve, reject } = Promise.withResolvers<TransactionResult>();
    this.#waiting.push({ transaction, resolve, reject });
    this.#schedule();
    return promise;
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch> {
    return this.#history.watch(prefix, fromRevision, signal);
  }

  campaign(candidate: string, signal: AbortSignal): Promise<Leadership> {
    return this.#election.campaign(candidate, signal, () => this.#history.revision);
  }

  watchLeader(signal: AbortSignal): AsyncIterable<Leader | undefined> {
    return this.#election.watchLeader(signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#waiting.length > 0) this.#commit();
    this.#cancelProbe?.();
    this.#history.close();
    this.#election.close();
    this.#file?.database.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new ShoalError('unavailable', 'Cannot use the store: it was closed');
  }

  /** The commit comes after what is left of this turn of the event loop, together with all that arrives until then. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#waiting.length > 0) this.#commit();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  /** One SQLite transaction for all that wait: one sync of the disk. Each sees the ones before it. */
  #commit(): void {
    const waiting = this.#waiting.splice(0, commitTransactionsMax);
    const results: TransactionResult[] = [];
    const batches: StoreEvent[][] = [];
    try {
      const file = this.#writable();
      file.database.exec('BEGIN');
      for (const { transaction } of waiting) {
        const outcome = this.#execute(file, transaction, this.#history.revision + batches.length);
        results.push(outcome.result);
        if (outcome.events.length > 0) batches.push(outcome.events);
      }
      if (batches.length > 0) file.setLatest.run(this.#history.revision + batches.length);
      file.database.exec('COMMIT');
    } catch (cause) {
      if (this.#file?.database.isTransaction) this.#file.database.exec('ROLLBACK');
      this.#failed(cause instanceof ShoalError ? cause : writeFault(this.#path, cause));
      for (const { reject } of waiting) reject(this.#problem!);
      return;
    }
    // A transaction that only compared has proved nothing.
    if (batches.length > 0) this.#problem = undefined;
    for (const events of batches) this.#history.append(events);
    this.#wipe(batches.flat());
    for (const [index, { resolve }] of waiting.entries()) resolve(results[index]!);
  }

  /** The file, opened again where that was not possible. Throws why it is still not. */
  #writable(): SqliteFile {
    if (this.#file !== undefined) return this.#file;
    const file = SqliteFile.open(this.#path, 0);
    if (file.latest !== this.#history.revision) {
      file.database.close();
      throw new ShoalError(
        'unavailable',
        `Cannot use the store ${this.#path}: something else has written it`,
        {
          next: 'Restart the manager.',
        },
      );
    }
    this.#values = undefined;
    return (this.#file = file);
  }

  /** Remembers why nothing can be written, and looks again until it can. */
  #failed(problem: ShoalError): void {
    this.#problem = problem;
    this.#cancelProbe ??= systemClock.after(probeMs, () => {
      this.#cancelProbe = undefined;
      if (this.#problem === undefined || this.#closed) return;
      try {
        const file = this.#writable();
        file.database.exec('BEGIN');
        file.setLatest.run(this.#history.revision);
        file.database.exec('COMMIT');
        this.#problem = undefined;
        this.#wipe([]);
      } catch (cause) {
        if (this.#file?.database.isTransaction) this.#file.database.exec('ROLLBACK');
        this.#failed(cause instanceof ShoalError ? cause : writeFault(this.#path, cause));
      }
    });
  }

  /**
   * After a secret was deleted: the file has had its place overwritten, but the log beside it and the history still hold
   * what was written before. A disk that refuses this now is asked again.
   */
  #wipe(events: StoreEvent[]): void {
    const deleted = events.filter(({ type, key }) => type === 'delete' && key.startsWith(secretPrefix));
    for (const { key } of deleted) this.#history.forget(key);
    if (deleted.length > 0) this.#mustWipe = true;
    if (!this.#mustWipe || this.#file === undefined) return;
    try {
      const done = this.#file.database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
      if (Number(done?.['busy']) === 0) this.#mustWipe = false;
    } catch (cause) {
      this.#failed(writeFault(this.#path, cause));
    }
  }

  #execute(
    file: SqliteFile,
    transaction: Transaction,
    latest: number,
  ): { result: TransactionResult; events: StoreEvent[] } {
    const revisionOf = (key: string) =>
      key === fenceKey ? this.#election.term : Number(file.revision.get(key)?.['revision'] ?? 0);
    const conflicts = conflictsOf(transaction.compares, revisionOf);
    if (conflicts.length > 0) return { result: { committed: false, conflicts }, events: [] };
    const events = eventsOf(transaction, revisionOf);
    const revision = events.length > 0 ? latest + 1 : latest;
    for (const event of events) {
      if (event.type === 'delete') file.delete.run(event.key);
      else file.put.run(event.key, event.value, revision);
    }
    return { result: { committed: true, revision }, events };
  }
}
