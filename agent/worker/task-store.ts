import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { AssignmentKind, AssignmentPut } from '../../src/wire/session.ts';
import type { LocalTask } from './step.ts';

/** Kinds whose content is never written to a disk: they come again with the next session. */
const memoryOnly: ReadonlySet<AssignmentKind> = new Set(['secret', 'config']);

/**
 * What the agent must know after a restart: its assignments and how far each task is. SQLite with a write-ahead log: every
 * call is one transaction, whole after a kill at any moment; a power cut loses at most the last moments, after which the
 * containers are gone anyway. A write takes tens of microseconds, so it is not worth making asynchronous.
 */
export class TaskStore {
  readonly #database: DatabaseSync;
  readonly #putAssignment: StatementSync;
  readonly #removeAssignment: StatementSync;
  readonly #putTask: StatementSync;
  readonly #removeTask: StatementSync;

  /** Opens or makes the file, readable by its owner only. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#database = new DatabaseSync(path);
    chmodSync(path, 0o600);
    this.#database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      CREATE TABLE IF NOT EXISTS assignment (kind TEXT, id TEXT, value TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS task (id TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    `);
    const prepare = (sql: string) => this.#database.prepare(sql);
    this.#putAssignment = prepare('INSERT OR REPLACE INTO assignment VALUES (?, ?, ?)');
    this.#removeAssignment = prepare('DELETE FROM assignment WHERE kind = ? AND id = ?');
    this.#putTask = prepare('INSERT OR REPLACE INTO task VALUES (?, ?)');
    this.#removeTask = prepare('DELETE FROM task WHERE id = ?');
  }

  assignments(): AssignmentPut[] {
    const rows = this.#database.prepare('SELECT kind, value FROM assignment').all();
    return rows.map(
      (row) => ({ kind: row['kind'], value: JSON.parse(String(row['value'])) }) as AssignmentPut,
    );
  }

  /** Writes one message's worth of changes; `replace` drops everything that was there. */
  changeAssignments(
    put: readonly AssignmentPut[],
    remove: readonly { kind: AssignmentKind; id: string }[],
    replace: boolean,
  ): void {
    this.#transaction(() => {
      if (replace) this.#database.exec('DELETE FROM assignment');
      for (const { kind, id } of remove) this.#removeAssignment.run(kind, id);
      for (const { kind, value } of put) {
        if (!memoryOnly.has(kind)) this.#putAssignment.run(kind, value.id, JSON.stringify(value));
      }
    });
  }

  tasks(): Map<string, LocalTask> {
    const rows = this.#database.prepare('SELECT id, value FROM task').all();
    return new Map(rows.map((row) => [String(row['id']), JSON.parse(String(row['value'])) as LocalTask]));
  }

  putTask(id: string, task: LocalTask): void {
    this.#putTask.run(id, JSON.stringify(task));
  }

  removeTask(id: string): void {
    this.#removeTask.run(id);
  }

  close(): void {
    this.#database.close();
  }

  #transaction(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}
