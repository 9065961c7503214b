import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogSettings } from '../../src/spec/settings.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Limiter } from '../../src/util/queue.ts';
import { formatBytes } from '../../src/util/text.ts';
import type { OutputSink } from '../engine/engine.ts';
import {
  encodeRecord,
  fileBytesHardMax,
  fileBytesMax,
  filesHardMax,
  filesMax,
  logFileName,
  splitRecords,
  Stamper,
  type OutputStream,
} from './format.ts';

/** More than this waiting to be written makes the container wait. */
const waitingBytesMax = 128 * 1024;
const lineFeed = 0x0a;

/** The folder of a task's log files. Throws `invalid_argument` for an id that is not one. */
export function logDirectory(directory: string, taskId: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(taskId)) return join(directory, taskId);
  throw new ShoalError('invalid_argument', `Cannot find the log of "${taskId}": that is no task id`);
}

/** Removes everything that is kept of a task's output. */
export async function removeLogs(directory: string, taskId: string): Promise<void> {
  await rm(logDirectory(directory, taskId), { recursive: true, force: true });
}

export interface LogWriterOptions {
  directory: string;
  taskId: string;
  clock: Clock;
  log: Logger;
  /** Shared by all writers of a host: how many wait for the disk at a time. */
  limiter: Limiter;
  /** @default 3 files of 10 MiB */
  limits?: LogSettings | undefined;
  /** Called when something was written. */
  onWritten?: () => void;
  /** Called when something could not be written. */
  onTrouble?: (error: unknown) => void;
}

/** What came at once and waits to be written. */
interface Chunk {
  stream: OutputStream;
  bytes: Buffer;
  /** Whole lines in it. */
  lines: number;
}

/** What could not be kept, by stream. */
type Lost = Record<OutputStream, { lines: number; bytes: number }>;

/**
 * Appends a task's output to `DIRECTORY/TASK/log`, at most so many files of such a size. Nothing here waits for the disk:
 * chunks are stamped as they come and written in the background, in order and all that wait together; when more than
 * `waitingBytesMax` wait, the container does. A disk that refuses never ends the container: output is dropped then, and
 * once the disk takes something again, a word in the log says how much.
 */
export class LogWriter implements OutputSink {
  readonly #options: LogWriterOptions;
  readonly #directory: string;
  readonly #stamper = new Stamper();
  readonly #open: Record<OutputStream, number> = { stdout: 0, stderr: 0 };
  readonly #fileBytesMax: number;
  readonly #filesMax: number;
  #file: { handle: FileHandle; bytes: number } | undefined;
  /** Something torn may lie behind the last whole record. */
  #isTorn = false;
  #waiting: Chunk[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #lost: Lost = nothingLost();

  constructor(options: LogWriterOptions) {
    const { limits = {} } = options;
    this.#options = options;
    this.#fileBytesMax = Math.min(limits.fileBytesMax ?? fileBytesMax, fileBytesHardMax);
    this.#filesMax = Math.min(limits.filesMax ?? filesMax, filesHardMax);
    this.#directory = logDirectory(options.directory, options.taskId);
  }

  write(stream: OutputStream, chunk: Buffer): void | Promise<void> {
    if (chunk.length === 0) return undefined;
    const { records, open: held } = splitRecords(chunk, this.#open[stream]);
    this.#open[stream] = held;
    const now = this.#options.clock.now();
    const bytes = Buffer.concat(
      records.map((record) => encodeRecord({ at: this.#stamper.next(now), stream, ...record })),
    );
    this.#waiting.push({ stream, bytes, lines: records.filter(({ full }) => full).length });
    this.#waitingBytes += bytes.length;
    this.#writing ??= this.#writeAll();
    return this.#waitingBytes > waitingBytesMax ? this.#writing : undefined;
  }

  /** Finishes unfinished lines, waits until all is written, and closes the file. Writing may begin again. */
  async end(): Promise<void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#open[stream] > 0) void this.write(stream, Buffer.from('\n'));
    }
    await this.#writing;
    await this.#options.limiter.run(() => this.#close());
  }

  /** Writes what waits until nothing does. Never throws. */
  async #writeAll(): Promise<void> {
    const { limiter, onWritten, onTrouble, log, taskId } = this.#options;
    await Promise.resolve(); // what comes in the same turn goes together
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      try {
        await limiter.run(() => this.#append(batch.map(({ bytes }) => bytes)));
        onWritten?.();
      } catch (error) {
        if (!isAnythingLost(this.#lost)) {
          log.error('output could not be kept', { task: taskId, error: messageOf(error) });
        }
        this.#lose(batch);
        // begun anew with the next chunk: whatever it was may have gone by then
        await limiter.run(() => this.#close()).catch(() => undefined);
        onTrouble?.(error);
      }
    }
    this.#writing = undefined; // at once with the last look: nothing can have come in between
  }

  async #append(chunks: Buffer[]): Promise<void> {
    const file = await this.#writable();
    if (this.#isTorn) await file.handle.truncate(file.bytes);
    const lost = this.#lost;
    const bytes = Buffer.concat([...this.#lossRecords(lost), ...chunks]);
    this.#isTorn = true;
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.handle.write(bytes, done, bytes.length - done, file.bytes + done);
      done += bytesWritten;
    }
    file.bytes += bytes.length;
    this.#isTorn = false;
    this.#lost = nothingLost();
  }

  #lose(batch: Chunk[]): void {
    for (const { stream, bytes, lines } of batch) {
      this.#lost[stream].lines += lines;
      this.#lost[stream].bytes += bytes.length;
      this.#open[stream] = 0; // what comes next of a line that is not there begins one
    }
  }

  #lossRecords(lost: Lost): Buffer[] {
    const at = this.#stamper.next(this.#options.clock.now());
    return (['stdout', 'stderr'] as const).flatMap((stream) => {
      const { lines, bytes } = lost[stream];
      if (bytes === 0) return [];
      const count = lines === 1 ? '1 line' : `${lines} lines`;
      const text = Buffer.from(
        `shoal: ${count} (${formatBytes(bytes)}) could not be kept here: the disk of the logs refused them`,
      );
      return [encodeRecord({ at, stream, full: true, warning: true, text })];
    });
  }

  async #writable(): Promise<{ handle: FileHandle; bytes: number }> {
    if (this.#file && this.#file.bytes >= this.#fileBytesMax) {
      await this.#close();
      if (this.#filesMax === 1) await rm(join(this.#directory, logFileName(0)), { force: true });
      for (let age = this.#filesMax - 1; age > 0; age--) await this.#rename(age - 1, age);
    }
    this.#file ??= await this.#openFile();
    return this.#file;
  }

  async #openFile(): Promise<{ handle: FileHandle; bytes: number }> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = join(this.#directory, logFileName(0));
    // not for appending: a write says where it goes, so that what a failed one has left is written over
    const handle = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return open(path, 'wx+', 0o600);
      throw error;
    });
    const { size } = await handle.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await handle.read(last, 0, 1, size - 1);
    if (size === 0 || last[0] === lineFeed) return { handle, bytes: size };
    // an earlier process was killed in the middle of a record: readers pass over that
    await handle.write('\n', size);
    return { handle, bytes: size + 1 };
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (this.#isTorn) await file?.handle.truncate(file.bytes).catch(() => undefined); // readers pass over it
    this.#isTorn = false;
    await file?.handle.close();
  }

  async #rename(from: number, to: number): Promise<void> {
    const path = (age: number) => join(this.#directory, logFileName(age));
    await rename(path(from), path(to)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
}

function nothingLost(): Lost {
  return { stdout: { lines: 0, bytes: 0 }, stderr: { lines: 0, bytes: 0 } };
}

function isAnythingLost({ stdout, stderr }: Lost): boolean {
  return stdout.bytes + stderr.bytes > 0;
}
