import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ContainerCreate, Image } from '../../agent/engine/engine.ts';
import { busyboxImage } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, type EngineFixture } from './engine-fixture.ts';

/** What keeps a host safe from its containers, read from the kernel. */

let fixture: EngineFixture;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  await pushImage(fixture.registry.name, 'box:1', await busyboxImage(directory));
  image = await fixture.engine.pull(`${fixture.registry.name}/box:1`, {});
});

afterAll(async () => {
  await fixture?.stop();
});

async function start(id: string, extra: Partial<ContainerCreate> = {}): Promise<number> {
  const container = fixture.container(image, ['sleep', '1000'], { id, ...extra });
  await fixture.engine.create(container, fixture.sink(id));
  return (await fixture.engine.start(id)).pid;
}

async function inside(id: string, script: string): Promise<string> {
  const command = ['sh', '-c', script];
  const request = { command, tty: false, environment: [], stdin: false };
  return (await finish(await fixture.engine.exec(id, request))).stdout.trim();
}

const oomScoreOf = async (pid: number | 'self') =>
  (await readFile(`/proc/${pid}/oom_score_adj`, 'utf8')).trim();

test('a container has a score of its own for when memory runs out, not that of its shim and the engine', async () => {
  const plain = await start('plain');
  const asked = await start('asked', { settings: { oomScoreAdjust: 250 } });
  expect(await oomScoreOf(plain)).toBe('0');
  expect(await oomScoreOf(asked)).toBe('250');
  expect(await inside('plain', 'cat /proc/self/oom_score_adj')).toBe('0');
  expect(await inside('asked', 'cat /proc/self/oom_score_adj')).toBe('250');
  await fixture.engine.remove('plain');
  await fixture.engine.remove('asked');
});

test('a container with a memory limit has as much swap as memory, as with Docker', async () => {
  const bytes = 32 * 1024 * 1024;
  await start('limited', { limits: { memoryBytes: bytes } });
  const isVersion2 = (await readdir('/sys/fs/cgroup')).includes('cgroup.controllers');
  const folder = join('/sys/fs/cgroup', isVersion2 ? '' : 'memory', fixture.cgroupParent, 'limited');
  // version 2 counts swap alone, version 1 memory and swap together
  const [file, expected] = isVersion2
    ? ['memory.swap.max', bytes]
    : ['memory.memsw.limit_in_bytes', 2 * bytes];
  expect(Number(await readFile(join(folder, file), 'utf8'))).toBe(expected);
  await fixture.engine.remove('limited');
});
