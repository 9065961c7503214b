import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { noteOf } from './copies.ts';
import type { MountedVolumes } from './mounted.ts';

/** Begins the name of a volume that is on its way out: no volume is called so. */
const removingMark = '.removing-';
/** Begins the name of what a volume is being made of. */
export const arrivingMark = '.arriving-';
/** So often data that is on its way out is tried to be removed, after 1 s first and then after twice as long each time. */
const discardAttempts = 5;
const discardRetryMs = 1_000;
/** Holds copies of volumes that are gone, whose names others have now: `NAME/ID`. */
export const formerFolder = '.former';

/** What stands beside the data of a named volume, and makes it usable. */
export interface VolumeNote {
  /** Whose data it is; absent where that was not told. */
  id?: string;
  /** The move that it came by. */
  moveId?: string;
}

export interface NamedCopiesOptions {
  clock: Clock;
  log: Logger;
  /** Removes a folder with what is in it. @default `rm` of the platform */
  discard?: (folder: string) => Promise<void>;
}

/** The copies of named volumes that this host has, each with a note beside its data. To be used in the volume's turn. */
export class NamedCopies {
  readonly folders: string;
  readonly #mounted: MountedVolumes;
  readonly #options: NamedCopiesOptions;
  /** What is being removed just now, by its folder. */
  readonly #discarding = new Map<string, Promise<void>>();

  constructor(folders: string, mounted: MountedVolumes, options: NamedCopiesOptions) {
    this.folders = folders;
    this.#mounted = mounted;
    this.#options = options;
  }

  dataOf(name: string): string {
    return join(this.folders, name, 'data');
  }

  /** Undefined when there is none that is usable. */
  async read(name: string): Promise<VolumeNote | undefined> {
    const text = await readFile(noteOf(this.folders, name), 'utf8').catch(missing);
    if (text === undefined) return undefined;
    try {
      const { id, moveId } = JSON.parse(text) as VolumeNote;
      return { ...(id === undefined ? {} : { id }), ...(moveId === undefined ? {} : { moveId }) };
    } catch {
      return {}; // it is there, and that is what counts
    }
  }

  /** From here on the volume is usable. */
  async write(name: string, note: VolumeNote): Promise<void> {
    const path = noteOf(this.folders, name);
    await writeFile(`${path}.new`, `${JSON.stringify({ name, ...note })}\n`, { flush: true });
    await rename(`${path}.new`, path);
  }

  /**
   * Whether there is a copy of the volume for a task. One of a volume that was called so before is set aside; one of which it was not told is
   * taken for the volume's from now on. Throws `failed_precondition` while another task has the former one.
   */
  async claim(name: string, id: string | undefined, taskId: string): Promise<boolean> {
    const note = await this.read(name);
    if (note === undefined || id === undefined || note.id === id) return note !== undefined;
    if (note.id === undefined) {
      await this.write(name, { ...note, id });
      return true;
    }
    if (await this.#mounted.isUsed(name, taskId)) throw inUse(name, 'replace');
    const former = join(this.folders, formerFolder, name, note.id);
    await mkdir(dirname(former), { recursive: true, mode: 0o700 });
    await rm(former, { recursive: true, force: true });
    await rename(join(this.folders, name), former);
    return false;
  }

  /** Puts a folder in the place of what is here. Throws `failed_precondition` while a task uses that. */
  async replace(name: string, arriving: string, note: VolumeNote): Promise<void> {
    if (await this.#mounted.isUsed(name)) throw inUse(name, 'replace');
    await mkdir(join(this.folders, name), { recursive: true, mode: 0o755 });
    // The old data is whole until the new is in its place; cut off in between, tasks fail and do not begin empty.
    await rename(this.dataOf(name), this.#doomed()).catch(missing);
    await rename(arriving, this.dataOf(name));
    await this.write(name, note);
    await syncNames(join(this.folders, name));
    await syncNames(this.folders);
  }

  /** Removes what is here of it, and of volumes that were called so before. Throws `failed_precondition` while a task uses it. */
  async remove(name: string): Promise<void> {
    if (await this.#mounted.isUsed(name)) throw inUse(name, 'remove');
    await this.#mounted.unmount(name);
    for (const folder of [join(this.folders, name), join(this.folders, formerFolder, name)]) {
      const doomed = this.#doomed();
      const isThere = await rename(folder, doomed).then(() => true, missing);
      if (isThere) void this.#discard(doomed);
    }
  }

  /**
   * Removes what is on its way out. Much data takes long; what cannot be removed is told and tried again for a while, and after that
   * with each removal and each start of the agent. Never throws.
   */
  async #discard(doomed: string, attempt = 1): Promise<void> {
    const { clock, log, discard = removeTree } = this.#options;
    const removing = this.#discarding.get(doomed) ?? discard(doomed);
    this.#discarding.set(doomed, removing);
    try {
      await removing;
    } catch (error) {
      const isLast = attempt === discardAttempts;
      log.warn('data of a removed volume is still on the disk', {
        folder: doomed,
        error: messageOf(error),
        next: isLast ? 'the next `volume rm` tries again' : 'it is tried again',
      });
      if (!isLast)
        clock.after(discardRetryMs * 2 ** (attempt - 1), () => void this.#discard(doomed, attempt + 1));
    } finally {
      this.#discarding.delete(doomed);
    }
  }

  /** Removes what is left of volumes that were removed. Never throws for what it cannot remove: that is told. */
  async clearRemoved(): Promise<void> {
    const folders = await this.#marked(removingMark).catch((error: unknown) => {
      this.#options.log.warn('what is left of removed volumes cannot be listed', { error: messageOf(error) });
      return [];
    });
    await Promise.all(folders.map((folder) => this.#discard(folder, discardAttempts)));
  }

  #doomed(): string {
    return join(this.folders, `${removingMark}${systemRandom.id()}`);
  }

  /** Removes what was cut off on its way in. */
  async clearArriving(): Promise<void> {
    for (const folder of await this.#marked(arrivingMark)) await removeTree(folder);
  }

  async #marked(mark: string): Promise<string[]> {
    const names = (await readdir(this.folders).catch(missing)) ?? [];
    return names.filter((name) => name.startsWith(mark)).map((name) => join(this.folders, name));
  }
}

function removeTree(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

/** Has the names in the folder on the disk. */
async function syncNames(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function inUse(name: string, what: 'remove' | 'replace'): ShoalError {
  return new ShoalError('failed_precondition', `Cannot ${what} volume ${name}: a task here still uses it`);
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
