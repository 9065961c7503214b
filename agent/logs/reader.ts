import { constants } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../src/util/clock.ts';
import type { LogLine } from '../../src/wire/session.ts';
import {
  decodeRecord,
  filesHardMax,
  lineBytesMax,
  logFileName,
  type LogRecord,
  type OutputStream,
} from './format.ts';
import { logDirectory } from './writer.ts';

const blockBytes = 64 * 1024;
/** How often a followed file is looked at. */
const followIntervalMs = 100;
const lineFeed = 0x0a;

export interface ReadOptions {
  /** Only the last lines. @default all of them */
  tail?: number;
  /** Only lines from this time on, ms since the epoch. */
  since?: number;
  /** Goes on with lines as they are written, until the signal. @default false */
  follow?: boolean;
  signal?: AbortSignal;
  clock?: Clock;
}

/**
 * The lines of a task's log, oldest first. Each is whole: pieces that were written separately are put together, and
 * carry the time of the first. Without a log there are no lines.
 */
export async function* readLogs(
  directory: string,
  taskId: string,
  options: ReadOptions = {},
): AsyncGenerator<LogLine> {
  const { tail, since, follow = false, signal, clock = systemClock } = options;
  const folder = logDirectory(directory, taskId);
  const from = since === undefined ? undefined : new Date(since).toISOString().slice(0, -1);
  const joiner = new Joiner(taskId);
  const files = await FileCursor.open(folder, tail);
  try {
    for (;;) {
      for await (const record of files.read()) {
        const line = joiner.add(record);
        if (line && (from === undefined || line.at >= from)) yield line;
        if (signal?.aborted) return;
      }
      if (!follow) break;
      await clock.sleep(followIntervalMs, signal).catch(() => undefined); // the signal is looked at below
      if (signal?.aborted) return;
    }
    for (const line of joiner.rest()) {
      if (from === undefined || line.at >= from) yield line;
    }
  } finally {
    await files.close();
  }
}

/** Puts the pieces of lines together. */
class Joiner {
  readonly #taskId: string;
  readonly #pieces = new Map<OutputStream, { at: string; texts: Buffer[] }>();

  constructor(taskId: string) {
    this.#taskId = taskId;
  }

  add(record: LogRecord): LogLine | undefined {
    const begun = this.#pieces.get(record.stream) ?? { at: record.at, texts: [] };
    begun.texts.push(record.text);
    if (!record.full) {
      this.#pieces.set(record.stream, begun);
      return undefined;
    }
    this.#pieces.delete(record.stream);
    return this.#line(record.stream, begun);
  }

  /** Lines that nothing has ended. */
  rest(): LogLine[] {
    return Array.from(this.#pieces, ([stream, begun]) => this.#line(stream, begun));
  }

  #line(stream: OutputStream, { at, texts }: { at: string; texts: Buffer[] }): LogLine {
    return { taskId: this.#taskId, at, stream, text: Buffer.concat(texts).toString() };
  }
}

/** Reads records from a task's files in the order in which they were written, across rotations. */
class FileCursor {
  readonly #folder: string;
  #file: FileHandle | undefined;
  #position = 0;
  /** Bytes after the last line feed. */
  #rest: Buffer = Buffer.alloc(0);

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Starts at the oldest record, or so that `tail` lines follow. */
  static async open(folder: string, tail: number | undefined): Promise<FileCursor> {
    const cursor = new FileCursor(folder);
    if (tail === undefined) {
      await cursor.#openOldest();
      return cursor;
    }
    let missing = tail;
    for (let age = 0; age < filesHardMax; age++) {
      const file = await openFile(join(folder, logFileName(age)));
      if (!file) break;
      const found = await seekBack(file, missing);
      await cursor.#use(file, found.position);
      if (found.missing === 0) break;
      missing = found.missing;
    }
    return cursor;
  }

  /** Everything from here to what is written so far. */
  async *read(): AsyncGenerator<LogRecord> {
    if (!this.#file) await this.#openOldest();
    while (this.#file) {
      // asked before reading: once a file has been put aside nothing is added to it
      const next = await this.#findNext(this.#file);
      yield* this.#readToEnd(this.#file);
      if (!next) return;
      await this.#use(next, 0);
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async *#readToEnd(file: FileHandle): AsyncGenerator<LogRecord> {
    for (;;) {
      const { bytesRead, buffer } = await file.read(
        Buffer.allocUnsafe(blockBytes),
        0,
        blockBytes,
        this.#position,
      );
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      const bytes = Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]);
      let start = 0;
      for (let feed = bytes.indexOf(lineFeed); feed >= 0; feed = bytes.indexOf(lineFeed, start)) {
        const record = decodeRecord(bytes.subarray(start, feed));
        start = feed + 1;
        if (record) yield record;
      }
      this.#rest = bytes.subarray(start);
      // only a damaged file has longer lines
      if (this.#rest.length > 2 * lineBytesMax) this.#rest = Buffer.alloc(0);
    }
  }

  /** The file that was begun after the current one, if the current one has been put aside. */
  async #findNext(file: FileHandle): Promise<FileHandle | undefined> {
    const own = (await file.stat()).ino;
    for (let age = 0; age < filesHardMax; age++) {
      const status = await stat(join(this.#folder, logFileName(age))).catch(missingFile);
      if (status?.ino !== own) continue;
      return age === 0 ? undefined : openFile(join(this.#folder, logFileName(age - 1)));
    }
    // it is gone: too much has been written meanwhile, or the log was removed
    return this.#oldest();
  }

  async #oldest(): Promise<FileHandle | undefined> {
    for (let age = filesHardMax - 1; age >= 0; age--) {
      const file = await openFile(join(this.#folder, logFileName(age)));
      if (file) return file;
    }
    return undefined;
  }

  async #openOldest(): Promise<void> {
    const file = await this.#oldest();
    if (file) await this.#use(file, 0);
  }

  async #use(file: FileHandle, position: number): Promise<void> {
    await this.#file?.close();
    this.#file = file;
    this.#position = position;
    this.#rest = Buffer.alloc(0);
  }
}

/** Where the last `lines` lines of a file begin, and how many lines it has too few. */
async function seekBack(file: FileHandle, lines: number): Promise<{ position: number; missing: number }> {
  const { size } = await file.stat();
  if (lines === 0) return { position: size, missing: 0 };
  let found = 0;
  let after = Buffer.alloc(0);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - blockBytes);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    const bytes = Buffer.concat([buffer, after]);
    // a record that begins in an earlier block is looked at with that block
    const first = start === 0 ? 0 : bytes.indexOf(lineFeed) + 1;
    for (let stop = lastFeed(bytes, bytes.length); stop >= first && stop >= 0;) {
      const begin = Math.max(lastFeed(bytes, stop) + 1, first);
      if (decodeRecord(bytes.subarray(begin, stop))?.full) {
        // the line that ended here does not belong to the last `lines` ones, and all after it do
        if (found === lines) return { position: start + stop + 1, missing: 0 };
        found++;
      }
      if (begin <= first) break;
      stop = begin - 1;
    }
    after = first === 0 ? Buffer.alloc(0) : bytes.subarray(0, first);
    end = start;
  }
  return { position: 0, missing: lines - found };
}

function lastFeed(bytes: Buffer, before: number): number {
  return before <= 0 ? -1 : bytes.lastIndexOf(lineFeed, before - 1);
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  return open(path, constants.O_RDONLY).catch(missingFile);
}

function missingFile(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}
