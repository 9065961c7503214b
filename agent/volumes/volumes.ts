import { mkdir, readdir, rm, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image, RuntimeMount } from '../engine/engine.ts';
import type { Mount } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import { systemRandom } from '../../src/util/random.ts';
import { openBelow, Subpaths } from './subpaths.ts';

/** Puts what the image holds at `path` into `destination` (an empty folder), owner and modes included. */
type CopyImageContent = (image: Image, path: string, destination: string) => Promise<void>;

/** Where the data of containers lives on this host. */
export interface Volumes {
  /** Makes what the mounts need and gives them as the runtime wants them. Throws `invalid_argument`, `failed_precondition`. */
  prepare(taskId: string, image: Image, mounts: Mount[]): Promise<RuntimeMount[]>;
  /** To be called once the container is made, or will not be: lets go of what `prepare` holds on to. */
  release(taskId: string): Promise<void>;
  /** Removes the task's anonymous volumes. Named ones are kept. */
  removeAnonymous(taskId: string): Promise<void>;
  /** Ids of the tasks that have anonymous volumes here. */
  listAnonymous(): Promise<string[]>;
}

/** Between a folder's name and a random word, while it is being filled. */
const fillingMark = '.filling-';
/** A copy on its way out may put one more file into what is being removed. */
const removeAttempts = 5;
const nameSyntax = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

/**
 * Named volumes under `STATE/volumes/NAME/data`, anonymous ones under `STATE/anonymous-volumes/TASK/N`.
 * A volume is usable once `volume.json` stands beside its data: a first use that was cut off begins anew. Its first use
 * copies what the image holds at its path, as Docker does.
 */
export function createVolumes(options: {
  stateDirectory: string;
  copyImageContent: CopyImageContent;
}): Volumes {
  const named = join(options.stateDirectory, 'volumes');
  const anonymous = join(options.stateDirectory, 'anonymous-volumes');
  const queue = new KeyedQueue();
  const subpaths = new Subpaths(join(options.stateDirectory, 'subpaths'));
  const create = async (folder: string, image: Image, mount: Mount & { type: 'volume' }) => {
    await rm(folder, { recursive: true, force: true });
    // filled apart: a copy that outlives a killed agent for a moment writes where nobody looks
    const filling = `${folder}${fillingMark}${systemRandom.id()}`;
    await mkdir(filling, { recursive: true, mode: 0o755 });
    if (!mount.noCopy && mount.subpath === undefined)
      await options.copyImageContent(image, mount.target, filling);
    await rename(filling, folder);
  };
  const namedVolume = (name: string, image: Image, mount: Mount & { type: 'volume' }) =>
    queue.run(name, async () => {
      const folder = join(named, name);
      const data = join(folder, 'data');
      const note = join(folder, 'volume.json');
      if (await exists(note)) return data;
      await removeFillings(folder);
      await create(data, image, mount);
      await writeFile(`${note}.new`, `${JSON.stringify({ name })}\n`, { flush: true });
      await rename(`${note}.new`, note);
      return data;
    });
  const volume = async (taskId: string, index: number, image: Image, mount: Mount & { type: 'volume' }) => {
    if (mount.source === undefined) {
      const folder = join(anonymous, taskId, String(index));
      await create(folder, image, mount);
      return bind(folder, mount.target, mount.readOnly);
    }
    if (!nameSyntax.test(mount.source)) {
      throw new ShoalError('invalid_argument', `Cannot use ${JSON.stringify(mount.source)} as a volume name`);
    }
    const data = await namedVolume(mount.source, image, mount);
    if (mount.subpath === undefined) return bind(data, mount.target, mount.readOnly);
    const folder = await openBelow(data, mount.subpath, mount.source);
    return bind(await subpaths.hold(taskId, index, folder), mount.target, mount.readOnly);
  };
  return {
    prepare: (taskId, image, mounts) =>
      Promise.all(
        withImageVolumes(mounts, image).map(async (mount, index) => {
          if (mount.type === 'volume') return await volume(taskId, index, image, mount);
          return mount.type === 'bind' ? await hostFolder(mount) : temporary(mount);
        }),
      ),
    release: (taskId) => subpaths.release(taskId),
    removeAnonymous: (taskId) => rm(join(anonymous, taskId), { recursive: true, force: true }),
    listAnonymous: () => readdir(anonymous).catch(() => []), // it is made with the first one
  };
}

/** What first uses that were cut off have left. */
async function removeFillings(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []); // it is made with the first use
  for (const name of names) {
    if (!name.includes(fillingMark)) continue;
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: removeAttempts });
  }
}

/** The service's mounts, and an anonymous volume for each path that the image wants one at and no mount covers. */
export function withImageVolumes(mounts: Mount[], image: Image): Mount[] {
  const taken = new Set(mounts.map((mount) => mount.target.replace(/(?<=.)\/+$/, '')));
  const extra = image.config.volumes
    .filter((target) => !taken.has(target.replace(/(?<=.)\/+$/, '')))
    .map((target): Mount => ({ type: 'volume', target, readOnly: false }));
  return [...mounts, ...extra];
}

async function hostFolder(mount: Mount & { type: 'bind' }): Promise<RuntimeMount> {
  if (!(await exists(mount.source))) {
    if (!mount.createHostPath) {
      throw new ShoalError(
        'failed_precondition',
        `Cannot mount ${mount.source}: it does not exist on this host`,
        {
          next: 'Make it, or set create_host_path.',
        },
      );
    }
    await mkdir(mount.source, { recursive: true, mode: 0o755 });
  }
  const { source, target, readOnly, propagation = 'rprivate', notRecursive } = mount;
  const options = [notRecursive ? 'bind' : 'rbind', propagation, readOnly ? 'ro' : 'rw'];
  return { type: 'bind', source, target, options };
}

function temporary(mount: Mount & { type: 'tmpfs' }): RuntimeMount {
  const own = mount.options ?? [];
  const defaults = ['nosuid', 'nodev', 'noexec'].filter((name) => !own.includes(name.slice(2)));
  const options = new Set([...defaults, ...own, `mode=${(mount.mode ?? 0o1777).toString(8)}`]);
  if (mount.sizeBytes !== undefined) options.add(`size=${mount.sizeBytes}`);
  return { type: 'tmpfs', source: 'tmpfs', target: mount.target, options: [...options] };
}

function bind(source: string, target: string, readOnly: boolean): RuntimeMount {
  return { type: 'bind', source, target, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
