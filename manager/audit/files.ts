import { chmod, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditEntry } from '../../src/wire/audit.ts';

/** Larger than this, a file is set aside and a new one begun. */
const fileBytesMax = 4 * 1024 * 1024;
/** Files kept, the one that is written included; the oldest goes when there would be more. */
const filesMax = 8;

/** Smaller ones are for tests. */
export interface AuditFileLimits {
  fileBytesMax?: number;
  filesMax?: number;
}

/**
 * The audit log on disk: JSON lines in `audit.log`, older ones in `audit.log.1` and up, mode 0600 in a folder of mode 0700.
 * What cannot be written leaves the file as it was.
 */
export class AuditFiles {
  readonly #folder: string;
  readonly #fileBytesMax: number;
  readonly #filesMax: number;

  constructor(folder: string, limits: AuditFileLimits = {}) {
    this.#folder = folder;
    this.#fileBytesMax = limits.fileBytesMax ?? fileBytesMax;
    this.#filesMax = limits.filesMax ?? filesMax;
  }

  /**
   * Adds the first of the entries as whole lines, on disk when it resolves: as many as the file has room for, at least one.
   * Returns how many. Throws what the disk says; then none of them is there.
   */
  async append(entries: readonly AuditEntry[]): Promise<number> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await chmod(this.#folder, 0o700);
    const lines = entries.map((entry) => Buffer.from(`${JSON.stringify(entry)}\n`));
    const room = this.#fileBytesMax - (await this.#size());
    if (room < this.#fileBytesMax && lines[0]!.length > room) await this.#rotate();
    const fitting = linesWithin(lines, lines[0]!.length > room ? this.#fileBytesMax : room);
    await this.#write(Buffer.concat(fitting));
    return fitting.length;
  }

  async #write(text: Buffer): Promise<void> {
    const file = await open(this.#path(0), 'a', 0o600);
    try {
      const { size: before } = await file.stat();
      try {
        await file.writeFile(text);
        await file.datasync();
      } catch (error) {
        await file.truncate(before);
        throw error;
      }
    } finally {
      await file.close();
    }
  }

  /** At most `limit` entries with an id below `before`, oldest first: the newest of those. A line that is cut off is left out. */
  async read(limit: number, before = Number.POSITIVE_INFINITY): Promise<AuditEntry[]> {
    const found: AuditEntry[] = [];
    for (let age = 0; age < this.#filesMax && found.length < limit; age++) {
      const text = await readFile(this.#path(age), 'utf8').catch(missingIsUndefined);
      if (text === undefined) continue;
      const entries = text.split('\n').flatMap((line) => parse(line) ?? []);
      const wanted = entries.filter(({ id }) => id < before);
      found.unshift(...wanted.slice(-(limit - found.length)));
    }
    return found;
  }

  async #size(): Promise<number> {
    return (await stat(this.#path(0)).catch(missingIsUndefined))?.size ?? 0;
  }

  async #rotate(): Promise<void> {
    for (let age = this.#filesMax - 2; age >= 0; age--) {
      await rename(this.#path(age), this.#path(age + 1)).catch(missingIsUndefined);
    }
  }

  #path(age: number): string {
    return join(this.#folder, age === 0 ? 'audit.log' : `audit.log.${age}`);
  }
}

/** The first lines that fit into so many bytes together, at least one. */
function linesWithin(lines: readonly Buffer[], bytesMax: number): Buffer[] {
  let bytes = 0;
  const end = lines.findIndex((line, index) => (bytes += line.length) > bytesMax && index > 0);
  return lines.slice(0, end < 0 ? lines.length : end);
}

function parse(line: string): AuditEntry | undefined {
  if (line === '') return undefined;
  try {
    const value = JSON.parse(line) as AuditEntry | null;
    return Number.isSafeInteger(value?.id) ? (value as AuditEntry) : undefined;
  } catch {
    return undefined; // cut off when the machine lost its power
  }
}

function missingIsUndefined(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
  return undefined;
}
