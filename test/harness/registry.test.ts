import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gunzipSync } from 'node:zlib';
import { buildImage, buildIndex, busyboxImage, nodeImage, redisImage } from './image.ts';
import { pushImage, startRegistry, type Registry } from './registry.ts';

let directory: string;
let registry: Registry;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-harness-registry-'));
  registry = await startRegistry({ directory: join(directory, 'registry') });
});

afterAll(async () => {
  await registry.stop();
  await rm(directory, { recursive: true });
});

const fetchManifest = async (repository: string, reference: string, accept: string) => {
  const answer = await fetch(`http://${registry.name}/v2/${repository}/manifests/${reference}`, {
    headers: { accept },
  });
  return (await answer.json()) as {
    mediaType: string;
    layers: { digest: string; mediaType: string }[];
    manifests: { digest: string; platform: { architecture: string } }[];
  };
};

test('an image of the same files has the same digest, and another one of other files', async () => {
  const build = (content: string) => buildImage({ directory, files: { '/a/b': { content } } });
  const [first, second, other] = [await build('x'), await build('x'), await build('y')];
  expect(second.manifest.digest).toBe(first.manifest.digest);
  expect(other.manifest.digest).not.toBe(first.manifest.digest);
});

test('a pushed gzip image is served with its layers, whose content has the digest the config names', async () => {
  const image = await buildImage({
    directory,
    files: { '/hello': { content: 'hello\n' } },
    compression: 'gzip',
    format: 'docker',
  });
  await pushImage(registry.name, 'library/hello:1', image);
  const manifest = await fetchManifest('library/hello', '1', image.manifest.mediaType);
  expect(manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
  const layer = manifest.layers[0]!;
  expect(layer.mediaType).toBe('application/vnd.docker.image.rootfs.diff.tar.gzip');
  const blob = await fetch(`http://${registry.name}/v2/library/hello/blobs/${layer.digest}`);
  const tar = gunzipSync(Buffer.from(await blob.arrayBuffer()));
  expect(`sha256:${createHash('sha256').update(tar).digest('hex')}`).toBe(image.diffIds[0]);
});

test('an index names one image a platform', async () => {
  const images = [
    await buildImage({ directory, files: { '/a': { content: 'amd' } }, architecture: 'amd64' }),
    await buildImage({ directory, files: { '/a': { content: 'arm' } }, architecture: 'arm64' }),
  ];
  const index = await buildIndex(directory, images);
  await pushImage(registry.name, 'many:latest', index);
  const served = await fetchManifest('many', 'latest', index.manifest.mediaType);
  expect(served.manifests.map((entry) => [entry.platform.architecture, entry.digest])).toEqual([
    ['amd64', images[0]!.manifest.digest],
    ['arm64', images[1]!.manifest.digest],
  ]);
});

test('the ready-made images share their lowest layer', async () => {
  const [busybox, node, redis] = [
    await busyboxImage(directory),
    await nodeImage(directory),
    await redisImage(directory),
  ];
  expect(node.layers[0]).toEqual(busybox.layers[0]);
  expect(redis.layers[0]).toEqual(busybox.layers[0]);
  expect(await pushImage(registry.name, 'library/node:24', node)).toBe(node.manifest.digest);
});

test('a layer that another repository has is taken from there', async () => {
  const image = await buildImage({ directory, files: { '/shared': { content: 'shared' } } });
  await pushImage(registry.name, 'first:1', image);
  await rm(image.layers[0]!.path); // so that it cannot be pushed once more
  expect(await pushImage(registry.name, 'second:1', image, 'first')).toBe(image.manifest.digest);
});
