import { constants, closeSync, openSync, readSync } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { runCommand } from '../../src/util/command.ts';
import { systemRandom } from '../../src/util/random.ts';

/** FIFOs made at a time: Node cannot make one itself, and a process for each would be most of the cost of an exec. */
const batchSize = 64;
const refillBelow = 24;
const makeAttempts = 3;
const sparePrefix = 'spare-';
/** FIFOs of execs have names of their own, and are of no use to a later process. */
export const execPrefix = 'exec-';

/** Makes the FIFOs through which containers are read, all in one folder. */
export class FifoFolder {
  readonly #directory: string;
  readonly #spare: string[] = [];
  #filling: Promise<void> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Makes the folder and clears spare FIFOs of an earlier process. Gives the names of its other FIFOs. */
  async start(): Promise<string[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const names = await readdir(this.#directory);
    const spare = names.filter((name) => name.startsWith(sparePrefix));
    await this.remove(...spare);
    return names.filter((name) => !name.startsWith(sparePrefix));
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  /** Makes a FIFO of this name, in place of an older one; gives its path. */
  async make(name: string): Promise<string> {
    const path = this.path(name);
    for (let attempt = 1; ; attempt++) {
      const spare = await this.#takeSpare();
      try {
        await rename(spare, path);
        return path;
      } catch (error) {
        // another process that took over this folder has cleared it
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt >= makeAttempts) throw error;
        this.#spare.length = 0;
      }
    }
  }

  async #takeSpare(): Promise<string> {
    let spare = this.#spare.pop();
    for (; spare === undefined; spare = this.#spare.pop()) await this.#fill();
    if (this.#spare.length < refillBelow) this.#fill().catch(() => undefined); // the next one meets the same failure and reports it
    return spare;
  }

  async remove(...names: string[]): Promise<void> {
    await Promise.all(names.map((name) => rm(this.path(name), { force: true })));
  }

  #fill(): Promise<void> {
    this.#filling ??= this.#makeBatch().finally(() => (this.#filling = undefined));
    return this.#filling;
  }

  async #makeBatch(): Promise<void> {
    const paths = Array.from({ length: batchSize }, () => this.path(`${sparePrefix}${systemRandom.id()}`));
    await runCommand('mkfifo', ['-m', '0600', ...paths]);
    this.#spare.push(...paths);
  }
}

/** Opens a FIFO for reading without waiting for a writer, and without a thread that waits. Throws when it is not there. */
export function openForReading(path: string): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/**
 * Opens a FIFO that a container may have written to while nobody listened. Gives the bytes read on the way; without a
 * writer there is no socket: what was there is everything.
 */
export function reopenForReading(path: string): { socket?: Socket; first: Buffer } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const chunk = Buffer.allocUnsafe(64 * 1024);
  try {
    const bytes = readSync(fd, chunk);
    if (bytes > 0)
      return { socket: new Socket({ fd, readable: true, writable: false }), first: chunk.subarray(0, bytes) };
    closeSync(fd);
    return { first: Buffer.alloc(0) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
      return { socket: new Socket({ fd, readable: true, writable: false }), first: Buffer.alloc(0) };
    }
    closeSync(fd);
    throw error;
  }
}

/**
 * Keeps FIFOs open until the returned function is called. A shim whose daemon died at the wrong moment waits for a reader
 * of its container's output, and containerd can neither list nor remove the container until one comes.
 */
export function holdOpen(paths: string[]): () => void {
  const descriptors = paths.flatMap((path) => {
    try {
      return [openSync(path, constants.O_RDWR | constants.O_NONBLOCK)];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
  return () => descriptors.forEach((descriptor) => closeSync(descriptor));
}

/** Opens a FIFO for writing before anybody reads it (fifo(7): read-write never waits). Only its write side may be used. */
export function openForWriting(path: string): Socket {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  return new Socket({ fd, readable: false, writable: true });
}
