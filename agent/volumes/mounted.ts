import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumeDriverOptions } from '../../src/spec/resource.ts';
import type { KeyedQueue } from '../../src/util/queue.ts';
import type { Mounter } from './mount.ts';
import type { PathProbe } from './probe.ts';

/**
 * Volumes that tasks of this host use, and those that are mounted meanwhile. Who uses one is noted in files under `users`, from before
 * it is mounted until after the task is gone, so that an agent that was killed goes on where it was.
 */
export class MountedVolumes {
  readonly #folders: string;
  readonly #users: string;
  readonly #mounter: Mounter;
  readonly #queue: KeyedQueue;
  readonly #probe: PathProbe;
  /** Those that this process mounted. */
  readonly #own = new Set<string>();

  readonly #left: (name: string) => Promise<void>;

  /** `folders` holds a folder for each volume. `left` is called when the last task has left one. Work on one volume takes turns in `queue` under its name. */
  constructor(options: {
    folders: string;
    users: string;
    mounter: Mounter;
    queue: KeyedQueue;
    probe: PathProbe;
    left: (name: string) => Promise<void>;
  }) {
    this.#left = options.left;
    this.#folders = options.folders;
    this.#users = options.users;
    this.#mounter = options.mounter;
    this.#queue = options.queue;
    this.#probe = options.probe;
  }

  /**
   * Mounts the volume for the task unless it is mounted already, has `fill` put into it what it shall begin with when
   * it is empty, and gives the folder. Throws `failed_precondition` when it cannot be mounted.
   */
  async use(
    name: string,
    taskId: string,
    options: VolumeDriverOptions,
    fill: (folder: string) => Promise<void>,
  ): Promise<string> {
    return await this.#queue.run(name, async () => {
      const folder = this.#folderOf(name);
      const others = (await this.#usersOf(name)).filter((id) => id !== taskId);
      await this.note(name, taskId);
      let isMounted = await this.#mounter.isMounted(folder);
      if (isMounted && others.length === 0 && !this.#own.has(name)) {
        // What a process that was killed has left may be mounted with options of that time.
        await this.#mounter.unmount(folder);
        isMounted = false;
      }
      if (!isMounted) {
        await mkdir(folder, { recursive: true, mode: 0o755 });
        await this.#mounter.mount(name, options, folder);
        this.#own.add(name);
      }
      await this.#probe.exists(folder); // a server that is away by now must not hold up all that comes after
      await this.#fill(name, folder, fill);
      return folder;
    });
  }

  /** Notes that the task uses the volume, mounted or not. To be called in the volume's turn. */
  async note(name: string, taskId: string): Promise<void> {
    await mkdir(join(this.#users, name), { recursive: true, mode: 0o700 });
    await writeFile(join(this.#users, name, taskId), '');
  }

  /** Unmounts what the task was the last one to use. */
  async leave(taskId: string): Promise<void> {
    for (const name of await list(this.#users)) {
      await this.#queue.run(name, async () => {
        const users = await this.#usersOf(name);
        if (!users.includes(taskId)) return;
        const rest = users.filter((id) => id !== taskId);
        if (rest.length === 0) await this.unmount(name);
        await rm(join(this.#users, name, taskId), { force: true });
        if (rest.length > 0) return;
        await rmdir(join(this.#users, name));
        await this.#left(name);
      });
    }
  }

  /** Ids of the tasks that use something. */
  async users(): Promise<string[]> {
    const names = await list(this.#users);
    return [...new Set((await Promise.all(names.map((name) => this.#usersOf(name)))).flat())];
  }

  /** Whether a task, or one other than that, uses the volume. */
  async isUsed(name: string, otherThan?: string): Promise<boolean> {
    return (await this.#usersOf(name)).some((id) => id !== otherThan);
  }

  /** Ids of the tasks that use the volume. */
  async #usersOf(name: string): Promise<string[]> {
    return await list(join(this.#users, name));
  }

  /** To be called in the volume's turn. Does nothing when it is not mounted. */
  async unmount(name: string): Promise<void> {
    const folder = this.#folderOf(name);
    if (await this.#mounter.isMounted(folder)) await this.#mounter.unmount(folder);
    this.#own.delete(name);
    // Never more than the empty folder: what was mounted on it is somebody else's.
    await rmdir(folder).catch(missing);
  }

  /** A filling that was cut off is done again, over what it left. */
  async #fill(name: string, folder: string, fill: (folder: string) => Promise<void>): Promise<void> {
    const note = join(this.#folders, name, 'filling');
    const isCutOff = (await list(join(this.#folders, name))).includes('filling');
    if (!isCutOff && (await readdir(folder)).length > 0) return;
    await writeFile(note, '');
    await fill(folder);
    await rm(note, { force: true });
  }

  #folderOf(name: string): string {
    return join(this.#folders, name, 'mounted');
  }
}

/** The names in a folder that may not be there. */
async function list(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(missing)) ?? [];
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
