import { mkdir, readdir, rm, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { Image, RuntimeMount } from '../engine/engine.ts';
import type { Mount } from '../../src/spec/service.ts';
import type { HostCopy } from '../../src/wire/session.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import { systemRandom } from '../../src/util/random.ts';
import { missingHostPath } from '../../src/spec/host-path.ts';
import { optionList } from '../../src/spec/volume-options.ts';
import { systemMounter, type Mounter } from './mount.ts';
import { MountedVolumes } from './mounted.ts';
import { PathProbe } from './probe.ts';
import { packFolder, unpackInto, type Archive } from './archive.ts';
import { hostCopies, noteOf, touch } from './copies.ts';
import { VolumeMoves } from './moves.ts';
import { arrivingMark, NamedCopies, type NamedCopiesOptions } from './named.ts';
import { openBelow, Subpaths } from './subpaths.ts';
import type { Exchange } from './transfer.ts';

/** Puts what the image holds at `path` into `destination` (an empty folder), owner and modes included. */
type CopyImageContent = (image: Image, path: string, destination: string) => Promise<void>;

/** Where the data of containers lives on this host. */
export interface Volumes {
  /**
   * Makes what the mounts need, but for those of images, and gives them as the runtime wants them, with what is taken over
   * from other tasks: the later over the earlier, and the service's own over all. Throws `invalid_argument`,
   * `failed_precondition`.
   */
  prepare(
    taskId: string,
    image: Image,
    mounts: Mount[],
    taken?: TakenMounts[],
    /** Ids of named volumes by their names, as far as they are known: a copy of another one is set aside. */
    ids?: VolumeIds,
  ): Promise<RuntimeMount[]>;
  /** To be called once the container is made, or will not be: lets go of what `prepare` holds on to. */
  release(taskId: string): Promise<void>;
  /** To be called once the task is gone: removes its anonymous volumes, and unmounts what only it used. Named ones are kept. */
  leave(taskId: string): Promise<void>;
  /** Ids of the tasks that have not left. */
  list(): Promise<string[]>;
  /** Removes a named volume with its data, at once for all who look for it. Throws `failed_precondition` while it is mounted for a task. */
  removeNamed(name: string, id?: string): Promise<void>;
  /** What is here of named volumes, those apart that are mounted; or of the one of that name. */
  copies(name?: string): AsyncIterable<HostCopy>;
  /** What is here of the named volume as a tar stream. Throws `not_found`. */
  pack(name: string): Promise<Archive>;
  /**
   * Makes the named volume of the tar stream that is written into what `feed` is given, in place of what is here, all of it or nothing.
   * Throws `failed_precondition` while a task here uses it.
   */
  unpack(which: Which, signal: AbortSignal, feed: (input: Writable) => void): Promise<void>;
  /**
   * Sends what another host's copy does not have as this one's. `still`: throws `failed_precondition` while a task here uses it, and if
   * files change though none does.
   */
  send(which: Required<Which> & { still: boolean }, signal: AbortSignal, exchange: Exchange): Promise<void>;
  /** Takes that into a copy that is arriving, which is kept for the next pass whatever becomes of this one. Throws `no_space`. */
  take(which: Required<Which>, signal: AbortSignal, exchange: Exchange): Promise<void>;
  /** What `settle-volume` says. Throws `not_found`, and `failed_precondition` while a task here uses what is to be replaced. */
  settle(which: Required<Which> & { moveId: string; how: 'arrived' | 'drop' | 'adopt' }): Promise<void>;
}

/** By name; ids of volumes. */
export type VolumeIds = Readonly<Record<string, string>>;

/** A named volume: another one of that name has another id. */
interface Which {
  name: string;
  id?: string;
}

/** The mounts of another task of this host, as `withImageVolumes` gave them for it. */
export interface TakenMounts {
  taskId: string;
  mounts: Mount[];
  /** Whether nothing may be written through them. */
  readOnly: boolean;
}

/** Between a folder's name and a random word, while it is being filled. */
const fillingMark = '.filling-';
/** A copy on its way out may put one more file into what is being removed. */
const removeAttempts = 5;
const nameSyntax = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

/**
 * Named volumes under `STATE/volumes/NAME/data`, or mounted on `mounted` beside it when they have options; anonymous ones
 * under `STATE/anonymous-volumes/TASK/N`.
 * A volume is usable once `volume.json` stands beside its data: a first use that was cut off begins anew. Its first use
 * copies what the image holds at its path, as Docker does.
 */
export function createVolumes(options: {
  stateDirectory: string;
  copyImageContent: CopyImageContent;
  /** @default systemMounter */
  mounter?: Mounter;
  /** For what is said of removals, and when they are tried again. */
  removals?: NamedCopiesOptions;
}): Volumes {
  const named = join(options.stateDirectory, 'volumes');
  const anonymous = join(options.stateDirectory, 'anonymous-volumes');
  const queue = new KeyedQueue();
  const probe = new PathProbe();
  let arrivalsCleared: Promise<void> | undefined;
  const subpaths = new Subpaths(join(options.stateDirectory, 'subpaths'));
  const mounted = new MountedVolumes({
    folders: named,
    users: join(options.stateDirectory, 'volume-users'),
    mounter: options.mounter ?? systemMounter,
    queue,
    probe,
    left: (name) => touch(noteOf(named, name)),
  });
  const create = async (folder: string, image: Image, mount: Mount & { type: 'volume' }) => {
    await rm(folder, { recursive: true, force: true });
    // filled apart: a copy that outlives a killed agent for a moment writes where nobody looks
    const filling = `${folder}${fillingMark}${systemRandom.id()}`;
    await mkdir(filling, { recursive: true, mode: 0o755 });
    if (!mount.noCopy && mount.subpath === undefined)
      await options.copyImageContent(image, mount.target, filling);
    await rename(filling, folder);
  };
  const copies = new NamedCopies(
    named,
    mounted,
    options.removals ?? { clock: systemClock, log: silentLogger },
  );
  if (options.removals) void copies.clearRemoved();
  const moves = new VolumeMoves({ copies, mounted, queue });
  const namedVolume = (
    { name, id }: Which,
    taskId: string,
    image: Image,
    mount: Mount & { type: 'volume' },
  ): Promise<string> =>
    queue.run(name, async () => {
      const data = copies.dataOf(name);
      const isThere = await copies.claim(name, id, taskId);
      await mounted.note(name, taskId);
      if (isThere) {
        await touch(noteOf(named, name));
        return data;
      }
      await removeFillings(join(named, name));
      await create(data, image, mount);
      await copies.write(name, id === undefined ? {} : { id });
      return data;
    });
  const volume = async (taskId: string, index: number, image: Image, wanted: Wanted, ids: VolumeIds) => {
    const { mount, of } = wanted;
    if (mount.source === undefined) {
      const folder = join(anonymous, of?.taskId ?? taskId, String(of?.index ?? index));
      if (of === undefined) await create(folder, image, mount);
      return bind(folder, mount.target, mount.readOnly);
    }
    checkName(mount.source);
    const { driverOptions } = mount;
    // What is taken over was filled by the task whose it is, if at all.
    const isFilled =
      of === undefined &&
      !mount.noCopy &&
      mount.subpath === undefined &&
      !optionList(driverOptions?.o).includes('ro');
    const fill = async (folder: string) => {
      if (isFilled) await options.copyImageContent(image, mount.target, folder);
    };
    const data =
      driverOptions === undefined
        ? await namedVolume(which(mount.source, ids[mount.source]), taskId, image, mount)
        : await mounted.use(mount.source, taskId, driverOptions, fill);
    if (mount.subpath === undefined) return bind(data, mount.target, mount.readOnly);
    const folder = await openBelow(data, mount.subpath, mount.source);
    return bind(await subpaths.hold(taskId, index, folder), mount.target, mount.readOnly);
  };
  return {
    prepare: async (taskId, image, mounts, taken = [], ids = {}) => {
      const wanted = wantedMounts(mounts, image.config.volumes, taken);
      const made = wanted.map(async ({ mount, of }, index) => {
        if (mount.type === 'image') return []; // the engine's part
        if (mount.type === 'volume') return [await volume(taskId, index, image, { mount, of }, ids)];
        return [mount.type === 'bind' ? await hostFolder(mount, probe) : temporary(mount)];
      });
      return (await Promise.all(made)).flat();
    },
    release: (taskId) => subpaths.release(taskId),
    leave: async (taskId) => {
      await rm(join(anonymous, taskId), { recursive: true, force: true });
      await mounted.leave(taskId);
    },
    list: async () => {
      const unnamed = await readdir(anonymous).catch(() => []); // it is made with the first one
      return [...new Set([...unnamed, ...(await mounted.users())])];
    },
    removeNamed: async (name, id) => {
      checkName(name);
      await copies.clearRemoved();
      await queue.run(name, () => copies.remove(name));
      if (id !== undefined) await moves.drop(id);
    },
    copies: (name) => hostCopies(named, name),
    pack: async (name) => {
      checkName(name);
      if ((await copies.read(name)) !== undefined) return packFolder(copies.dataOf(name));
      throw new ShoalError('not_found', `Cannot read volume ${name}: this host has none`);
    },
    unpack: async ({ name, id }, signal, feed) => {
      checkName(name);
      await (arrivalsCleared ??= copies.clearArriving());
      const arriving = join(named, `${arrivingMark}${systemRandom.id()}`);
      await mkdir(arriving, { recursive: true, mode: 0o755 });
      try {
        await unpackArchive(arriving, signal, feed);
        await queue.run(name, () => copies.replace(name, arriving, id === undefined ? {} : { id }));
      } finally {
        await rm(arriving, { recursive: true, force: true });
      }
      await copies.clearRemoved();
    },
    send: (which, signal, exchange) => moves.send(which, signal, exchange),
    take: (which, signal, exchange) => moves.take(which, signal, exchange),
    settle: async (which) => {
      await moves.settle(which);
      await copies.clearRemoved();
    },
  };
}

function which(name: string, id: string | undefined): Which {
  return id === undefined ? { name } : { name, id };
}

async function unpackArchive(
  folder: string,
  signal: AbortSignal,
  feed: (input: Writable) => void,
): Promise<void> {
  const archive = unpackInto(folder);
  signal.addEventListener('abort', archive.kill, { once: true });
  try {
    feed(archive.input!);
    await archive.done;
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener('abort', archive.kill);
    archive.kill();
  }
}

function checkName(name: string): void {
  if (nameSyntax.test(name)) return;
  throw new ShoalError('invalid_argument', `Cannot use ${JSON.stringify(name)} as a volume name`);
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
export function withImageVolumes(mounts: Mount[], imageVolumes: string[]): Mount[] {
  const covered = new Set(mounts.map((mount) => plainPath(mount.target)));
  const extra = imageVolumes
    .filter((target) => !covered.has(plainPath(target)))
    .map((target): Mount => ({ type: 'volume', target, readOnly: false }));
  return [...mounts, ...extra];
}

function plainPath(path: string): string {
  return path.replace(/(?<=.)\/+$/, '');
}

/** A mount, and whose it is if not the task's own: an anonymous volume is found by its task and its place in the list. */
interface Wanted<Kind extends Mount = Mount & { type: 'volume' }> {
  mount: Kind;
  of: { taskId: string; index: number } | undefined;
}

/** Those of the paths at which the image wants a volume that neither the mounts nor what is taken over cover. */
export function ownImageVolumes(mounts: Mount[], imageVolumes: string[], taken: TakenMounts[]): string[] {
  const covered = new Set(
    [...mounts, ...taken.flatMap(({ mounts: theirs }) => theirs.filter(isTaken))].map((mount) =>
      plainPath(mount.target),
    ),
  );
  return imageVolumes.filter((target) => !covered.has(plainPath(target)));
}

/** What lies in a task's memory only is not to be had by others, and each mounts images itself. */
function isTaken(mount: Mount): mount is Mount & { type: 'volume' | 'bind' } {
  return mount.type === 'volume' || mount.type === 'bind';
}

/** The task's own come first, in the order of `withImageVolumes`. */
function wantedMounts(mounts: Mount[], imageVolumes: string[], taken: TakenMounts[]): Wanted<Mount>[] {
  const covered = new Set(mounts.map((mount) => plainPath(mount.target)));
  const byPath = new Map<string, Wanted<Mount>>();
  for (const { taskId, mounts: theirs, readOnly } of taken) {
    for (const [index, mount] of theirs.entries()) {
      const path = plainPath(mount.target);
      if (!isTaken(mount) || covered.has(path)) continue;
      const of = { taskId, index };
      byPath.set(path, { mount: { ...mount, readOnly: mount.readOnly || readOnly }, of });
    }
  }
  const own = withImageVolumes(mounts, ownImageVolumes(mounts, imageVolumes, taken));
  return [...own.map((mount) => ({ mount, of: undefined })), ...byPath.values()];
}

async function hostFolder(mount: Mount & { type: 'bind' }, probe: PathProbe): Promise<RuntimeMount> {
  if (!(await probe.exists(mount.source))) {
    if (!mount.createHostPath) {
      throw new ShoalError('failed_precondition', missingHostPath(mount.source), {
        next: 'Make it, or ask for a folder with create_host_path: true in the long form.',
      });
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
