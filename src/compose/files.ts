import { open, stat } from 'node:fs/promises';
import { ShoalError } from '../util/errors.ts';

/** Access to files, handed in so that reading an application can be tried without a disk. Paths are absolute. */
export interface FileSystem {
  /** The whole content; rejects with `not_found` when there is no such file and `resource_exhausted` beyond `bytesMax`. */
  readFile(path: string, bytesMax: number): Promise<Uint8Array>;
  /** Whether a file is there. */
  exists(path: string): Promise<boolean>;
}

/** The machine's own files. Only regular files are read, and never more than the limit. */
export const systemFileSystem: FileSystem = { readFile: readBounded, exists };

async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw readFault(path, error);
  });
  try {
    const status = await handle.stat();
    if (status.isDirectory()) throw new ShoalError('invalid_argument', `Cannot read ${path}: it is a folder`);
    if (status.isFile() && status.size > bytesMax) throw tooLarge(path, bytesMax);
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const { bytesRead, buffer } = await handle.read(new Uint8Array(64 * 1024));
      if (bytesRead === 0) return Buffer.concat(chunks);
      length += bytesRead;
      if (length > bytesMax) throw tooLarge(path, bytesMax);
      chunks.push(buffer.subarray(0, bytesRead));
    }
  } catch (error) {
    throw error instanceof ShoalError ? error : readFault(path, error);
  } finally {
    await handle.close();
  }
}

function tooLarge(path: string, bytesMax: number): ShoalError {
  return new ShoalError('resource_exhausted', `Cannot read ${path}: it is larger than ${bytesMax} bytes`);
}

function readFault(path: string, cause: unknown): ShoalError {
  const code = (cause as NodeJS.ErrnoException).code;
  const why =
    code === 'ENOENT' || code === 'ENOTDIR'
      ? 'there is no such file'
      : code === 'EACCES'
        ? 'permission denied'
        : String(code);
  return new ShoalError(
    why.startsWith('there') ? 'not_found' : 'failed_precondition',
    `Cannot read ${path}: ${why}`,
    {
      cause,
    },
  );
}

async function exists(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined); // whatever the reason, it cannot be read
  return found !== undefined && !found.isDirectory();
}
