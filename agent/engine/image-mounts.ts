import { mkdir, readdir, rmdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { isNotFound, type ContainerdClient } from './client.ts';
import type { RuntimeMount } from './engine.ts';
import { layersOf, missing, resolveInRoot, withoutCommonFolder } from './image-root.ts';
import type { Labels } from './messages.ts';
import { makeSnapshot } from './snapshots.ts';
import { ignoreMissing } from './task-state.ts';

/** The files of an image, at a path of a container. */
export interface ImageView {
  /** For messages. */
  reference: string;
  /** Snapshot of all its layers. */
  chainId: string;
  target: string;
  /** A folder or file of the image instead of the whole. */
  subpath?: string;
}

const referencePrefix = 'containerd.io/gc.ref.snapshot.';

/**
 * Images as mounts of containers, read-only. Each is a view of the image's snapshot that lives as long as the container: the
 * container's record names it, which keeps the collector away. On the host it is mounted only while the container is made;
 * the container's own mount of it stays.
 */
export class ImageMounts {
  readonly #client: ContainerdClient;
  readonly #directory: string;
  /** How many views the containers have that this process made. */
  readonly #counts = new Map<string, number>();
  #cleared: Promise<void> | undefined;

  /** `directory` is for mounts while containers are made. */
  constructor(client: ContainerdClient, directory: string) {
    this.#client = client;
    this.#directory = directory;
  }

  /** Takes away what a process that was killed has left mounted; once. */
  start(): Promise<void> {
    this.#cleared ??= this.#clear();
    return this.#cleared;
  }

  /** The mounts for the container's specification. They can be used between `mount` and `release`. */
  mounts(id: string, views: readonly ImageView[]): RuntimeMount[] {
    return views.map(({ target, subpath }, index) => ({
      source: join(this.#folder(id, index), subpath === undefined ? 'root' : 'part'),
      target,
      type: 'bind',
      options: ['rbind', 'rprivate', 'ro'],
    }));
  }

  /** Labels of the container's record that keep its views. */
  labels(snapshotter: string, id: string, views: readonly ImageView[]): Labels {
    const entries = views.map((_, index) => [`${referencePrefix}${snapshotter}/${index}`, keyOf(id, index)]);
    return Object.fromEntries(entries) as Labels;
  }

  /** Makes the views and mounts them. Throws `failed_precondition` when an image does not have what is wanted. */
  async mount(snapshotter: string, id: string, views: readonly ImageView[]): Promise<void> {
    this.#counts.set(id, views.length);
    if (views.length === 0) return;
    await this.start();
    for (const [index, view] of views.entries()) {
      const root = join(this.#folder(id, index), 'root');
      await mkdir(root, { recursive: true, mode: 0o700 });
      if (view.chainId === '') continue; // an image without layers has no files
      const request = { snapshotter, key: keyOf(id, index), parent: view.chainId };
      const mounts = await makeSnapshot(this.#client, 'View', request);
      const layers = layersOf(mounts);
      if (layers.length === 1) await runCommand('mount', ['--bind', '-o', 'ro', layers[0]!, root]);
      else {
        const { base, lower } = withoutCommonFolder(layers);
        const options = ['-t', 'overlay', '-o', `ro,lowerdir=${lower}`, 'shoal', root];
        await runCommand('mount', options, { cwd: base });
      }
      await this.#mountPart(root, view);
    }
  }

  /** Takes the mounts of this host away. */
  async release(id: string): Promise<void> {
    const folder = join(this.#directory, id);
    const names = (await readdir(folder).catch(missing)) ?? [];
    for (const name of names) {
      for (const place of ['part', 'root'].map((part) => join(folder, name, part))) {
        await tryCommand('umount', ['--lazy', place]); // nothing is mounted there when a mount failed
        const status = await stat(place).catch(missing);
        if (status) await (status.isDirectory() ? rmdir(place) : rm(place));
      }
      await rmdir(join(folder, name));
    }
    if (names.length > 0) await rmdir(folder);
  }

  /** Removes the views of a container whose record is still there. */
  async remove(snapshotter: string, id: string): Promise<void> {
    const keys = this.#counts.has(id)
      ? Array.from({ length: this.#counts.get(id)! }, (_, index) => keyOf(id, index))
      : await this.#keysOnRecord(id);
    await Promise.all(
      keys.map((key) => ignoreMissing(this.#client.call('Snapshots.Remove', { snapshotter, key }))),
    );
    this.#counts.delete(id);
  }

  async #mountPart(root: string, { subpath, reference }: ImageView): Promise<void> {
    if (subpath === undefined) return;
    const part = join(dirname(root), 'part');
    const found = await resolveInRoot(root, subpath);
    const status = found === undefined ? undefined : await stat(found).catch(missing);
    if (found === undefined || !status) {
      throw new ShoalError(
        'failed_precondition',
        `Cannot mount ${subpath} of the image ${reference}: it has none`,
        {
          next: 'Name a folder or file that is in the image.',
        },
      );
    }
    if (status.isDirectory()) await mkdir(part, { mode: 0o700 });
    else await writeFile(part, '', { mode: 0o600 });
    await runCommand('mount', ['--bind', found, part]);
  }

  async #keysOnRecord(id: string): Promise<string[]> {
    try {
      const { container } = await this.#client.call('Containers.Get', { id });
      const labels = Object.entries(container?.labels ?? {});
      return labels.flatMap(([name, key]) => (name.startsWith(referencePrefix) ? [key] : []));
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  async #clear(): Promise<void> {
    for (const id of (await readdir(this.#directory).catch(missing)) ?? []) await this.release(id);
  }

  #folder(id: string, index: number): string {
    return join(this.#directory, id, String(index));
  }
}

function keyOf(id: string, index: number): string {
  return `${id}-image-${index}`;
}
