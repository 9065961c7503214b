import { constants, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { systemClock } from '../util/clock.ts';
import { ShoalError } from '../util/errors.ts';

/** Access to files, handed in so that reading an application can be tried without a disk. Paths are absolute. */
export interface FileSystem {
  /** The whole content; rejects with `not_found` when there is no such file and `resource_exhausted` beyond `bytesMax`. */
  readFile(path: string, bytesMax: number): Promise<Uint8Array>;
  /** Whether a file is there. */
  exists(path: string): Promise<boolean>;
}

/**
 * The machine's own files, never more of one than the limit. Besides regular files a pipe is read, as a shell makes one
 * for `-f <(command)`, and `/dev/null`. Devices are not even opened: for some that alone does something.
 */
export const systemFileSystem: FileSystem = { readFile: readBounded, exists };

/** A pipe that nobody opens to write is given up after this long, */
const noWriterMs = 1_000;
/** and one into which its writer writes nothing, after this long. */
const silentWriterMs = 60_000;
const pipePollMs = 10;
const chunkBytes = 64 * 1024;

async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    const status = await stat(path);
    refuseOthers(path, status);
    if (status.isFile() && status.size > bytesMax) throw tooLarge(path, bytesMax);
    // Without O_NONBLOCK, opening a pipe waits for a writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    refuseOthers(path, await handle.stat());
    return await readAll(handle, path, bytesMax);
  } catch (error) {
    throw error instanceof ShoalError ? error : readFault(path, error);
  } finally {
    await handle?.close();
  }
}

async function readAll(handle: FileHandle, path: string, bytesMax: number): Promise<Uint8Array> {
  const isPipe = (await handle.stat()).isFIFO();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let silentSince = systemClock.monotonic();
  for (;;) {
    const chunk = await readChunk(handle);
    const isEnd = chunk?.length === 0;
    if (isEnd && (length > 0 || !isPipe)) return Buffer.concat(chunks);
    if (isEnd || chunk === undefined) {
      const patienceMs = isEnd ? noWriterMs : silentWriterMs;
      if (systemClock.monotonic() - silentSince > patienceMs) throw silent(path);
      await systemClock.sleep(pipePollMs);
      continue;
    }
    silentSince = systemClock.monotonic();
    length += chunk.length;
    if (length > bytesMax) throw tooLarge(path, bytesMax);
    chunks.push(chunk);
  }
}

/** What is there to be read; empty at the end, undefined when the writer of a pipe has nothing yet. */
async function readChunk(handle: FileHandle): Promise<Uint8Array | undefined> {
  try {
    const { bytesRead, buffer } = await handle.read(new Uint8Array(chunkBytes));
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

function refuseOthers(path: string, status: Stats): void {
  if (status.isFile() || status.isFIFO() || isNullDevice(status)) return;
  const what = status.isDirectory() ? 'a folder' : status.isSocket() ? 'a socket' : 'a device';
  throw new ShoalError('invalid_argument', `Cannot read ${path}: it is ${what}`);
}

/** `/dev/null`: character device 1:3 (Linux, devices.txt). */
function isNullDevice(status: Stats): boolean {
  return status.isCharacterDevice() && status.rdev === (1 << 8) + 3;
}

function silent(path: string): ShoalError {
  return new ShoalError(
    'failed_precondition',
    `Cannot read ${path}: it is a pipe, and nobody writes into it`,
  );
}

function tooLarge(path: string, bytesMax: number): ShoalError {
  return new ShoalError('resource_exhausted', `Cannot read ${path}: it is larger than ${bytesMax} bytes`);
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
};

function readFault(path: string, cause: unknown): ShoalError {
  const { code = 'unknown' } = cause as NodeJS.ErrnoException;
  const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
  return new ShoalError(
    isMissing ? 'not_found' : 'failed_precondition',
    `Cannot read ${path}: ${reasons[code] ?? code}`,
    { cause },
  );
}

async function exists(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined); // whatever the reason, it cannot be read
  return found !== undefined && !found.isDirectory();
}
