import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  mkdtemp,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { runCommand } from '../../src/util/command.ts';

/**
 * Container images made on this machine, without a registry or a builder: every layer is a tar file of given files, and
 * config and manifest are written by hand (OCI image specification 1.0, Docker image manifest version 2 schema 2).
 */

/** One entry of a layer. */
export type ImageFile =
  | { content: string | Uint8Array; mode?: number; owner?: number }
  /** A regular file of this machine; symbolic links are followed. */
  | { source: string; mode?: number; owner?: number }
  | { link: string }
  | { directory: true; mode?: number; owner?: number };

export interface ImageHealthcheck {
  test: string[];
  intervalMs?: number;
  timeoutMs?: number;
  startPeriodMs?: number;
  retries?: number;
}

export interface ImageOptions {
  /** Where blobs are kept; belongs to the caller. */
  directory: string;
  /** An image whose layers come first and whose settings hold where none are given here. */
  from?: BuiltImage;
  /** Layers that are made already; they come after those of `from`, lowest first, and below `files`. */
  layers?: Layer[];
  /** Absolute path in the image to its content: one layer. Several layers: an array, lowest first. */
  files?: Record<string, ImageFile> | Record<string, ImageFile>[];
  entrypoint?: string[];
  command?: string[];
  environment?: Record<string, string>;
  workingDirectory?: string;
  user?: string;
  exposedPorts?: string[];
  volumes?: string[];
  stopSignal?: string;
  labels?: Record<string, string>;
  healthcheck?: ImageHealthcheck;
  /** @default none */
  compression?: 'none' | 'gzip';
  /** @default oci */
  format?: 'oci' | 'docker';
  /** @default this machine's, in Go's words */
  architecture?: string;
}

/** A blob on disk, as a descriptor of the image specification names it. */
export interface Blob {
  mediaType: string;
  digest: string;
  size: number;
  path: string;
}

/** A layer on disk with the digest of its uncompressed tar file. */
export interface Layer {
  blob: Blob;
  diffId: string;
}

export interface BuiltImage {
  architecture: string;
  manifest: Blob;
  config: Blob;
  layers: Blob[];
  /** Digests of the uncompressed layers. */
  diffIds: string[];
  settings: Omit<ImageOptions, 'directory' | 'from' | 'layers' | 'files'>;
}

/** Several images of one name, one a platform. */
export interface BuiltIndex {
  manifest: Blob;
  images: BuiltImage[];
}

const mediaTypes = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    none: 'application/vnd.oci.image.layer.v1.tar',
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    none: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

const goArchitectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
/** This machine's architecture in Go's words, as images name it. */
export const hostArchitecture = goArchitectures[process.arch] ?? process.arch;

/** Makes an image. The same files and settings give the same digests. */
export async function buildImage(options: ImageOptions): Promise<BuiltImage> {
  const { directory, from, layers: readyLayers = [], files = {}, ...given } = options;
  const settings = { ...from?.settings, ...given };
  const { architecture = hostArchitecture, format = 'oci', compression = 'none' } = settings;
  await mkdir(directory, { recursive: true });
  const layers = [...(from?.layers ?? []), ...readyLayers.map(({ blob }) => blob)];
  const diffIds = [...(from?.diffIds ?? []), ...readyLayers.map(({ diffId }) => diffId)];
  for (const layerFiles of Array.isArray(files) ? files : [files]) {
    if (Object.keys(layerFiles).length === 0) continue;
    const layer = await buildLayer(directory, layerFiles, { compression, format });
    layers.push(layer.blob);
    diffIds.push(layer.diffId);
  }
  const config = await writeBlob(
    directory,
    mediaTypes[format].config,
    imageConfig(settings, architecture, diffIds),
  );
  const manifest = await writeBlob(directory, mediaTypes[format].manifest, {
    schemaVersion: 2,
    mediaType: mediaTypes[format].manifest,
    config: descriptor(config),
    layers: layers.map(descriptor),
  });
  return { architecture, manifest, config, layers, diffIds, settings };
}

/** Makes an index (Docker: a manifest list) of images for several platforms. */
export async function buildIndex(
  directory: string,
  images: BuiltImage[],
  format: 'oci' | 'docker' = 'oci',
): Promise<BuiltIndex> {
  const manifest = await writeBlob(directory, mediaTypes[format].index, {
    schemaVersion: 2,
    mediaType: mediaTypes[format].index,
    manifests: images.map((image) => ({
      ...descriptor(image.manifest),
      platform: { os: 'linux', architecture: image.architecture },
    })),
  });
  return { manifest, images };
}

function imageConfig(settings: BuiltImage['settings'], architecture: string, diffIds: string[]): unknown {
  const { environment = {}, healthcheck, exposedPorts = [], volumes = [] } = settings;
  const empty = (keys: string[]) =>
    keys.length > 0 ? Object.fromEntries(keys.map((key) => [key, {}])) : undefined;
  const nanoseconds = (ms: number | undefined) => (ms === undefined ? undefined : ms * 1_000_000);
  return {
    architecture,
    os: 'linux',
    config: {
      Env: Object.entries({
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        ...environment,
      }).map(([name, value]) => `${name}=${value}`),
      Entrypoint: settings.entrypoint,
      Cmd: settings.command,
      WorkingDir: settings.workingDirectory ?? '',
      User: settings.user ?? '',
      ExposedPorts: empty(exposedPorts),
      Volumes: empty(volumes),
      StopSignal: settings.stopSignal,
      Labels: settings.labels,
      Healthcheck: healthcheck && {
        Test: healthcheck.test,
        Interval: nanoseconds(healthcheck.intervalMs),
        Timeout: nanoseconds(healthcheck.timeoutMs),
        StartPeriod: nanoseconds(healthcheck.startPeriodMs),
        Retries: healthcheck.retries,
      },
    },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map(() => ({ created_by: 'test/harness/image.ts' })),
  };
}

const descriptor = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size });

async function writeBlob(directory: string, mediaType: string, value: unknown): Promise<Blob> {
  const text = JSON.stringify(value);
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const path = join(directory, digest.slice('sha256:'.length));
  await writeFile(path, text);
  return { mediaType, digest, size: Buffer.byteLength(text), path };
}

async function buildLayer(
  directory: string,
  files: Record<string, ImageFile>,
  options: LayerOptions,
): Promise<Layer> {
  const work = await mkdtemp(join(directory, 'layer-'));
  try {
    const root = join(work, 'root');
    await mkdir(root);
    for (const [path, file] of Object.entries(files)) await stage(root, path, file);
    return await packLayer(directory, root, options);
  } finally {
    await rm(work, { recursive: true });
  }
}

export type LayerOptions = Required<Pick<ImageOptions, 'compression' | 'format'>>;

/** Makes a layer in `directory` of all that is in the folder `root`, which must lie on the same file system. */
export async function packLayer(
  directory: string,
  root: string,
  { compression, format }: LayerOptions,
): Promise<Layer> {
  const tar = `${root}.tar`;
  const reproducible = ['--sort=name', '--mtime=@0', '--numeric-owner', '--format=gnu'];
  await runCommand('tar', [...reproducible, '-C', root, '-cf', tar, '.'], { timeoutMs: 120_000 });
  const diffId = await digestOf(tar);
  if (compression === 'gzip') await runCommand('gzip', ['-n', '-1', tar], { timeoutMs: 120_000 });
  const finished = compression === 'gzip' ? `${tar}.gz` : tar;
  const digest = compression === 'gzip' ? await digestOf(finished) : diffId;
  const path = join(directory, digest.slice('sha256:'.length));
  await rename(finished, path);
  const mediaType = mediaTypes[format][compression];
  return { blob: { mediaType, digest, size: (await stat(path)).size, path }, diffId };
}

async function stage(root: string, path: string, file: ImageFile): Promise<void> {
  const target = join(root, path);
  await mkdir(dirname(target), { recursive: true });
  if ('link' in file) return await symlink(file.link, target);
  if ('directory' in file) await mkdir(target, { recursive: true });
  else if ('content' in file) await writeFile(target, file.content);
  else await copyFile(await realpath(file.source), target, constants.COPYFILE_FICLONE);
  const mode =
    file.mode ?? ('directory' in file ? 0o755 : 'source' in file ? (await stat(target)).mode & 0o777 : 0o644);
  await chmod(target, mode);
  if (file.owner !== undefined) await chown(target, file.owner, file.owner);
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash);
  return `sha256:${hash.digest('hex')}`;
}

/**
 * The program and every shared library it needs (as `ldd` lists them), each at the path where the loader looks for it.
 * `target`: where the program itself goes.
 */
export async function programFiles(source: string, target: string): Promise<Record<string, ImageFile>> {
  const files: Record<string, ImageFile> = { [target]: { source, mode: 0o755 } };
  const listed = await runCommand('ldd', [source]);
  // "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)" or "\t/lib64/ld-linux-x86-64.so.2 (0x…)"
  for (const [, path] of listed.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm)) {
    if (path !== undefined) files[path] = { source: path, mode: 0o755 };
  }
  return files;
}

const accounts = {
  '/etc/passwd': {
    content:
      'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nredis:x:999:999::/data:/bin/sh\n',
  },
  '/etc/group': { content: 'root:x:0:\nnode:x:1000:\nredis:x:999:\n' },
  '/tmp': { directory: true, mode: 0o1777 },
} satisfies Record<string, ImageFile>;

const applets =
  'sh cat ls echo sleep true false env id hostname nc wget ps kill ip nslookup mkdir rm touch head tail grep test printf stty pwd dd df httpd ping uname date seq tr wc sort mount stat trap sync chmod chown cp mv ln vi top free nproc yes md5sum sha256sum';

/** A shell and the usual small programs (Debian's busybox-static). */
export async function busyboxImage(directory: string): Promise<BuiltImage> {
  const links = applets.split(' ').map((name) => [`/bin/${name}`, { link: 'busybox' }] as const);
  return await buildImage({
    directory,
    files: {
      '/bin/busybox': { source: '/bin/busybox', mode: 0o755 },
      ...Object.fromEntries(links),
      ...accounts,
    },
    command: ['sh'],
  });
}

/** Node from this project's `node_modules`, with a shell beside it; like `node:24-bookworm-slim` in use. */
export async function nodeImage(directory: string): Promise<BuiltImage> {
  const program = resolve(import.meta.dirname, '../../node_modules/.bin/node');
  return await buildImage({
    directory,
    from: await busyboxImage(directory),
    files: await programFiles(program, '/usr/local/bin/node'),
    command: ['node'],
    environment: { NODE_VERSION: process.versions.node },
  });
}

/** Debian's redis-server and redis-cli, with a shell beside them; like `redis:7-bookworm` in use. */
export async function redisImage(directory: string): Promise<BuiltImage> {
  return await buildImage({
    directory,
    from: await busyboxImage(directory),
    files: {
      ...(await programFiles('/usr/bin/redis-server', '/usr/local/bin/redis-server')),
      ...(await programFiles('/usr/bin/redis-cli', '/usr/local/bin/redis-cli')),
      '/data': { directory: true, owner: 999 },
    },
    command: ['redis-server'],
    exposedPorts: ['6379/tcp'],
    volumes: ['/data'],
    workingDirectory: '/data',
  });
}
