import { spawn } from 'node:child_process';
import { openAsBlob } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { systemClock, withDeadline } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Blob, BuiltImage, BuiltIndex } from './image.ts';

export interface RegistryOptions {
  /** @default 127.0.0.1 */
  address?: string;
  /** @default any free one */
  port?: number;
  /** Holds configuration and images; belongs to the caller. */
  directory: string;
}

export interface Registry {
  /** `ADDRESS:PORT`, the first part of an image's name. */
  name: string;
  pid: number;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const startLimitMs = 10_000;
const stopLimitMs = 5_000;

/** Runs Debian's docker-registry without TLS; it ends with this process at the latest. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { address = '127.0.0.1', directory } = options;
  const port = options.port ?? (await freePort(address));
  const config = await writeRegistryConfig({ address, port, directory });
  // setpriv: the kernel ends the registry when this process ends, however it ends
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'docker-registry', 'serve', config], {
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const name = `${address}:${port}`;
  const stop = async () => {
    child.kill('SIGTERM');
    const kill = systemClock.after(stopLimitMs, () => child.kill('SIGKILL'));
    await ended;
    kill();
  };
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  try {
    await Promise.race([registryReady(name), failed]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { name, pid: child.pid!, stop, [Symbol.asyncDispose]: stop };
}

/** Writes the configuration of a registry that keeps its images in `directory`; gives its path. */
export async function writeRegistryConfig(options: {
  address: string;
  port: number;
  directory: string;
}): Promise<string> {
  await mkdir(join(options.directory, 'storage'), { recursive: true });
  const path = join(options.directory, 'config.json');
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(options.directory, 'storage') }, delete: { enabled: true } },
    http: { addr: `${options.address}:${options.port}`, headers: { 'X-Content-Type-Options': ['nosniff'] } },
  };
  await writeFile(path, JSON.stringify(config)); // JSON is YAML, which the registry reads
  return path;
}

/** Resolves when the registry answers; throws `deadline_exceeded` when it does not in time. */
export async function registryReady(name: string): Promise<void> {
  await withDeadline(startLimitMs, `Starting the registry at ${name}`, async (signal) => {
    for (;;) {
      const answer = await fetch(`http://${name}/v2/`, { signal }).catch(() => undefined);
      if (answer?.ok) return;
      await systemClock.sleep(20, signal);
    }
  });
}

/** A TCP port that nothing uses now. */
export async function freePort(address: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, address, () => resolve());
  });
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (bound === null || typeof bound === 'string')
    throw new ShoalError('internal', 'Cannot find a free port');
  return bound.port;
}

/**
 * Pushes an image or an index with its images to `registry` (`ADDRESS:PORT`) as `name` (`library/web:1`; tag `latest` when
 * none is given) by the OCI distribution API. What the repository `from` has is taken from there. Gives the manifest's
 * digest.
 */
export async function pushImage(
  registry: string,
  name: string,
  image: BuiltImage | BuiltIndex,
  from?: string,
): Promise<string> {
  const [repository = name, tag = 'latest'] = name.split(':');
  const base = `http://${registry}/v2/${repository}`;
  if ('images' in image) {
    for (const member of image.images) await pushManifest(base, member, member.manifest.digest, from);
    await putManifest(base, image.manifest, tag);
  } else await pushManifest(base, image, tag, from);
  return image.manifest.digest;
}

async function pushManifest(
  base: string,
  image: BuiltImage,
  reference: string,
  from: string | undefined,
): Promise<void> {
  for (const blob of [...image.layers, image.config]) await pushBlob(base, blob, from);
  await putManifest(base, image.manifest, reference);
}

async function pushBlob(base: string, blob: Blob, from: string | undefined): Promise<void> {
  if ((await fetch(`${base}/blobs/${blob.digest}`, { method: 'HEAD' })).ok) return;
  const mount = from === undefined ? '' : `?mount=${blob.digest}&from=${from}`;
  const opened = await request(`${base}/blobs/uploads/${mount}`, { method: 'POST' }, 201, 202);
  if (opened.status === 201) return; // mounted
  const location = new URL(opened.headers.get('location') ?? '', base);
  location.searchParams.set('digest', blob.digest);
  const headers = { 'content-type': 'application/octet-stream' };
  await request(location.href, { method: 'PUT', headers, body: await openAsBlob(blob.path) }, 201);
}

async function putManifest(base: string, manifest: Blob, reference: string): Promise<void> {
  const body = await readFile(manifest.path);
  const headers = { 'content-type': manifest.mediaType };
  await request(`${base}/manifests/${reference}`, { method: 'PUT', headers, body }, 201);
}

async function request(url: string, init: RequestInit, ...expected: number[]): Promise<Response> {
  const answer = await fetch(url, init);
  if (expected.includes(answer.status)) return answer;
  const said = (await answer.text()).slice(0, 500);
  throw new ShoalError('unavailable', `Cannot push: ${init.method} ${url} gave ${answer.status}: ${said}`);
}
