import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { StoredValue } from './store.ts';

/** Layout of the file; a file with a higher one was written by a newer Shoal and is refused. */
const schemaVersion = 1;

/** The open file with its prepared statements. */
export class SqliteFile {
  readonly database: DatabaseSync;
  readonly get: StatementSync;
  readonly list: StatementSync;
  /** The same without values. */
  readonly listKeys: StatementSync;
  /** After a key, so many. */
  readonly page: StatementSync;
  readonly pageKeys: StatementSync;
  readonly revision: StatementSync;
  readonly put: StatementSync;
  readonly delete: StatementSync;
  readonly setLatest: StatementSync;
  /** Revision of the last transaction in the file. */
  readonly latest: number;

  constructor(database: DatabaseSync) {
    this.database = database;
    this.get = database.prepare('SELECT key, value, revision FROM object WHERE key = ?');
    // No key holds the last code point of Unicode, so that this is the end of the prefix.
    const range = 'FROM object WHERE key >= ?1 AND key < ?1 || char(0x10ffff) ORDER BY key';
    this.list = database.prepare(`SELECT key, value, revision ${range}`);
    this.listKeys = database.prepare(`SELECT key, '' AS value, revision ${range}`);
    const page = 'FROM object WHERE key > ? ORDER BY key LIMIT ?';
    this.page = database.prepare(`SELECT key, value, revision ${page}`);
    this.pageKeys = database.prepare(`SELECT key, '' AS value, revision ${page}`);
    this.revision = database.prepare('SELECT revision FROM object WHERE key = ?');
    this.put = database.prepare('INSERT OR REPLACE INTO object VALUES (?, ?, ?)');
    this.delete = database.prepare('DELETE FROM object WHERE key = ?');
    this.setLatest = database.prepare('UPDATE latest SET revision = ?');
    this.latest = Number(database.prepare('SELECT revision FROM latest').get()?.['revision']);
  }

  /**
   * Opens the file for this process alone, and makes it, readable by its owner alone, when it does not exist. One that is
   * there is not written to. Throws `failed_precondition`, and `no_space` or `unavailable` as `writeFault` does.
   */
  static open(path: string, lockWaitMs: number): SqliteFile {
    let database: DatabaseSync | undefined;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      // SQLite gives the files beside it (-wal) the mode of this one.
      closeSync(openSync(path, 'a', 0o600));
      if ((statSync(path).mode & 0o777) !== 0o600) chmodSync(path, 0o600);
      database = new DatabaseSync(path, { timeout: lockWaitMs });
      prepare(database, path);
      return new SqliteFile(database);
    } catch (cause) {
      database?.close();
      if (cause instanceof ShoalError) throw cause;
      if (isWriteFault(cause)) throw writeFault(path, cause);
      throw new ShoalError('failed_precondition', `Cannot open the store ${path}`, {
        cause,
        next: 'See whether another manager runs on this host, and whether the file is whole.',
      });
    }
  }

  /** Everything as it was at the last transaction, read where nothing can be written: from a copy in `folder`, which goes again. */
  static readCopy(path: string, folder: string): { latest: number; values: Map<string, StoredValue> } {
    const copy = join(folder, `store-${systemRandom.id()}`);
    mkdirSync(copy, { recursive: true, mode: 0o700 });
    try {
      for (const suffix of ['', '-wal']) {
        if (existsSync(`${path}${suffix}`)) copyFileSync(`${path}${suffix}`, join(copy, `copy${suffix}`));
      }
      const file = SqliteFile.open(join(copy, 'copy'), 0);
      const rows = file.list.all('').map(storedValue);
      file.database.close();
      return { latest: file.latest, values: new Map(rows.map((row) => [row.key, row])) };
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  }
}

function prepare(database: DatabaseSync, path: string): void {
  // Locked for this process alone from here on, and nothing is written yet: a full disk must not keep a manager from reading.
  // What is deleted is overwritten: a secret must not stay in the free space of the file.
  database.exec(`
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA journal_size_limit = ${64 * 1024 * 1024};
    BEGIN EXCLUSIVE;`);
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > schemaVersion) {
    throw new ShoalError('failed_precondition', `Cannot open the store ${path}: a newer Shoal wrote it`, {
      next: 'Start the version of Shoal that ran here last, or a newer one.',
    });
  }
  if (version === schemaVersion) return database.exec('COMMIT');
  database.exec(`
    CREATE TABLE IF NOT EXISTS object (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
    INSERT OR IGNORE INTO latest VALUES (1, 0);
    PRAGMA user_version = ${schemaVersion};
    COMMIT;`);
}

/** Primary result codes of SQLite (sqlite.org/rescode.html): the disk is full, refuses, or takes no writes. */
const sqliteFull = 13;
const sqliteWriteFaults = new Set([8, 10, sqliteFull, 14]);
const systemFull = new Set(['ENOSPC', 'EDQUOT']);
const systemWriteFaults = new Set([...systemFull, 'EROFS', 'EIO', 'EACCES', 'EPERM']);

function codesOf(cause: unknown): { sqlite: number; system: string } {
  const { errcode, code } = (cause ?? {}) as { errcode?: number; code?: string };
  return { sqlite: (errcode ?? 0) & 0xff, system: code ?? '' };
}

/** Whether it is the disk that refuses, and not the file that is wrong. */
function isWriteFault(cause: unknown): boolean {
  const { sqlite, system } = codesOf(cause);
  return sqliteWriteFaults.has(sqlite) || systemWriteFaults.has(system);
}

/** Why the store cannot be written, for a person: `no_space` for a full disk, else `unavailable`. */
export function writeFault(path: string, cause: unknown): ShoalError {
  const { sqlite, system } = codesOf(cause);
  const folder = dirname(path);
  if (sqlite === sqliteFull || systemFull.has(system)) {
    return new ShoalError('no_space', `Cannot write the manager's store: the disk of ${folder} is full`, {
      next: 'Make room there. What runs goes on, and can be looked at; changes work again by themselves.',
    });
  }
  return new ShoalError('unavailable', `Cannot write the manager's store in ${folder}: ${messageOf(cause)}`, {
    next: 'See whether its disk is failing or mounted read-only. Changes work again by themselves when it can be written.',
  });
}

/** A row as the contract has it. */
export function storedValue(row: Record<string, unknown>): StoredValue {
  return { key: String(row['key']), value: String(row['value']), revision: Number(row['revision']) };
}
