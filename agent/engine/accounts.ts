import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { missing, resolveInRoot, type ImageRoots } from './image-root.ts';
import type { Accounts } from './user.ts';

/** Files larger than this are not user databases. */
const fileBytesMax = 4 * 1024 * 1024;
const cachedMax = 64;

/** Reads the user databases of images, once an image. */
export class AccountsReader {
  readonly #roots: ImageRoots;
  readonly #cache = new Map<string, Promise<Accounts>>();

  constructor(roots: ImageRoots) {
    this.#roots = roots;
  }

  /** /etc/passwd and /etc/group of the image with these unpacked layers. */
  read(snapshotter: string, chainId: string): Promise<Accounts> {
    if (chainId === '') return Promise.resolve({ passwd: '', group: '' });
    const known = this.#cache.get(chainId);
    if (known) return known;
    const reading = this.#read(snapshotter, chainId);
    this.#cache.set(chainId, reading);
    reading.catch(() => this.#cache.delete(chainId));
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= cachedMax) break;
      this.#cache.delete(oldest);
    }
    return reading;
  }

  #read(snapshotter: string, chainId: string): Promise<Accounts> {
    return this.#roots.use(snapshotter, chainId, async (root) => ({
      passwd: (await readInRoot(root, '/etc/passwd')) ?? '',
      group: (await readInRoot(root, '/etc/group')) ?? '',
    }));
  }
}

/**
 * The text of a file inside `root`, links followed as a process with that root would see them: none leads outside.
 * Nothing when it is missing or no regular file. Safe only while nobody changes the folder meanwhile, as with an image.
 */
export async function readInRoot(root: string, path: string): Promise<string | undefined> {
  const place = await resolveInRoot(root, path);
  return place === undefined ? undefined : readRegularFile(place);
}

async function readRegularFile(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    missing,
  );
  if (!file) return undefined;
  try {
    const status = await file.stat();
    if (!status.isFile() || status.size > fileBytesMax) return undefined;
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
