import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerdClient } from '../../agent/engine/client.ts';
import type { ContainerCreate, Image } from '../../agent/engine/engine.ts';
import { systemClock } from '../../src/util/clock.ts';
import { buildImage, busyboxImage, type ImageFile } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, type EngineFixture } from './engine-fixture.ts';

/** Images as mounts of containers. */

let fixture: EngineFixture;
let client: ContainerdClient;
let tools: Image;
let data: Image;
let single: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const address = join(fixture.directory, 'run/c.sock');
  client = new ContainerdClient({ address, namespace: 'shoal', clock: systemClock });
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  const push = async (name: string, built: Parameters<typeof pushImage>[2]) => {
    await pushImage(fixture.registry.name, name, built);
    return await fixture.engine.pull(`${fixture.registry.name}/${name}`, {});
  };
  tools = await push('tools:1', await busyboxImage(directory));
  const layers = Array.from({ length: 60 }, (_, index) => ({
    [`/many/${index}`]: { content: `layer ${index}` },
  }));
  const files: Record<string, ImageFile>[] = [
    {
      '/srv/data/low': { content: 'from below' },
      '/srv/data/both': { content: 'covered' },
      '/srv/link': { link: '/srv/data' },
      '/srv/outside': { link: '/../../../../../../etc' },
    },
    { '/srv/data/both': { content: 'from above' } },
  ];
  data = await push('data:1', await buildImage({ directory, files: [...files, ...layers] }));
  single = await push('single:1', await buildImage({ directory, files: [{ '/only': { content: 'one' } }] }));
});

afterAll(async () => {
  client?.close();
  await fixture?.stop();
});

async function snapshots(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { info } of client.stream('Snapshots.List', { snapshotter: 'overlayfs', filters: [] })) {
    keys.push(...info.map(({ name }) => name));
  }
  return keys;
}

async function started(id: string, imageMounts: ContainerCreate['imageMounts']): Promise<void> {
  const container = fixture.container(tools, ['sleep', '1000'], { id, imageMounts: imageMounts! });
  await fixture.engine.create(container, fixture.sink(id));
  await fixture.engine.start(id);
}

async function inside(id: string, script: string): Promise<string> {
  const command = ['sh', '-c', script];
  const session = await fixture.engine.exec(id, { command, tty: false, environment: [], stdin: false });
  const { stdout, stderr } = await finish(session);
  return (stdout + stderr).trim();
}

const leftMounted = async () =>
  (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(`${fixture.directory}/engine/images`));

test('a container sees the whole of an image, a folder and a file of it, and can write none of them', async () => {
  await started('seeing', [
    { image: data, target: '/data' },
    { image: data, target: '/part', subpath: 'srv/link' },
    { image: data, target: '/file', subpath: 'srv/data/low' },
    { image: single, target: '/single' },
  ]);
  expect(await inside('seeing', 'cat /data/srv/data/both; echo; cat /data/many/59')).toBe(
    'from above\nlayer 59',
  );
  expect(await inside('seeing', 'ls /part; cat /part/both; echo; cat /file')).toBe(
    'both\nlow\nfrom above\nfrom below',
  );
  expect(await inside('seeing', 'cat /single/only')).toBe('one');
  for (const path of ['/data/new', '/part/new', '/file', '/single/new']) {
    expect(await inside('seeing', `echo x >${path}`)).toContain('Read-only file system');
  }
  expect(await leftMounted()).toEqual([]);
  expect((await snapshots()).filter((key) => key.startsWith('seeing-image-'))).toHaveLength(4);
});

test('what a container sees stays when the image is removed, and goes with the container', async () => {
  const reference = `${fixture.registry.name}/data:1`;
  expect(await fixture.engine.removeUnusedImages({ keep: [tools.reference], unusedMs: 0 })).toContain(
    reference,
  );
  expect(await inside('seeing', 'cat /data/many/7 /part/low')).toBe('layer 7from below');
  // another engine knows of the views only by what is on record
  await fixture.another().remove('seeing');
  expect((await snapshots()).filter((key) => key.includes('-image-'))).toEqual([]);
  expect(await readdir(join(fixture.directory, 'engine/images'))).toEqual([]);
});

test('a part that the image does not have refuses the container, and nothing stays behind', async () => {
  const image = await fixture.engine.pull(`${fixture.registry.name}/data:1`, {});
  for (const subpath of ['nowhere', 'srv/outside/passwd']) {
    await expect(started('refused', [{ image, target: '/x', subpath }])).rejects.toThrow(
      `Cannot mount ${subpath} of the image ${image.reference}: it has none`,
    );
  }
  expect(await leftMounted()).toEqual([]);
  expect((await snapshots()).filter((key) => key.startsWith('refused'))).toEqual([]);
  expect((await fixture.engine.list()).map(({ id }) => id)).toEqual([]);
});
