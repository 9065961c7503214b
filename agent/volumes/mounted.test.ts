import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { VolumeDriverOptions } from '../../src/spec/resource.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { FakeEngine } from '../worker/fake-engine.ts';
import { mountArguments, serverName, type Mounter } from './mount.ts';
import { createVolumes } from './volumes.ts';

let stateDirectory: string;
let mounter: MemoryMounter;

beforeEach(() => {
  stateDirectory = mkdtempSync(join(tmpdir(), 'shoal-agent-'));
  mounter = new MemoryMounter();
});

afterEach(() => {
  rmSync(stateDirectory, { recursive: true, force: true });
});

/** What is mounted, as the kernel would know it: it outlives the process. */
class MemoryMounter implements Mounter {
  readonly mounts = new Map<string, VolumeDriverOptions>();
  readonly calls: string[] = [];
  refuses = false;

  isMounted(folder: string): Promise<boolean> {
    return Promise.resolve(this.mounts.has(folder));
  }

  mount(name: string, options: VolumeDriverOptions, folder: string): Promise<void> {
    this.calls.push(`mount ${name}`);
    if (this.refuses) throw new ShoalError('failed_precondition', `Cannot mount volume ${name}: no`);
    this.mounts.set(folder, options);
    return Promise.resolve();
  }

  unmount(folder: string): Promise<void> {
    this.calls.push('unmount');
    this.mounts.delete(folder);
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    return Promise.resolve();
  }
}

const driverOptions = { type: 'tmpfs', device: 'tmpfs' };
const mount = {
  type: 'volume',
  source: 'app_data',
  target: '/data',
  readOnly: false,
  driverOptions,
} as const;
const image = FakeEngine.image('web');
const folder = () => join(stateDirectory, 'volumes/app_data/mounted');

function volumesOf(fill: (destination: string) => void = () => undefined) {
  return createVolumes({
    stateDirectory,
    mounter,
    copyImageContent: (_image, _path, destination) => Promise.resolve(fill(destination)),
  });
}

test('a volume with options is mounted for the first task that uses it, and until the last one leaves', async () => {
  const volumes = volumesOf();
  const [first] = await volumes.prepare('t1', image, [mount, { ...mount, target: '/again' }]);
  expect(first).toMatchObject({ source: folder(), target: '/data' });
  await volumes.prepare('t2', image, [mount]);
  expect(mounter.calls).toEqual(['mount app_data']);
  expect(await volumes.list()).toEqual(['t1', 't2']);
  await expect(volumes.removeNamed('app_data')).rejects.toThrow(/a task here still uses it/);
  await volumes.leave('t1');
  expect(mounter.mounts.size).toBe(1);
  await volumes.leave('t2');
  await volumes.leave('t2');
  expect(mounter.calls).toEqual(['mount app_data', 'unmount']);
  expect(await volumes.list()).toEqual([]);
});

test('who uses a volume is known to the next process, and what nobody uses is mounted anew', async () => {
  await volumesOf().prepare('t1', image, [mount]);
  const next = volumesOf();
  expect(await next.list()).toEqual(['t1']);
  await next.prepare('t2', image, [mount]);
  expect(mounter.calls).toEqual(['mount app_data']);
  await next.leave('t2');
  // A preparation that was killed is done again.
  await volumesOf().prepare('t1', image, [mount]);
  expect(mounter.calls).toEqual(['mount app_data', 'unmount', 'mount app_data']);
});

test('a host that was off mounts again what its tasks used', async () => {
  await volumesOf().prepare('t1', image, [mount]);
  mounter.mounts.clear();
  await volumesOf().prepare('t2', image, [mount]);
  expect(mounter.mounts.size).toBe(1);
});

test('a mount that fails fails the task, which leaves nothing', async () => {
  const volumes = volumesOf();
  mounter.refuses = true;
  await expect(volumes.prepare('t', image, [mount])).rejects.toThrow('Cannot mount volume app_data: no');
  await volumes.leave('t');
  expect(await volumes.list()).toEqual([]);
  expect(existsSync(folder())).toBe(false);
});

test('what the image holds is copied into it when it is empty, and again when that was cut off', async () => {
  let copies = 0;
  const fill = (destination: string) => {
    copies++;
    writeFileSync(join(destination, 'from-image'), '');
    if (copies === 1) throw new Error('cut off');
  };
  await expect(volumesOf(fill).prepare('t1', image, [mount])).rejects.toThrow('cut off');
  const volumes = volumesOf(fill);
  await volumes.prepare('t2', image, [mount]);
  await volumes.prepare('t3', image, [mount]);
  expect(copies).toBe(2);
  await volumes.prepare('t4', image, [{ ...mount, source: 'app_other', noCopy: true }]);
  await volumes.prepare('t5', image, [
    { ...mount, source: 'app_third', driverOptions: { type: 'nfs', o: 'addr=192.0.2.1,ro', device: ':/x' } },
  ]);
  expect(copies).toBe(2);
});

test('a removed volume is gone with its data, and what was mounted is left alone', async () => {
  const volumes = volumesOf();
  await volumes.prepare('t', image, [{ type: 'volume', source: 'app_plain', target: '/x', readOnly: false }]);
  mkdirSync(folder(), { recursive: true });
  mounter.mounts.set(folder(), driverOptions);
  await volumes.removeNamed('app_data');
  await expect(volumes.removeNamed('app_plain')).rejects.toThrow(/a task here still uses it/);
  await volumes.leave('t');
  await volumes.removeNamed('app_plain');
  await volumes.removeNamed('app_never_used');
  expect(mounter.mounts.size).toBe(0);
  const left = readdirSync(join(stateDirectory, 'volumes')).filter((name) => !name.startsWith('.'));
  expect(left).toEqual([]);
  await expect(volumes.removeNamed('../x')).rejects.toThrow(/as a volume name/);
});

test.each([
  [
    { type: 'nfs', o: 'addr=nas.example.org,rw', device: ':/v' },
    'nas.example.org',
    'nfs -o addr=192.0.2.9,rw -- :/v',
  ],
  [
    { type: 'nfs', o: 'addr=192.0.2.1,nolock', device: ':/v' },
    undefined,
    'nfs -o addr=192.0.2.1,nolock -- :/v',
  ],
  [{ type: 'nfs4', o: 'rw,addr=nas', device: ':/v' }, 'nas', 'nfs4 -o rw,addr=192.0.2.9 -- :/v'],
  [{ type: 'cifs', o: 'user=me', device: '//nas/share' }, 'nas', 'cifs -o user=me -- //192.0.2.9/share'],
  [
    { type: 'cifs', o: 'addr=nas', device: '//files/share' },
    'nas',
    'cifs -o addr=192.0.2.9 -- //files/share',
  ],
  [{ type: 'cifs', device: '//192.0.2.1/share' }, undefined, 'cifs -- //192.0.2.1/share'],
  [{ o: 'bind,,ro', device: '/srv' }, undefined, 'none -o bind,ro -- /srv'],
  [{ type: 'tmpfs', o: 'addr=nas', device: 'tmpfs' }, undefined, 'tmpfs -o addr=nas -- tmpfs'],
])('%j names the server %j, and is mounted with %s', (options: VolumeDriverOptions, server, args) => {
  expect(serverName(options)).toBe(server);
  const all = mountArguments(options, '/there', '192.0.2.9');
  expect(all.join(' ')).toBe(`--internal-only --no-canonicalize -t ${args} /there`);
});
