import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdir, readlink } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { withDeadline } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { ContainerdClient } from './client.ts';
import type { Leases } from './leases.ts';
import type { Mount } from './messages.ts';
import { makeSnapshot } from './snapshots.ts';

const linksMax = 40;
const mountTimeoutMs = 10_000;

/** Shows the files of images to code of this process, read-only and not mounted anywhere that the machine sees. */
export class ImageRoots {
  readonly #client: ContainerdClient;
  readonly #mountPoint: string;
  readonly #leases: Leases;

  /** `mountPoint` is an empty folder; nothing is ever mounted there as the rest of the machine sees it. */
  constructor(client: ContainerdClient, mountPoint: string, leases: Leases) {
    this.#client = client;
    this.#mountPoint = mountPoint;
    this.#leases = leases;
  }

  /** Calls `work` with a folder that shows the image with these unpacked layers; gone when it returns. */
  async use<T>(snapshotter: string, chainId: string, work: (root: string) => Promise<T>): Promise<T> {
    // the view goes with its lease
    return await this.#leases.use(async (key) => {
      const view = { snapshotter, key, parent: chainId };
      const mounts = await makeSnapshot(this.#client, 'View', view, { lease: key });
      return await withRoot(mounts, this.#mountPoint, work);
    });
  }
}

/**
 * Calls `work` with a folder that shows what these read-only mounts show. Several layers are mounted in a mount namespace
 * of a helper process and seen through /proc, so that nothing stays mounted however this process ends.
 */
async function withRoot<T>(
  mounts: Mount[],
  mountPoint: string,
  work: (root: string) => Promise<T>,
): Promise<T> {
  const layers = layersOf(mounts);
  if (layers.length === 1) return work(layers[0]!);
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  return withOverlay(layers, mountPoint, work);
}

async function withOverlay<T>(
  layers: string[],
  mountPoint: string,
  work: (root: string) => Promise<T>,
): Promise<T> {
  const { base, lower } = withoutCommonFolder(layers);
  const script = 'cd "$1" && mount -t overlay -o "ro,lowerdir=$2" shoal "$3" && echo ready && read -r _';
  const argv = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', base, lower, mountPoint];
  const helper = spawn('unshare', argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(helper, 'close');
  ended.catch(() => undefined); // it is awaited below, and its error reported there
  try {
    const said: Buffer[] = [];
    helper.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    const ready = await withDeadline(mountTimeoutMs, 'Reading the image', () =>
      Promise.race([once(helper.stdout, 'data').then(() => true), ended.then(() => false)]),
    );
    if (!ready) {
      throw new ShoalError(
        'engine_failed',
        `Cannot read the image: ${Buffer.concat(said).toString().trim()}`,
      );
    }
    return await work(`/proc/${helper.pid}/root${mountPoint}`);
  } finally {
    helper.kill('SIGKILL');
    await ended;
  }
}

/** The folders that a read-only snapshot is made of, uppermost first. Throws `engine_failed` for what is none. */
export function layersOf(mounts: Mount[]): string[] {
  const [only] = mounts;
  if (!only || mounts.length > 1) {
    throw new ShoalError('engine_failed', 'Cannot read the image: its snapshot has no single mount');
  }
  if (only.type === 'bind') return [only.source];
  const option = only.options.find((candidate) => candidate.startsWith('lowerdir='));
  const layers = option?.slice('lowerdir='.length).split(':') ?? [];
  if (only.type !== 'overlay' || layers.length === 0) {
    throw new ShoalError('engine_failed', `Cannot read the image: its snapshot is mounted as ${only.type}`);
  }
  return layers;
}

/** Relative paths keep many layers within the one page that mount(2) takes. `base` is what they are relative to. */
export function withoutCommonFolder(layers: string[]): { base: string; lower: string } {
  const base = commonFolder(layers);
  return { base, lower: layers.map((layer) => relative(base, layer)).join(':') };
}

function commonFolder(paths: string[]): string {
  let base = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(base === sep ? sep : base + sep))) base = dirname(base);
  return base;
}

/**
 * Where `path` is inside `root`, links followed as a process with that root would see them: none leads outside.
 * Nothing when there is no such thing. Holds only while nobody changes the folder, as with an image.
 */
export async function resolveInRoot(root: string, path: string): Promise<string | undefined> {
  let todo = path.split('/').filter((part) => part !== '');
  let resolved: string[] = [];
  for (let links = 0; todo.length > 0;) {
    const part = todo.shift()!;
    if (part === '.' || part === '..') {
      if (part === '..') resolved.pop();
      continue;
    }
    const status = await lstat(join(root, ...resolved, part)).catch(missing);
    if (!status) return undefined;
    if (!status.isSymbolicLink()) {
      resolved.push(part);
      continue;
    }
    links++;
    if (links > linksMax) return undefined;
    const target = await readlink(join(root, ...resolved, part));
    if (target.startsWith('/')) resolved = [];
    todo = [...target.split('/').filter((piece) => piece !== ''), ...todo];
  }
  return join(root, ...resolved);
}

/** For `catch`: nothing when the error says that there is no such file. */
export function missing(error: NodeJS.ErrnoException): undefined {
  if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(error.code ?? '')) return undefined;
  throw error;
}
