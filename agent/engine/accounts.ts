import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readlink } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { withDeadline, type Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { ContainerdClient } from './client.ts';
import type { Mount } from './messages.ts';
import type { Accounts } from './user.ts';

/** Files larger than this are not user databases. */
const fileBytesMax = 4 * 1024 * 1024;
const linksMax = 40;
const mountTimeoutMs = 10_000;
const leaseLifetimeMs = 10 * 60 * 1000;
const cachedMax = 64;

/** Reads the user databases of images, once an image. */
export class AccountsReader {
  readonly #client: ContainerdClient;
  readonly #mountPoint: string;
  readonly #clock: Clock;
  readonly #cache = new Map<string, Promise<Accounts>>();

  /** `mountPoint` is an empty folder; nothing is ever mounted there as the rest of the machine sees it. */
  constructor(client: ContainerdClient, mountPoint: string, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
    this.#mountPoint = mountPoint;
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

  async #read(snapshotter: string, chainId: string): Promise<Accounts> {
    const key = `shoal-accounts-${systemRandom.id()}`;
    const expire = new Date(this.#clock.now() + leaseLifetimeMs).toISOString();
    await this.#client.call('Leases.Create', { id: key, labels: { 'containerd.io/gc.expire': expire } });
    try {
      const view = { snapshotter, key, parent: chainId };
      const { mounts } = await this.#client.call('Snapshots.View', view, { lease: key });
      return await withRoot(mounts, this.#mountPoint, async (root) => ({
        passwd: (await readInRoot(root, '/etc/passwd')) ?? '',
        group: (await readInRoot(root, '/etc/group')) ?? '',
      }));
    } finally {
      // the view goes with its lease
      await this.#client.call('Leases.Delete', { id: key });
    }
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
  const [only] = mounts;
  if (!only || mounts.length > 1) {
    throw new ShoalError('engine_failed', 'Cannot read the image: its snapshot has no single mount');
  }
  if (only.type === 'bind') return work(only.source);
  const option = only.options.find((candidate) => candidate.startsWith('lowerdir='));
  const layers = option?.slice('lowerdir='.length).split(':') ?? [];
  if (only.type !== 'overlay' || layers.length === 0) {
    throw new ShoalError('engine_failed', `Cannot read the image: its snapshot is mounted as ${only.type}`);
  }
  if (layers.length === 1) return work(layers[0]!);
  await mkdir(mountPoint, { recursive: true, mode: 0o700 });
  return withOverlay(layers, mountPoint, work);
}

async function withOverlay<T>(
  layers: string[],
  mountPoint: string,
  work: (root: string) => Promise<T>,
): Promise<T> {
  // relative paths keep many layers within the one page that mount(2) takes
  const base = commonFolder(layers);
  const lower = layers.map((layer) => relative(base, layer)).join(':');
  const script = 'cd "$1" && mount -t overlay -o "ro,lowerdir=$2" shoal "$3" && echo ready && read -r _';
  const argv = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', base, lower, mountPoint];
  const helper = spawn('unshare', argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(helper, 'close');
  ended.catch(() => undefined); // it is awaited below, and its error reported there
  try {
    return await withDeadline(mountTimeoutMs, 'Reading the image', async () => {
      const said: Buffer[] = [];
      helper.stderr.on('data', (chunk: Buffer) => said.push(chunk));
      const ready = await Promise.race([
        once(helper.stdout, 'data').then(() => true),
        ended.then(() => false),
      ]);
      if (!ready) {
        throw new ShoalError(
          'engine_failed',
          `Cannot read the image: ${Buffer.concat(said).toString().trim()}`,
        );
      }
      return work(`/proc/${helper.pid}/root${mountPoint}`);
    });
  } finally {
    helper.kill('SIGKILL');
    await ended;
  }
}

function commonFolder(paths: string[]): string {
  let base = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(base === sep ? sep : base + sep))) base = dirname(base);
  return base;
}

/**
 * The text of a file inside `root`, links followed as a process with that root would see them: none leads outside.
 * Nothing when it is missing or no regular file. Safe only while nobody changes the folder meanwhile, as with an image.
 */
export async function readInRoot(root: string, path: string): Promise<string | undefined> {
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
  return readRegularFile(join(root, ...resolved));
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

function missing(error: NodeJS.ErrnoException): undefined {
  if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(error.code ?? '')) return undefined;
  throw error;
}
