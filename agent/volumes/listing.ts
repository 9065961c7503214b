import { createHash } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { ShoalError } from '../../src/util/errors.ts';
import { Limiter } from '../../src/util/queue.ts';

/** Files of one volume that are compared; what has more is moved by backup and restore. */
export const filesMax = 500_000;
/** Work on files at a time: more only makes a disk seek. */
const filesAtOnce = 8;
const readBytes = 256 * 1024;

type FileKind = 'file' | 'directory' | 'link' | 'fifo' | 'block' | 'character';

/** What must be the same on two hosts for a file to be the same. */
export interface FileEntry {
  /** Below the volume's folder, `.` for that itself; a character for each byte, for names need not be text. */
  path: string;
  kind: FileKind;
  /** Permissions, owner and group by number; what they are of links is the kernel's choice. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of a file; 0 for everything else. */
  size: number;
  /** Nanoseconds, of files and folders. */
  mtime: string;
  /** Where a link leads, or which device it is. */
  target?: string;
  /** The first path of the same file, in the order of the listing. */
  sameAs?: string;
  /** SHA-256 of a file's content. */
  digest?: string;
}

/** What this host alone knows of it. */
export interface LocalEntry extends FileEntry {
  /** Another one whenever anything of the file has changed, its content, owner or extended attributes. */
  stamp: string;
  /** When that was (ms). */
  changedAt: number;
  inode: string;
  /** What it takes on the disk. */
  bytes: number;
}

/** Everything in the folder in a fixed order, folders before what is in them. Sockets, and what is mounted inside, are left out. */
export async function listFolder(folder: string, signal: AbortSignal): Promise<Map<string, LocalEntry>> {
  const entries = new Map<string, LocalEntry>();
  const firstOf = new Map<string, string>();
  const root = await lstat(pathBelow(folder, '.'), { bigint: true });
  const limiter = new Limiter(filesAtOnce);
  const add = (path: string, stats: BigIntStats, target: string | undefined): boolean => {
    const kind = kindOf(stats);
    if (kind === undefined || stats.dev !== root.dev) return false;
    if (entries.size >= filesMax) {
      throw new ShoalError('resource_exhausted', `Cannot compare more than ${filesMax} files`, {
        next: 'Move it with `shoal volume backup` and `shoal volume restore`.',
      });
    }
    const entry = entryOf(path, kind, stats, target);
    if (kind !== 'directory' && stats.nlink > 1n) {
      const first = firstOf.get(entry.inode);
      if (first === undefined) firstOf.set(entry.inode, path);
      else entry.sameAs = first;
    }
    entries.set(path, entry);
    return kind === 'directory';
  };
  const look = async (path: string) => {
    const name = pathBelow(folder, path);
    const stats = await lstat(name, { bigint: true });
    return { path, stats, target: stats.isSymbolicLink() ? await readlink(name, 'latin1') : undefined };
  };
  const walk = async (path: string): Promise<void> => {
    signal.throwIfAborted();
    const names = (await readdir(pathBelow(folder, path), { encoding: 'latin1' }).catch(gone)) ?? [];
    const paths = names.toSorted().map((name) => (path === '.' ? name : `${path}/${name}`));
    const found = await Promise.all(paths.map((each) => limiter.run(() => look(each).catch(gone))));
    for (const each of found) {
      // What is gone by now was there a moment ago: what writes goes on meanwhile.
      if (each !== undefined && add(each.path, each.stats, each.target)) await walk(each.path);
    }
  };
  add('.', root, undefined);
  await walk('.');
  return entries;
}

/** The path as the file system has it. */
export function pathBelow(folder: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(path, 'latin1')]);
}

function kindOf(stats: BigIntStats): FileKind | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'link';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isBlockDevice()) return 'block';
  return stats.isCharacterDevice() ? 'character' : undefined;
}

function entryOf(path: string, kind: FileKind, stats: BigIntStats, link: string | undefined): LocalEntry {
  const isDevice = kind === 'block' || kind === 'character';
  const target = isDevice ? String(stats.rdev) : link;
  return {
    path,
    kind,
    mode: kind === 'link' ? 0 : Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: kind === 'file' ? Number(stats.size) : 0,
    mtime: kind === 'file' || kind === 'directory' ? String(stats.mtimeNs) : '',
    ...(target === undefined ? {} : { target }),
    stamp: `${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`,
    changedAt: Number(stats.ctimeMs),
    inode: String(stats.ino),
    bytes: kind === 'file' ? Number(stats.blocks) * 512 : 0,
  };
}

/**
 * Adds the digests of those files: from what is known by their stamps, else by reading them. One that changes meanwhile, or is no file any
 * more, gets none.
 */
export async function addDigests(
  folder: string,
  files: Iterable<LocalEntry>,
  known: (entry: LocalEntry) => string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const iterator = files[Symbol.iterator]();
  const work = async () => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      const entry = next.value;
      if (entry.kind !== 'file') continue;
      const digest = known(entry) ?? (await digestOf(pathBelow(folder, entry.path), entry, signal));
      if (digest !== undefined) entry.digest = digest;
    }
  };
  await Promise.all(Array.from({ length: filesAtOnce }, work));
}

async function digestOf(path: Buffer, entry: LocalEntry, signal: AbortSignal): Promise<string | undefined> {
  signal.throwIfAborted();
  // What runs may put anything in the file's place meanwhile: a link out of the volume, a pipe that never ends.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(gone);
  if (file === undefined) return undefined;
  try {
    const isSame = async () => {
      const stats = await file.stat({ bigint: true });
      return stats.isFile() && entryOf(entry.path, 'file', stats, undefined).stamp === entry.stamp;
    };
    if (!(await isSame())) return undefined;
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(readBytes, entry.size)));
    for (let at = 0; at < entry.size;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) return undefined;
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    return (await isSame()) ? hash.digest('base64') : undefined;
  } finally {
    await file.close();
  }
}

/** Of what went, or became something else, since it was listed. */
function gone(error: NodeJS.ErrnoException): undefined {
  if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(error.code ?? '')) throw error;
}
