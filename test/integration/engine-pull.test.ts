import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { PullProgress } from '../../agent/engine/engine.ts';
import { systemClock } from '../../src/util/clock.ts';
import { buildImage, buildIndex, busyboxImage, hostArchitecture, type BuiltImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { startEngineFixture, until, type EngineFixture } from './engine-fixture.ts';
import { startRegistryProxy, type RegistryProxy } from './engine-proxy.ts';

let fixture: EngineFixture;
let proxy: RegistryProxy;
let directory: string;
let base: BuiltImage;
let count = 0;

beforeAll(async () => {
  fixture = await startEngineFixture();
  directory = join(fixture.directory, 'images');
  await mkdir(directory);
  base = await busyboxImage(directory);
});

beforeEach(async () => {
  proxy = await startRegistryProxy(fixture.registry.name);
});

afterEach(async () => {
  await proxy.close();
});

afterAll(async () => {
  await fixture?.stop();
});

/** Pushes an image with a layer of its own, of `bytes`; gives its name at the registry and at the proxy. */
async function pushed(bytes: number, format: 'oci' | 'docker' = 'oci') {
  const content = randomBytes(bytes);
  const files = { '/blob': { content } };
  const built = await buildImage({
    directory,
    from: base,
    files,
    command: ['true'],
    format,
    compression: 'gzip',
  });
  const repository = `test/image${count++}`;
  const digest = await pushImage(fixture.registry.name, `${repository}:1`, built);
  return { built, digest, path: `${repository}:1`, throughProxy: `${proxy.name}/${repository}:1` };
}

const blobRequests = () => proxy.requests.filter((line) => line.includes('/blobs/'));

test('an image of either format comes whole, with progress, and is found afterwards', async () => {
  for (const format of ['oci', 'docker'] as const) {
    const { throughProxy, digest } = await pushed(100_000, format);
    const progress: PullProgress[] = [];
    expect(await fixture.engine.image(throughProxy)).toBeUndefined();
    const image = await fixture.engine.pull(throughProxy, { onProgress: (step) => progress.push(step) });
    expect(image).toMatchObject({ reference: throughProxy, digest, config: { command: ['true'] } });
    expect(await fixture.engine.image(throughProxy)).toEqual(image);
    expect(await fixture.another().image(throughProxy)).toEqual(image);
    expect([...new Set(progress.map(({ phase }) => phase))]).toEqual([
      'resolving',
      'downloading',
      'unpacking',
      'done',
    ]);
    expect(progress.at(-1)!.doneBytes).toBe(progress.at(-1)!.totalBytes);
  }
});

test('of an index the image for this machine is taken, by tag and by digest', async () => {
  const other = await buildImage({ directory, files: { '/a': { content: 'a' } }, architecture: 's390x' });
  const index = await buildIndex(directory, [other, base]);
  const digest = await pushImage(fixture.registry.name, 'many:1', index);
  expect((await fixture.engine.pull(`${proxy.name}/many:1`, {})).digest).toBe(base.manifest.digest);
  expect((await fixture.engine.pull(`${proxy.name}/many@${digest}`, {})).digest).toBe(base.manifest.digest);
  const onlyOther = await buildIndex(directory, [other]);
  await pushImage(fixture.registry.name, 'other:1', onlyOther);
  await expect(fixture.engine.pull(`${proxy.name}/other:1`, {})).rejects.toMatchObject({
    code: 'image_invalid',
    message: expect.stringContaining(`not made for linux/${hostArchitecture}; it is made for linux/s390x`),
  });
});

test('a download that breaks off is taken up where it stopped', async () => {
  const { throughProxy, built } = await pushed(6_000_000);
  await fixture.engine.pull(`${fixture.registry.name}/${(await pushed(10)).path}`, {}); // the base layer is here
  proxy.cuts = 2;
  await fixture.engine.pull(throughProxy, {});
  const layer = built.layers.at(-1)!;
  const asked = blobRequests().filter((line) => line.includes(layer.digest));
  expect(asked.length).toBeGreaterThan(1);
  expect(asked.at(-1)).toMatch(/bytes=\d+-$/);
});

test('what a pull has brought that was given up is not brought again by the next process', async () => {
  const { throughProxy, built } = await pushed(6_000_000);
  const controller = new AbortController();
  const pulling = fixture.engine.pull(throughProxy, {
    signal: controller.signal,
    onProgress: ({ doneBytes }) => {
      if (doneBytes > 1_000_000) controller.abort(new Error('given up'));
    },
  });
  await expect(pulling).rejects.toThrow('given up');
  await fixture.another().pull(throughProxy, {});
  const layer = built.layers.at(-1)!;
  const asked = blobRequests().filter((line) => line.includes(layer.digest));
  expect(asked.slice(1).every((line) => /bytes=\d+-$/.test(line))).toBe(true);
});

test('faults of the server are tried again', async () => {
  const { throughProxy, digest } = await pushed(1000);
  proxy.faults = 2;
  expect((await fixture.engine.pull(throughProxy, {})).digest).toBe(digest);
});

test('a token is fetched where one is wanted, and does not travel to where blobs are redirected', async () => {
  const { throughProxy, digest } = await pushed(1000);
  proxy.token = 'open-sesame';
  proxy.redirect = true;
  expect((await fixture.engine.pull(throughProxy, {})).digest).toBe(digest);
  expect(proxy.requests.filter((line) => line.includes('/token?'))).toHaveLength(1);
});

test('callers that want the same image at the same time share one download', async () => {
  const { throughProxy, digest } = await pushed(100_000);
  const pulls = await Promise.all([1, 2, 3].map(() => fixture.engine.pull(throughProxy, {})));
  expect(pulls.map((image) => image.digest)).toEqual([digest, digest, digest]);
  expect(new Set(blobRequests()).size).toBe(blobRequests().length);
});

test('an image that does not exist, or that nobody may read, is said to be so', async () => {
  const { engine } = fixture;
  await expect(engine.pull(`${proxy.name}/no/such:1`, {})).rejects.toMatchObject({
    code: 'image_not_found',
    message: `Cannot pull ${proxy.name}/no/such:1: the registry does not have it`,
  });
  proxy.refuse = 403;
  await expect(engine.pull(`${proxy.name}/secret:1`, {})).rejects.toMatchObject({
    code: 'image_not_found',
    message: `Cannot pull ${proxy.name}/secret:1: access denied; the repository does not exist or may need a login`,
  });
  await expect(engine.pull('not a name', {})).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('a registry that cannot be reached is unavailable', async () => {
  await expect(fixture.engine.pull('127.0.0.1:1/x:1', {})).rejects.toMatchObject({ code: 'unavailable' });
});

test('content that is not what its digest says is refused', async () => {
  const { throughProxy } = await pushed(100_000);
  proxy.corrupt = true;
  await expect(fixture.engine.pull(throughProxy, {})).rejects.toMatchObject({ code: 'image_invalid' });
  proxy.corrupt = false;
  await fixture.engine.pull(throughProxy, {});
});

test('images survive the collector', async () => {
  const { throughProxy } = await pushed(1000);
  const image = await fixture.engine.pull(throughProxy, {});
  // enough removals for containerd to collect
  for (let round = 0; round < 40; round++) {
    const container = fixture.container(image, ['no-such-program']);
    await fixture.engine.create(container, fixture.sink(container.id)).catch(() => undefined);
  }
  await until('it is still whole', async () => (await fixture.another().image(throughProxy)) !== undefined);
  const container = fixture.container(image, ['true']);
  await fixture.engine.create(container, fixture.sink(container.id));
  await fixture.engine.remove(container.id);
});

test('an image that neither a container nor anybody else uses is removed with its layers, and no other', async () => {
  const { engine } = fixture;
  const [unused, kept, running] = [await pushed(50_000), await pushed(50_000), await pushed(50_000)];
  for (const { throughProxy } of [unused, kept, running]) await engine.pull(throughProxy, {});
  const image = (await engine.image(running.throughProxy))!;
  const container = fixture.container(image, ['sleep', '1000']);
  await engine.create(container, fixture.sink(container.id));
  const remove = (unusedMs: number) =>
    fixture.another().removeUnusedImages({ keep: [kept.throughProxy, 'NO IMAGE'], unusedMs });
  expect(await remove(3_600_000)).toEqual([]);
  await systemClock.sleep(2);
  const removed = await remove(0);
  expect(removed).toContain(unused.throughProxy);
  expect(removed).not.toContain(kept.throughProxy);
  expect(removed).not.toContain(running.throughProxy);
  const found = (name: string) => fixture.another().image(name);
  expect(await found(unused.throughProxy)).toBeUndefined();
  expect(await found(kept.throughProxy)).toBeDefined();
  expect(await found(running.throughProxy)).toBeDefined();
  await engine.remove(container.id);
  // what it alone had is really gone: it comes again from the registry
  const before = blobRequests().length;
  await fixture.another().pull(unused.throughProxy, {});
  expect(blobRequests().length).toBeGreaterThan(before + 1);
});
