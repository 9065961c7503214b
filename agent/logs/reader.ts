import { constants } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/util/clock.ts';
import type { Limiter } from '../../src/util/queue.ts';
import type { LogLine } from '../../src/wire/session.ts';
import {
  ageOfLogFile,
  decodeRecord,
  filesHardMax,
  lineBytesMax,
  logFileName,
  type LogRecord,
  type OutputStream,
} from './format.ts';
import { formatPosition, isAfter, parsePosition, type Position } from './position.ts';
import { LogSignals } from './signals.ts';
import { logDirectory } from './writer.ts';

const blockBytes = 64 * 1024;
/** How often a followed file is looked at although nobody said that something was written to it. */
const followIntervalMs = 5_000;
/** The same where nobody would say so. */
const unsignalledIntervalMs = 100;
const lineFeed = 0x0a;
/** `2026-12-01T00:00:00.000000000Z` */
const timeLength = 30;

export interface ReadOptions {
  /** Only the last lines. @default all of them */
  tail?: number;
  /** Only lines from this time on, ms since the epoch. */
  since?: number;
  /** Only lines after the one that has this position; all that are left when that is gone. `tail` does not count then. */
  after?: string;
  /** Goes on with lines as they are written, until the signal. @default false */
  follow?: boolean;
  signal?: AbortSignal;
  /** Wakes who follows. @default files are looked at every 100 ms */
  signals?: LogSignals;
  /** Shared by all readers of a host: how many wait for the disk at a time. */
  limiter?: Limiter;
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
  const { tail, since, follow = false, signal, limiter } = options;
  const folder = logDirectory(directory, taskId);
  const from = since === undefined ? undefined : new Date(since).toISOString().slice(0, -1);
  const after = options.after === undefined ? undefined : parsePosition(options.after);
  const joiner = new Joiner(taskId);
  const isWanted = ({ line, position }: PlacedLine) =>
    (from === undefined || line.at >= from) && (after === undefined || isAfter(position, after));
  const waiting = (options.signals ?? new LogSignals(systemClock)).follow(taskId, signal);
  const files = new FileCursor(folder, (work) => (limiter ? limiter.run(work) : work()));
  try {
    await files.start(after, tail);
    for (;;) {
      for await (const record of files.read()) {
        for (const placed of joiner.add(record)) if (isWanted(placed)) yield placed.line;
        if (signal?.aborted) return;
      }
      if (!follow) break;
      await waiting.next(options.signals ? followIntervalMs : unsignalledIntervalMs);
      if (signal?.aborted) return;
    }
    // What nothing has ended may go on: one cannot go on after it, and so it has no position.
    for (const { line, position } of joiner.rest()) {
      const { position: _, ...unplaced } = line;
      if (isWanted({ line, position })) yield unplaced;
    }
  } finally {
    waiting.close();
    await files.close();
  }
}

interface PlacedRecord extends LogRecord {
  file: string;
  start: number;
  end: number;
}

interface PlacedLine {
  line: LogLine;
  position: Position;
}

interface Begun {
  at: string;
  texts: Buffer[];
  file: string;
  start: number;
  end: number;
}

/** Puts the pieces of lines together. */
class Joiner {
  readonly #taskId: string;
  readonly #pieces = new Map<OutputStream, Begun>();

  constructor(taskId: string) {
    this.#taskId = taskId;
  }

  add(record: PlacedRecord): PlacedLine[] {
    const { stream, at, text, file, start, end } = record;
    const begun = this.#pieces.get(stream);
    this.#pieces.delete(stream);
    if (record.warning) {
      const warning = { at, texts: [text], file, start, end };
      return [
        ...(begun ? [this.#placed(stream, endedBefore(record, begun), {}, start)] : []),
        this.#placed(stream, warning, { warning: true }),
      ];
    }
    // what was begun in a file that is put aside now is still the same line
    const line: Begun = begun
      ? { ...begun, texts: [...begun.texts, text], file, start: begun.file === file ? begun.start : 0, end }
      : { at, texts: [text], file, start, end };
    if (record.full) return [this.#placed(stream, line)];
    this.#pieces.set(stream, line);
    return [];
  }

  /** Lines that nothing has ended. */
  rest(): PlacedLine[] {
    return Array.from(this.#pieces, ([stream, begun]) => this.#placed(stream, begun));
  }

  /** To go on after this line one must begin where the pieces begin that are not whole yet. */
  #placed(
    stream: OutputStream,
    line: Begun,
    more: { warning?: true } = {},
    nextStart: number = line.end,
  ): PlacedLine {
    const { at, texts, file, end } = line;
    const starts = [...this.#pieces.values()]
      .filter((begun) => begun.file === file)
      .map(({ start }) => start);
    const position = { file, start: Math.min(nextStart, ...starts), end };
    const text = Buffer.concat(texts).toString();
    return {
      line: { taskId: this.#taskId, at, stream, text, position: formatPosition(position), ...more },
      position,
    };
  }
}

/** What a word of Shoal's has ended: it comes just before that word, and after all that was whole before. */
function endedBefore({ file, start }: PlacedRecord, begun: Begun): Begun {
  return { ...begun, file, start: begun.file === file ? begun.start : 0, end: start + 1 };
}

/** Reads records from a task's files in the order in which they were written, across rotations. */
class FileCursor {
  readonly #folder: string;
  /** Runs what waits for the disk. */
  readonly #io: <T>(work: () => Promise<T>) => Promise<T>;
  #file: FileHandle | undefined;
  /** What the file is called in positions: the time of its first record, whatever its name is by now. */
  #name = '';
  #position = 0;
  /** Bytes after the last line feed. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(folder: string, io: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#folder = folder;
    this.#io = io;
  }

  /** Begins at a position, or so that `tail` lines follow, or at the oldest record. */
  async start(after: Position | undefined, tail: number | undefined): Promise<void> {
    if (after !== undefined) {
      if (!(await this.#startAt(after))) await this.#openOldest();
      return;
    }
    if (tail === undefined) return await this.#openOldest();
    let missing = tail;
    for (const age of await this.#ages()) {
      const file = await this.#open(age);
      if (!file) continue;
      const found = await this.#io(() => seekBack(file, missing));
      await this.#use(file, found.position);
      if (found.missing === 0) break;
      missing = found.missing;
    }
  }

  /** Everything from here to what is written so far. */
  async *read(): AsyncGenerator<PlacedRecord> {
    if (!this.#file) await this.#openOldest();
    while (this.#file) {
      const file: FileHandle = this.#file;
      // asked before reading: once a file has been put aside nothing is added to it
      const next = await this.#findNext(file);
      yield* this.#readToEnd(file);
      if (!next) return;
      await this.#use(next, 0);
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async *#readToEnd(file: FileHandle): AsyncGenerator<PlacedRecord> {
    for (;;) {
      const block = Buffer.allocUnsafe(blockBytes);
      const { bytesRead } = await this.#io(() => file.read(block, 0, blockBytes, this.#position));
      if (bytesRead === 0) return;
      const base = this.#position - this.#rest.length;
      this.#position += bytesRead;
      const bytes = Buffer.concat([this.#rest, block.subarray(0, bytesRead)]);
      let start = 0;
      for (let feed = bytes.indexOf(lineFeed); feed >= 0; feed = bytes.indexOf(lineFeed, start)) {
        const record = decodeRecord(bytes.subarray(start, feed));
        const place = { start: base + start, end: base + feed + 1 };
        start = feed + 1;
        if (!record) continue;
        if (this.#name === '') this.#name = await this.#nameOf(file);
        yield { ...record, ...place, file: this.#name };
      }
      this.#rest = bytes.subarray(start);
      // only a damaged file has longer lines
      if (this.#rest.length > 2 * lineBytesMax) this.#rest = Buffer.alloc(0);
    }
  }

  async #startAt({ file: name, start }: Position): Promise<boolean> {
    for (const age of await this.#ages()) {
      const file = await this.#open(age);
      if (!file) continue;
      if ((await this.#nameOf(file)) === name) {
        await this.#use(file, start);
        return true;
      }
      await file.close();
    }
    return false;
  }

  async #nameOf(file: FileHandle): Promise<string> {
    const header = Buffer.alloc(timeLength);
    await this.#io(() => file.read(header, 0, timeLength, 0));
    return header.toString('latin1');
  }

  /** The file that was begun after the current one, if the current one has been put aside. */
  async #findNext(file: FileHandle): Promise<FileHandle | undefined> {
    const own = (await this.#io(() => file.stat())).ino;
    for (const age of await this.#ages()) {
      const path = join(this.#folder, logFileName(age));
      const status = await this.#io(() => stat(path).catch(missingFile));
      if (status?.ino !== own) continue;
      return age === 0 ? undefined : await this.#open(age - 1);
    }
    // it is gone: too much has been written meanwhile, or the log was removed
    return await this.#oldest();
  }

  async #oldest(): Promise<FileHandle | undefined> {
    for (const age of (await this.#ages()).reverse()) {
      const file = await this.#open(age);
      if (file) return file;
    }
    return undefined;
  }

  /** Ages that files may have, newest first; some may be missing, as when they are being put aside at this moment. */
  async #ages(): Promise<number[]> {
    const names = await this.#io(() => readdir(this.#folder).catch(missingFile));
    const oldest = Math.max(-1, ...(names ?? []).map(ageOfLogFile));
    return Array.from({ length: Math.min(filesHardMax, oldest + 2) }, (_, age) => age);
  }

  async #openOldest(): Promise<void> {
    const file = await this.#oldest();
    if (file) await this.#use(file, 0);
  }

  async #open(age: number): Promise<FileHandle | undefined> {
    const path = join(this.#folder, logFileName(age));
    return await this.#io(() => open(path, constants.O_RDONLY).catch(missingFile));
  }

  async #use(file: FileHandle, position: number): Promise<void> {
    await this.#file?.close();
    this.#file = file;
    this.#name = '';
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

function missingFile(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}
