import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/util/clock.ts';
import { tryCommand } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { formatBytes } from '../../src/util/text.ts';
import type { Frame } from '../../src/wire/frames.ts';
import { readFrame } from '../../src/wire/check.ts';
import type { VolumeDifference } from '../../src/wire/session.ts';
import { isNoSpace, spaceOf } from '../disk/space.ts';
import { leastFreeBytes } from '../disk/watch.ts';
import { packFiles, unpackInto } from './archive.ts';
import { differenceOf, looksSame, type Difference } from './difference.ts';
import { addDigests, filesMax, listFolder, pathBelow, type FileEntry, type LocalEntry } from './listing.ts';
import { remember, Remembered } from './sent.ts';

/** Kernels stamp changes by a clock that stands still for so long; what changed later than that may change again unseen. */
const stampMs = 100;
/** Paths in one frame: 100 of the longest fit. */
const pathsPerFrame = 100;
/** Bytes of a listing that are put into one frame. */
const listingBytes = 128 * 1024;
/** A line of a listing: a path and a target of the longest, each byte as JSON writes it at its worst. */
const lineBytesMax = 64 * 1024;
/** Writing out what a disk has not got yet. */
const syncMs = 10 * 60_000;

/** The connection of one pass: what the other host sends, and what it is sent. */
export interface Exchange {
  frames: AsyncIterable<Frame>;
  send: (type: 'stdout' | 'end', payload: Uint8Array | string) => Promise<void>;
  tell: (difference: VolumeDifference) => Promise<void>;
}

/**
 * Compares the folder with what the other host lists of its copy, and sends what is not the same: first what it must remove, then a tar
 * stream. `isStill`: nothing writes to it any more.
 */
export async function sendDifference(
  options: { folder: string; memory: string; isStill: boolean; signal: AbortSignal },
  { frames, send, tell }: Exchange,
): Promise<void> {
  const { folder, memory, isStill, signal } = options;
  const { arrival, entries: theirs } = await readListing(frames);
  // What a mapped file has in memory only has its time already, and would change later without another one.
  if (!isStill) await syncFolder(folder);
  const listedAt = systemClock.now();
  const entries = await listFolder(folder, signal);
  const before = await Remembered.read(memory);
  const isKnown = before.arrival === arrival;
  const known = (entry: LocalEntry) => before.digestOf(entry);
  const alike = entries.values().filter((entry) => looksSame(entry, theirs.get(entry.path)));
  await addDigests(folder, alike, known, signal);
  const isUnsure = (entry: LocalEntry) => (isKnown ? before.hasChanged(entry) : theirs.size > 1);
  const difference = differenceOf(entries, theirs, isUnsure);
  const isRecent = (entry: LocalEntry) => !isStill && entry.changedAt > listedAt - stampMs;
  // Cut off from here on, only what shows no difference though there may be one has to be sent again.
  const all = [...entries.values()];
  await remember(memory, arrival, all, (entry) => isRecent(entry) || isUnsure(entry));
  await sendOne(folder, all, difference, { isStill, signal }, { frames, send, tell });
  await remember(memory, arrival, all, isRecent);
}

async function sendOne(
  folder: string,
  entries: LocalEntry[],
  { changed, removed, bytes }: Difference,
  { isStill, signal }: { isStill: boolean; signal: AbortSignal },
  { send, tell }: Exchange,
): Promise<void> {
  for (let at = 0; at < removed.length; at += pathsPerFrame) {
    await tell({ remove: removed.slice(at, at + pathsPerFrame) });
  }
  const totalBytes = entries.reduce((sum, entry) => sum + (entry.sameAs === undefined ? entry.bytes : 0), 0);
  await tell({
    summary: { changed: changed.length + removed.length, bytes, files: entries.length, totalBytes },
  });
  if (changed.length > 0) {
    const archive = packFiles(folder, changed, isStill);
    const kill = () => archive.kill();
    signal.addEventListener('abort', kill, { once: true });
    try {
      for await (const chunk of archive.output! as AsyncIterable<Buffer>) await send('stdout', chunk);
      const { isWhole } = await archive.done;
      if (isStill && !isWhole) {
        throw new ShoalError(
          'failed_precondition',
          'Cannot copy the volume: files change, though no task has it',
        );
      }
    } finally {
      signal.removeEventListener('abort', kill);
      archive.kill();
    }
  }
  await send('end', '');
}

/** Where a copy of one volume arrives: its folder, what is remembered of it, and what it is. */
export class Arrival {
  readonly folder: string;
  readonly data: string;
  readonly #note: string;

  /** `folder` holds all of it. */
  constructor(folder: string) {
    this.folder = folder;
    this.data = join(folder, 'data');
    this.#note = join(folder, 'arrival.json');
  }

  /** Makes it unless it is there already, and gives its id. */
  async open(): Promise<string> {
    const known = await readFile(this.#note, 'utf8').catch(missing);
    if (known !== undefined) {
      await writeFile(this.#note, known); // by its time it is known how long nobody wanted it
      return known;
    }
    await rm(this.folder, { recursive: true, force: true });
    await mkdir(this.data, { recursive: true, mode: 0o755 });
    const id = systemRandom.id();
    await writeFile(this.#note, id);
    return id;
  }

  /** Whether anything has arrived that was not put in its place yet. */
  async isThere(): Promise<boolean> {
    return (await stat(this.data).catch(missing)) !== undefined;
  }

  /** How long nobody has wanted it (ms). */
  async age(): Promise<number> {
    const stats = (await stat(this.#note).catch(missing)) ?? (await stat(this.folder).catch(missing));
    return stats === undefined ? 0 : systemClock.now() - stats.mtimeMs;
  }

  /** Lists what is there to the other host, and takes what it has otherwise. */
  async take(signal: AbortSignal, { frames, send }: Exchange): Promise<void> {
    const id = await this.open();
    const memory = join(this.folder, 'digests');
    const entries = await listFolder(this.data, signal);
    const before = await Remembered.read(memory);
    await addDigests(this.data, entries.values(), (entry) => before.digestOf(entry), signal);
    await remember(memory, id, entries.values());
    await sendListing(id, entries.values(), send);
    const archive = new Lazy(() => unpackInto(this.data));
    const kill = () => archive.made?.kill();
    signal.addEventListener('abort', kill, { once: true });
    try {
      await this.#receive(entries, frames, archive);
      signal.throwIfAborted();
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      throw new ShoalError('no_space', 'Cannot take the volume: the disk is full', { cause: error });
    } finally {
      signal.removeEventListener('abort', kill);
      kill();
      // The next pass must not list what this one still writes.
      await archive.made?.done.catch(() => undefined);
    }
  }

  async #receive(
    entries: ReadonlyMap<string, LocalEntry>,
    frames: AsyncIterable<Frame>,
    archive: Lazy<ReturnType<typeof unpackInto>>,
  ): Promise<void> {
    for await (const { type, payload } of frames) {
      if (type === 'difference') {
        const { remove = [], summary } = readFrame('difference', payload);
        // What was listed may be a link by then.
        if (remove.length > 0 && archive.made !== undefined)
          throw new ShoalError('invalid_argument', 'Cannot remove anything after files have come');
        for (const path of remove) await this.#remove(entries, path);
        if (summary !== undefined) await this.#checkRoom(entries, summary.totalBytes);
      } else if (type === 'stdin') {
        const { input, done } = archive.get();
        // tar may end before its input does: its own words are why.
        if (!input!.write(payload)) await Promise.race([new Promise((go) => input!.once('drain', go)), done]);
      } else if (type === 'end') {
        archive.made?.input!.end();
        await archive.made?.done;
        return;
      }
    }
    throw new ShoalError('unavailable', 'Cannot take the volume: the connection broke');
  }

  /** Only what this host itself has listed is removed, so that no path leads anywhere else. */
  async #remove(entries: ReadonlyMap<string, LocalEntry>, path: string): Promise<void> {
    if (path === '.' || !entries.has(path)) {
      throw new ShoalError('invalid_argument', `Cannot remove ${JSON.stringify(path)}: it is not there`);
    }
    await rm(pathBelow(this.data, path), { recursive: true, force: true });
  }

  async #checkRoom(entries: ReadonlyMap<string, LocalEntry>, totalBytes: number): Promise<void> {
    const here = entries
      .values()
      .reduce((sum, { bytes, sameAs }) => sum + (sameAs === undefined ? bytes : 0), 0);
    const space = await spaceOf(this.data);
    const wanted = Math.max(0, totalBytes - here);
    const room = Math.max(0, space.freeBytes - leastFreeBytes(space));
    if (wanted <= room) return;
    const words = `${formatBytes(wanted)} more are needed, and ${formatBytes(room)} can be used`;
    throw new ShoalError('no_space', `Cannot take the volume: ${words}`);
  }
}

/** Made when it is first needed. */
class Lazy<T> {
  made: T | undefined;
  readonly #make: () => T;

  constructor(make: () => T) {
    this.#make = make;
  }

  get(): T {
    return (this.made ??= this.#make());
  }
}

/** Writes what is in the folder's file system out to its disk. */
export async function syncFolder(folder: string): Promise<void> {
  const { exitCode, stderr } = await tryCommand('sync', ['-f', folder], { timeoutMs: syncMs });
  if (exitCode !== 0)
    throw new ShoalError('failed_precondition', `Cannot write ${folder} out: ${stderr.trim()}`);
}

async function sendListing(id: string, entries: Iterable<LocalEntry>, send: Exchange['send']): Promise<void> {
  let text = `${JSON.stringify({ arrival: id })}\n`;
  for (const { stamp: _, changedAt: __, inode: ___, bytes: ____, ...entry } of entries) {
    text += `${JSON.stringify(entry)}\n`;
    if (text.length < listingBytes) continue;
    await send('stdout', text);
    text = '';
  }
  await send('stdout', text);
  await send('end', '');
}

async function readListing(
  frames: AsyncIterable<Frame>,
): Promise<{ arrival: string; entries: Map<string, FileEntry> }> {
  const entries = new Map<string, FileEntry>();
  let arrival: string | undefined;
  const take = (line: string) => {
    if (arrival === undefined) {
      ({ arrival } = JSON.parse(line) as { arrival: string });
      return;
    }
    const entry = JSON.parse(line) as FileEntry;
    if (entries.size >= filesMax) throw new ShoalError('resource_exhausted', 'Cannot read so long a listing');
    entries.set(entry.path, entry);
  };
  let rest: Buffer = Buffer.alloc(0);
  for await (const { type, payload } of frames) {
    if (type === 'end') return { arrival: arrival ?? '', entries };
    if (type !== 'stdin') continue;
    rest = Buffer.concat([rest, payload]);
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      take(rest.subarray(0, end).toString());
      rest = rest.subarray(end + 1);
    }
    if (rest.length > lineBytesMax)
      throw new ShoalError('invalid_argument', 'Cannot read the listing of a volume');
  }
  throw new ShoalError('unavailable', 'Cannot compare the volume: the connection broke');
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
