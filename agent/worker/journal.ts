import { open, readFile, rename, type FileHandle } from 'node:fs/promises';

const lineFeed = 0x0a;

/**
 * A file of lines that is only ever added to, or written anew as a whole. A line is there whole or not at all: what a kill
 * or a full disk has left of one is cut off before the next is added. Throws what the file system throws; whatever was
 * thrown, the same call may be made again.
 */
export class Journal {
  readonly #path: string;
  #file: FileHandle | undefined;
  #bytes: number;
  /** Something may lie behind the last whole line. */
  #isTorn: boolean;

  private constructor(path: string, bytes: number, isTorn: boolean) {
    this.#path = path;
    this.#bytes = bytes;
    this.#isTorn = isTorn;
  }

  /** Reads the file, which need not be there yet; gives its whole lines, oldest first. */
  static async open(path: string): Promise<{ journal: Journal; lines: string[] }> {
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    });
    const bytes = content.lastIndexOf(lineFeed) + 1;
    const lines = content.subarray(0, bytes).toString().split('\n').slice(0, -1);
    return { journal: new Journal(path, bytes, bytes < content.length), lines };
  }

  /** Size of the whole lines. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds whole lines, each with its line feed. */
  async append(lines: string): Promise<void> {
    this.#file ??= await openFile(this.#path);
    if (this.#isTorn) await this.#file.truncate(this.#bytes);
    this.#isTorn = true;
    this.#bytes += await writeAll(this.#file, Buffer.from(lines), this.#bytes);
    this.#isTorn = false;
  }

  /** Puts these lines in place of all that is there, at once for whoever opens the file. */
  async replace(parts: Iterable<string>): Promise<void> {
    const path = `${this.#path}.new`;
    const file = await open(path, 'w', 0o600);
    let bytes = 0;
    try {
      for (const part of parts) bytes += await writeAll(file, Buffer.from(part), bytes);
      await file.sync();
      await rename(path, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#bytes = bytes;
    this.#isTorn = false;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

/** Not for appending: a write says where it goes, so that what a failed one has left is written over. */
async function openFile(path: string): Promise<FileHandle> {
  return await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return open(path, 'wx+', 0o600);
    throw error;
  });
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<number> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
  return bytes.length;
}
