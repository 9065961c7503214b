import { constants } from 'node:fs';
import { mkdir, open, readdir, rmdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';

const openFolder = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * The folder `path` below `data`, open. Containers that use the volume may change it at any time, so no link is followed,
 * and what was found is used by its descriptor and not by a name that may mean something else by then.
 */
export async function openBelow(data: string, path: string, volume: string): Promise<FileHandle> {
  let folder = await open(data, openFolder);
  for (const part of path.split('/').filter((name) => name !== '' && name !== '.')) {
    try {
      if (part === '..') throw new Error('it leads upwards');
      const next = await open(`/proc/self/fd/${folder.fd}/${part}`, openFolder);
      await folder.close();
      folder = next;
    } catch (cause) {
      await folder.close();
      throw new ShoalError(
        'failed_precondition',
        `Cannot mount ${path} of the volume ${volume}: it is no folder there`,
        {
          next: 'Make the folder first, for instance by a service that uses the whole volume.',
          details: messageOf(cause),
        },
      );
    }
  }
  return folder;
}

/**
 * Shows open folders under names of our own until the container that mounts them is made: the runtime takes names only,
 * and a name within the volume could be made to lead anywhere meanwhile.
 */
export class Subpaths {
  readonly #directory: string;
  #cleared: Promise<void> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Mounts the folder, closes it, and gives the name under which it is seen until `release`. */
  async hold(taskId: string, index: number, folder: FileHandle): Promise<string> {
    try {
      this.#cleared ??= this.#clear();
      await this.#cleared;
      const place = join(this.#directory, taskId, String(index));
      await mkdir(place, { recursive: true, mode: 0o700 });
      const source = `/proc/${process.pid}/fd/${folder.fd}`;
      await runCommand('mount', ['--no-canonicalize', '--bind', source, place]);
      return place;
    } finally {
      await folder.close();
    }
  }

  /** Takes away what the task held; the mounts of its container stay. */
  async release(taskId: string): Promise<void> {
    const folder = join(this.#directory, taskId);
    const names = await readdir(folder).catch(missing);
    if (names === undefined) return;
    for (const name of names) {
      const place = join(folder, name);
      await tryCommand('umount', ['--lazy', place]); // nothing is mounted there when the mount failed
      await rmdir(place);
    }
    await rmdir(folder);
  }

  /** What a process that was killed has left. */
  async #clear(): Promise<void> {
    for (const taskId of (await readdir(this.#directory).catch(missing)) ?? []) await this.release(taskId);
  }
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
