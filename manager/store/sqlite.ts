import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { ShoalError } from '../../src/util/errors.ts';
import { LocalElection } from './election.ts';
import { History, type HistoryLimits } from './history.ts';
import type {
  Leadership,
  Store,
  StoredValue,
  StoreEvent,
  Transaction,
  TransactionResult,
  WatchBatch,
} from './store.ts';
import { checkTransaction, conflictsOf, eventsOf } from './transaction.ts';

/** Layout of the file; a file with a higher one was written by a newer Shoal and is refused. */
const schemaVersion = 1;

export interface SqliteOptions extends HistoryLimits {
  /** How long opening waits for a manager that is just ending to let go of the file. @default 5000 */
  lockWaitMs?: number;
}

/** Transactions in one commit, and those waiting for the next ones. */
const commitTransactionsMax = 1_000;
const waitingTransactionsMax = 50_000;

/**
 * The store of a cluster with one manager: one SQLite file (WAL, a full sync at every commit). Makes the file, readable by its
 * owner alone, and its folder when they do not exist. The process holds the file alone until `close`. The history for
 * watchers is in memory: after opening, watch from the revision of a listing.
 *
 * Throws `failed_precondition` when another process has it open, when a newer version wrote it, or when it is not a store.
 */
export async function openSqliteStore(path: string, options: SqliteOptions = {}): Promise<Store> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // SQLite gives the files beside it (-wal) the mode of this one.
  closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: options.lockWaitMs ?? 5_000 });
    prepare(database, path);
    return new SqliteStore(database, options);
  } catch (cause) {
    database?.close();
    if (cause instanceof ShoalError) throw cause;
    throw new ShoalError('failed_precondition', `Cannot open the store ${path}`, {
      cause,
      next: 'See whether another manager runs on this host, and whether the file is whole.',
    });
  }
}

function prepare(database: DatabaseSync, path: string): void {
  database.exec(`
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA journal_size_limit = ${64 * 1024 * 1024};
    BEGIN EXCLUSIVE;`);
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > schemaVersion) {
    throw new ShoalError('failed_precondition', `Cannot open the store ${path}: a newer Shoal wrote it`, {
      next: 'Start the version of Shoal that ran here last, or a newer one.',
    });
  }
  database.exec(`
    CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
    INSERT OR IGNORE INTO latest VALUES (1, 0);
    PRAGMA user_version = ${schemaVersion};
    COMMIT;`);
}

interface Waiting {
  transaction: Transaction;
  resolve: (result: TransactionResult) => void;
  reject: (error: Error) => void;
}

class SqliteStore implements Store {
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #list: StatementSync;
  readonly #revision: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #setLatest: StatementSync;
  readonly #history: History;
  readonly #election = new LocalElection();
  #waiting: Waiting[] = [];
  #scheduled = false;
  #closed = false;

  constructor(database: DatabaseSync, limits: HistoryLimits) {
    this.#database = database;
    this.#get = database.prepare('SELECT key, value, revision FROM object WHERE key = ?');
    // No key holds the last code point of Unicode, so that this is the end of the prefix.
    this.#list = database.prepare(
      'SELECT key, value, revision FROM object WHERE key >= ?1 AND key < ?1 || char(0x10ffff) ORDER BY key',
    );
    this.#revision = database.prepare('SELECT revision FROM object WHERE key = ?');
    this.#put = database.prepare('INSERT OR REPLACE INTO object VALUES (?, ?, ?)');
    this.#delete = database.prepare('DELETE FROM object WHERE key = ?');
    this.#setLatest = database.prepare('UPDATE latest SET revision = ?');
    const latest = Number(database.prepare('SELECT revision FROM latest').get()?.['revision']);
    this.#history = new History(latest, limits);
  }

  async get(key: string): Promise<StoredValue | undefined> {
    this.#checkOpen();
    const row = this.#get.get(key);
    return row && storedValue(row);
  }

  async list(prefix: string): Promise<{ revision: number; values: StoredValue[] }> {
    this.#checkOpen();
    return { revision: this.#history.revision, values: this.#list.all(prefix).map(storedValue) };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.#checkOpen();
    checkTransaction(transaction);
    if (this.#waiting.length >= waitingTransactionsMax) {
      throw new ShoalError('resource_exhausted', 'Cannot write: too many transactions wait for the disk');
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
    return this.#election.campaign(candidate, signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#waiting.length > 0) this.#commit();
    this.#history.close();
    this.#election.close();
    this.#database.close();
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
      this.#database.exec('BEGIN');
      for (const { transaction } of waiting) {
        const outcome = this.#execute(transaction, this.#history.revision + batches.length);
        results.push(outcome.result);
        if (outcome.events.length > 0) batches.push(outcome.events);
      }
      if (batches.length > 0) this.#setLatest.run(this.#history.revision + batches.length);
      this.#database.exec('COMMIT');
    } catch (cause) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      const error = new ShoalError('unavailable', 'Cannot write to the store', {
        cause,
        next: 'See whether the disk that holds the store is full or failing.',
      });
      for (const { reject } of waiting) reject(error);
      return;
    }
    for (const events of batches) this.#history.append(events);
    for (const [index, { resolve }] of waiting.entries()) resolve(results[index]!);
  }

  #execute(transaction: Transaction, latest: number): { result: TransactionResult; events: StoreEvent[] } {
    const revisionOf = (key: string) => Number(this.#revision.get(key)?.['revision'] ?? 0);
    const conflicts = conflictsOf(transaction.compares, revisionOf);
    if (conflicts.length > 0) return { result: { committed: false, conflicts }, events: [] };
    const events = eventsOf(transaction, revisionOf);
    const revision = events.length > 0 ? latest + 1 : latest;
    for (const event of events) {
      if (event.type === 'delete') this.#delete.run(event.key);
      else this.#put.run(event.key, event.value, revision);
    }
    return { result: { committed: true, revision }, events };
  }
}

function storedValue(row: Record<string, unknown>): StoredValue {
  return { key: String(row['key']), value: String(row['value']), revision: Number(row['revision']) };
}
