import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ContainerCreate, Image } from '../../agent/engine/engine.ts';
import { buildImage, busyboxImage, programFiles } from '../harness/image.ts';
import { pushImage } from '../harness/registry.ts';
import { finish, startEngineFixture, type EngineFixture } from './engine-fixture.ts';

/** What keeps a host safe from its containers, read from the kernel. */

let fixture: EngineFixture;
let image: Image;

beforeAll(async () => {
  fixture = await startEngineFixture();
  const directory = join(fixture.directory, 'images');
  await mkdir(directory);
  const from = await busyboxImage(directory);
  // every Debian has perl, whose `syscall` makes any call
  const files = await programFiles('/usr/bin/perl', '/usr/bin/perl');
  await pushImage(fixture.registry.name, 'box:1', await buildImage({ directory, from, files }));
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

test.skipIf(process.arch !== 'x64')(
  'calls that Docker refuses are refused by the kernel, and others are made',
  async () => {
    await start('confined');
    await start('unconfined', { settings: { seccomp: 'unconfined' } });
    /** The error of each call, 0 for none. */
    const errors = async (id: string, calls: Record<string, number[]>) => {
      const lines = Object.values(calls).map(
        (numbers) => `$r = syscall(${numbers.join(', ')}); print(($r == -1 ? $! + 0 : 0), "\\n");`,
      );
      const printed = await inside(id, `perl -e '${lines.join(' ')}'`);
      return Object.fromEntries(
        Object.keys(calls).map((name, index) => [name, Number(printed.split('\n')[index])]),
      );
    };
    const refused = {
      'socket(AF_VSOCK)': [41, 40, 1, 0],
      'personality(ADDR_NO_RANDOMIZE)': [135, 0x4_0000],
      mbind: [237, 0, 0, 0, 0, 0, 0],
      keyctl: [250, 0, 0, 0, 0, 0],
      'unshare(CLONE_NEWUSER)': [272, 0x1000_0000],
      io_uring_setup: [425, 0, 0],
      pivot_root: [155, 0, 0],
    };
    const seen = await errors('confined', refused);
    expect(seen).toEqual(Object.fromEntries(Object.keys(refused).map((name) => [name, 1])));
    const made = { 'socket(AF_INET)': [41, 2, 1, 0], 'personality(which)': [135, 0xffff_ffff], getpid: [39] };
    expect(await errors('confined', made)).toEqual({
      'socket(AF_INET)': 0,
      'personality(which)': 0,
      getpid: 0,
    });
    // those that a library may not know by name are refused as calls that are not there
    const unknown = await errors('confined', { statmount: [457, 0, 0, 0, 0], clone3: [435, 0, 0] });
    expect(unknown['clone3']).toBe(38);
    expect([1, 38]).toContain(unknown['statmount']);
    const free = await errors('unconfined', { ...refused, statmount: [457, 0, 0, 0, 0] });
    expect(free).toMatchObject({ 'personality(ADDR_NO_RANDOMIZE)': 0, mbind: 0 });
    expect([1, 38]).not.toContain(free['statmount']);
    for (const id of ['confined', 'unconfined']) await fixture.engine.remove(id);
  },
);
