import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { createLogger } from '../../src/util/log.ts';
import type { Image } from '../engine/engine.ts';
import { openBelow } from './subpaths.ts';
import { createVolumes, withImageVolumes } from './volumes.ts';

let stateDirectory: string;

beforeEach(() => {
  stateDirectory = mkdtempSync(join(tmpdir(), 'shoal-agent-'));
});

afterEach(() => {
  rmSync(stateDirectory, { recursive: true, force: true });
});

const image = (volumes: string[] = []): Image => ({
  reference: 'x',
  digest: 'sha256:x',
  config: {
    entrypoint: [],
    command: [],
    environment: [],
    workingDirectory: '',
    user: '',
    exposedPorts: [],
    volumes,
    labels: {},
  },
});
const nothing = () => Promise.resolve();
const named = { type: 'volume', source: 'app_data', target: '/data', readOnly: false } as const;

test('a named volume is made at its first use, filled from the image once, and kept', async () => {
  let copies = 0;
  const copyImageContent = (_image: Image, path: string, destination: string) => {
    copies++;
    writeFileSync(join(destination, 'from'), path);
    return Promise.resolve();
  };
  const volumes = createVolumes({ stateDirectory, copyImageContent });
  const mounts = await Promise.all([1, 2].map((task) => volumes.prepare(`t${task}`, image(), [named])));
  const source = join(stateDirectory, 'volumes/app_data/data');
  expect(mounts[0]).toEqual([
    { type: 'bind', source, target: '/data', options: ['rbind', 'rprivate', 'rw'] },
  ]);
  expect(copies).toBe(1);
  expect(readFileSync(join(source, 'from'), 'utf8')).toBe('/data');
});

test('a first use that was cut off begins anew, and a finished one is never touched', async () => {
  const broken = createVolumes({
    stateDirectory,
    copyImageContent: (_image, _path, destination) => {
      writeFileSync(join(destination, 'half'), '');
      return Promise.reject(new Error('cut off'));
    },
  });
  await expect(broken.prepare('t', image(), [named])).rejects.toThrow('cut off');
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  await volumes.prepare('t', image(), [named]);
  const data = join(stateDirectory, 'volumes/app_data/data');
  expect(existsSync(join(data, 'half'))).toBe(false);
  writeFileSync(join(data, 'mine'), 'x');
  await volumes.prepare('t', image(), [named]);
  expect(existsSync(join(data, 'mine'))).toBe(true);
});

test('what is here of volumes is told with its size and its last use, which the end of a task is', async () => {
  const copyImageContent = (_image: Image, _path: string, destination: string) => {
    writeFileSync(join(destination, 'data'), Buffer.alloc(100_000, 'x'));
    return Promise.resolve();
  };
  const volumes = createVolumes({ stateDirectory, copyImageContent });
  const told = async (name?: string) => await Array.fromAsync(volumes.copies(name));
  expect(await told()).toEqual([]);
  await volumes.prepare('t1', image(), [named]);
  await volumes.prepare('t2', image(), [{ ...named, source: 'app_other' }]);
  mkdirSync(join(stateDirectory, 'volumes/app_mounted/mounted'), { recursive: true });
  expect((await told()).map(({ name }) => name)).toEqual(['app_data', 'app_other']);
  const [copy] = await told('app_data');
  expect(copy!.bytes).toBeGreaterThan(99_999);
  const longAgo = new Date(0);
  utimesSync(join(stateDirectory, 'volumes/app_data/volume.json'), longAgo, longAgo);
  expect((await told('app_data'))[0]!.unusedMs).toBeGreaterThan(1e12);
  await volumes.leave('t1');
  expect((await told('app_data'))[0]!.unusedMs).toBeLessThan(60_000);
});

test('a volume is packed as it is and made of that again, all of it or nothing', async () => {
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  await expect(volumes.pack('app_data')).rejects.toThrow('this host has none');
  await volumes.prepare('t', image(), [named]);
  const data = join(stateDirectory, 'volumes/app_data/data');
  writeFileSync(join(data, 'one'), 'x', { mode: 0o640 });
  symlinkSync('one', join(data, 'link'));
  const { output, done } = await volumes.pack('app_data');
  const packed = await buffer(output!);
  expect(await done).toEqual({ isWhole: true });
  writeFileSync(join(data, 'two'), 'later');
  const { signal } = new AbortController();
  const feed = (bytes: Uint8Array) => (input: Writable) => void input.end(bytes);
  await expect(volumes.unpack({ name: 'app_data' }, signal, feed(packed))).rejects.toThrow(
    /a task here still uses it/,
  );
  await volumes.leave('t');
  for (const broken of [packed.subarray(0, 700), Buffer.from('no tar at all'), Buffer.alloc(0)]) {
    await expect(volumes.unpack({ name: 'app_data' }, signal, feed(broken))).rejects.toThrow(
      /Cannot unpack the volume/,
    );
  }
  expect(readdirSync(data).sort()).toEqual(['link', 'one', 'two']);
  await volumes.unpack({ name: 'app_data' }, signal, feed(packed));
  expect(readdirSync(data).sort()).toEqual(['link', 'one']);
  expect(statSync(join(data, 'one')).mode & 0o777).toBe(0o640);
  await volumes.unpack({ name: 'app_other' }, signal, feed(packed));
  expect((await Array.fromAsync(volumes.copies())).map(({ name }) => name)).toEqual([
    'app_data',
    'app_other',
  ]);
  const left = readdirSync(join(stateDirectory, 'volumes')).filter((name) => name.startsWith('.'));
  expect(left).toEqual([]);
});

test('anonymous volumes go with their task', async () => {
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  const [mount] = await volumes.prepare('t', image(), [{ type: 'volume', target: '/x', readOnly: true }]);
  expect(mount?.options).toContain('ro');
  expect(statSync(mount!.source).isDirectory()).toBe(true);
  expect(await volumes.list()).toEqual(['t']);
  await volumes.leave('t');
  expect(await volumes.list()).toEqual([]);
});

test('an image’s own volumes are anonymous unless a mount covers them', () => {
  const mounts = withImageVolumes([named], ['/data/', '/cache']);
  expect(mounts).toEqual([named, { type: 'volume', target: '/cache', readOnly: false }]);
});

test('a host path that is missing is made or refused, as the mount says', async () => {
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  const source = join(stateDirectory, 'not/yet');
  const mount = { type: 'bind', source, target: '/x', readOnly: false } as const;
  await expect(volumes.prepare('t', image(), [{ ...mount, createHostPath: false }])).rejects.toThrow(
    /does not exist on this host/,
  );
  await volumes.prepare('t', image(), [{ ...mount, createHostPath: true }]);
  expect(existsSync(source)).toBe(true);
});

test('a volume name cannot lead out of its folder', async () => {
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  for (const source of ['../x', 'a/b', '..', '']) {
    await expect(volumes.prepare('t', image(), [{ ...named, source }])).rejects.toThrow(/as a volume name/);
  }
});

test('a tmpfs has Docker’s options, and its size and mode', async () => {
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  const [mount] = await volumes.prepare('t', image(), [
    { type: 'tmpfs', target: '/t', sizeBytes: 1024, mode: 0o700 },
  ]);
  expect(mount).toEqual({
    type: 'tmpfs',
    source: 'tmpfs',
    target: '/t',
    options: ['nosuid', 'nodev', 'noexec', 'mode=700', 'size=1024'],
  });
});

test('options of bind mounts and tmpfs are passed on, and replace the defaults they contradict', async () => {
  const volumes = createVolumes({ stateDirectory, copyImageContent: nothing });
  const tmpfs = { type: 'tmpfs', target: '/t', options: ['exec', 'uid=33'], mode: 0o700 } as const;
  const bind = {
    type: 'bind',
    source: stateDirectory,
    target: '/b',
    readOnly: true,
    createHostPath: false,
    propagation: 'rslave',
    notRecursive: true,
  } as const;
  const [first, second] = await volumes.prepare('t', image(), [
    { ...tmpfs, options: [...tmpfs.options] },
    bind,
  ]);
  expect(first?.options).toEqual(['nosuid', 'nodev', 'exec', 'uid=33', 'mode=700']);
  expect(second?.options).toEqual(['bind', 'rslave', 'ro']);
});

test('a folder in a volume is found without following links that containers may have put there', async () => {
  mkdirSync(join(stateDirectory, 'data/a/b'), { recursive: true });
  symlinkSync('/etc', join(stateDirectory, 'data/a/link'));
  writeFileSync(join(stateDirectory, 'data/a/file'), '');
  const data = join(stateDirectory, 'data');
  const folder = await openBelow(data, './a//b/', 'app_data');
  expect((await folder.stat()).ino).toBe(statSync(join(data, 'a/b')).ino);
  await folder.close();
  for (const wrong of ['a/link', 'a/file', 'a/none', '..', 'a/../../etc']) {
    await expect(openBelow(data, wrong, 'app_data')).rejects.toThrow(
      `Cannot mount ${wrong} of the volume app_data: it is no folder there`,
    );
  }
});

test('data of a removed volume that cannot be removed is told, tried again, and holds up nothing else', async () => {
  const lines: string[] = [];
  const log = createLogger({ level: 'warn', now: () => 0, write: (line) => lines.push(line) });
  const clock = {
    ...systemClock,
    after: (_: number, callback: () => void) => systemClock.after(1, callback),
  };
  let failures = 2;
  const discard = async (folder: string) => {
    if (failures-- > 0) throw new Error('Operation not permitted');
    await rm(folder, { recursive: true });
  };
  const volumes = createVolumes({
    stateDirectory,
    copyImageContent: nothing,
    removals: { clock, log, discard },
  });
  await volumes.prepare('t', image(), [named]);
  await volumes.leave('t');
  await volumes.removeNamed('app_data');
  const left = () => readdirSync(join(stateDirectory, 'volumes'));
  await vi.waitFor(() => expect(left()).toEqual([]));
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('Operation not permitted');
  mkdirSync(join(stateDirectory, 'volumes', '.removing-of-an-agent-that-ended'));
  createVolumes({ stateDirectory, copyImageContent: nothing, removals: { clock, log } });
  await vi.waitFor(() => expect(left()).toEqual([]));
});
