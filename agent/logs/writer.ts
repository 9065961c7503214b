import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogSettings } from '../../src/spec/settings.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
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

/** The folder of a task's log files. Throws `invalid_argument` for an id that is not one. */
export function logDirectory(directory: string, taskId: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(taskId)) return join(directory, taskId);
  throw new ShoalError('invalid_argument', `Cannot find the log of "${taskId}": that is no task id`);
}

/** Removes everything that is kept of a task's output. */
export async function removeLogs(directory: string, taskId: string): Promise<void> {
  await rm(logDirectory(directory, taskId), { recursive: true, force: true });
}

/**
 * Appends a task's output to `DIRECTORY/TASK/log`, at most so many files of such a size. Writing is synchronous and
 * goes to the page cache: what has left the container's pipe is on file before anything else happens, and a slow disk
 * slows the container down instead of filling memory. A chunk is at most what one read of a pipe gives, 64 KiB.
 * A full disk never ends the container: output is dropped then, and the log says so once.
 */
export class LogWriter implements OutputSink {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #stamper = new Stamper();
  readonly #open: Record<OutputStream, number> = { stdout: 0, stderr: 0 };
  #file: { fd: number; bytes: number } | undefined;
  #failed = false;
  readonly #fileBytesMax: number;
  readonly #filesMax: number;

  constructor(options: {
    directory: string;
    taskId: string;
    clock: Clock;
    log: Logger;
    /** @default 3 files of 10 MiB */
    limits?: LogSettings | undefined;
  }) {
    const { limits = {} } = options;
    this.#fileBytesMax = Math.min(limits.fileBytesMax ?? fileBytesMax, fileBytesHardMax);
    this.#filesMax = Math.min(limits.filesMax ?? filesMax, filesHardMax);
    this.#directory = logDirectory(options.directory, options.taskId);
    this.#clock = options.clock;
    this.#log = options.log;
  }

  write(stream: OutputStream, chunk: Buffer): void {
    const { records, open } = splitRecords(chunk, this.#open[stream]);
    this.#open[stream] = open;
    const now = this.#clock.now();
    const lines = records.map((record) => encodeRecord({ at: this.#stamper.next(now), stream, ...record }));
    this.#append(Buffer.concat(lines));
  }

  /** Finishes unfinished lines and closes the file. Writing may begin again. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#open[stream] > 0) this.write(stream, Buffer.from('\n'));
    }
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  #append(bytes: Buffer): void {
    if (bytes.length === 0) return;
    try {
      const file = this.#writable();
      for (let done = 0; done < bytes.length;) done += writeSync(file.fd, bytes, done);
      file.bytes += bytes.length;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#log.error('output could not be kept', { error: messageOf(error) });
      this.#failed = true;
    }
  }

  #writable(): { fd: number; bytes: number } {
    if (this.#file && this.#file.bytes >= this.#fileBytesMax) {
      closeSync(this.#file.fd);
      this.#file = undefined;
      if (this.#filesMax === 1) rmSync(join(this.#directory, logFileName(0)), { force: true });
      for (let age = this.#filesMax - 1; age > 0; age--) this.#rename(age - 1, age);
    }
    if (!this.#file) {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      const fd = openSync(join(this.#directory, logFileName(0)), 'a', 0o600);
      this.#file = { fd, bytes: fstatSync(fd).size };
    }
    return this.#file;
  }

  #rename(from: number, to: number): void {
    try {
      renameSync(join(this.#directory, logFileName(from)), join(this.#directory, logFileName(to)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}
