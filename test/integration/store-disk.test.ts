import { mkdtemp, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockState } from '../../agent/daemon/lock.ts';
import { startManager, type Manager } from '../../manager/manager.ts';
import { createClusterStore } from '../../manager/store/cluster-store.ts';
import { openSqliteStore } from '../../manager/store/sqlite.ts';
import { runCommand } from '../../src/util/command.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { connect, type Client } from '../../src/wire/client.ts';

const diskBytes = 2 * 1024 * 1024;

let folder: string;
let disk: string;
let client: Client;
let manager: Manager | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-store-disk-'));
  disk = join(folder, 'disk');
  await runCommand('mkdir', [disk]);
  await runCommand('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'shoal-test', disk]);
  client = connect(`unix://${join(folder, 'manager.sock')}`);
});
afterEach(async () => {
  client.close();
  await stop();
  await runCommand('umount', [disk]);
  await rm(folder, { recursive: true });
});

async function start(initialise?: object): Promise<void> {
  const options = {
    stateFolder: disk,
    runFolder: folder,
    listen: { host: '127.0.0.1', port: 0 },
    advertiseAddress: '127.0.0.1',
    initialise,
    logLevel: 'error' as const,
  };
  manager = await startManager(options, {
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    openStore: async (of) => {
      const store = await openSqliteStore(join(of, 'store.sqlite'), { memoryFolder: folder });
      return createClusterStore(store, 'embedded', { clock: systemClock, log: silentLogger });
    },
  });
}

async function stop(): Promise<void> {
  await manager?.stop();
  manager = undefined;
}

async function fill(): Promise<void> {
  // What does not fit is refused after the rest was written.
  await writeFile(join(disk, 'filler'), Buffer.alloc(diskBytes)).catch((error: NodeJS.ErrnoException) =>
    expect(error.code).toBe('ENOSPC'),
  );
  expect((await statfs(disk)).bavail).toBe(0);
}

async function volume(name: string): Promise<unknown> {
  return await client.request('POST', '/volumes', { name });
}

async function volumeNames(): Promise<string[]> {
  const volumes = await client.request<{ spec: { name: string } }[]>('GET', '/volumes');
  return volumes.map(({ spec }) => spec.name);
}

/** What refuses writes, how it is undone, and how a write is refused meanwhile. */
const faults = [
  {
    name: 'full',
    begin: fill,
    end: () => rm(join(disk, 'filler')),
    refusal: { code: 'no_space', message: expect.stringContaining(`the disk of `) as string },
  },
  {
    name: 'read-only',
    begin: () => runCommand('mount', ['-o', 'remount,ro', disk]),
    end: () => runCommand('mount', ['-o', 'remount,rw', disk]),
    refusal: { code: 'unavailable', message: expect.stringContaining(`store in `) as string },
  },
];

test.each(faults)(
  'a manager starts on a $name disk, serves reads, refuses writes and says why, and recovers by itself',
  async ({ begin, end, refusal }) => {
    await start({});
    await volume('before');
    await stop();
    await begin();
    await start();
    expect(await volumeNames()).toEqual(['before']);
    await expect(volume('meanwhile')).rejects.toMatchObject(refusal);
    for (const path of ['/applications', '/tasks', '/nodes']) {
      expect(await client.request('GET', path)).toEqual([]);
      expect(client.warning).toMatch(/store/);
      expect(client.warning).toContain(disk);
    }
    await end();
    // Nobody writes: it looks by itself.
    await expect
      .poll(
        async () => {
          await client.request('GET', '/nodes');
          return client.warning;
        },
        { timeout: 10_000 },
      )
      .toBeUndefined();
    await volume('after');
    await stop();
    await start();
    expect(await volumeNames()).toEqual(['after', 'before']);
    expect((await readdir(folder)).filter((name) => name.startsWith('store-'))).toEqual([]);
  },
);

test('a disk that fills while the manager runs refuses writes whole, and loses nothing', async () => {
  await start({});
  await volume('before');
  await fill();
  const refused = { code: 'no_space' };
  // What fits into the pages of the log that is there may still be written; then nothing is.
  await expect(
    (async () => {
      for (let index = 0; index < 2_000; index++) await volume(`meanwhile-${index}`);
    })(),
  ).rejects.toMatchObject(refused);
  const names = await volumeNames();
  await stop();
  await start();
  expect(await volumeNames()).toEqual(names);
  await rm(join(disk, 'filler'));
  await expect.poll(() => volume('after').catch(() => undefined), { timeout: 10_000 }).toBeDefined();
});

test('a daemon can be started on a read-only disk, once', async () => {
  lockState(disk, folder).release();
  await runCommand('mount', ['-o', 'remount,ro', disk]);
  const lock = lockState(disk, folder);
  expect(() => lockState(disk, folder)).toThrow(/another shoal daemon/);
  lock.release();
  lockState(disk, folder).release();
  await runCommand('mount', ['-o', 'remount,rw', disk]);
});

test('of a removed secret nothing is left in any file, whatever was written around it', async () => {
  await start({});
  const marker = 'CONFIDENTIAL-b64-';
  const sizes = [20, 200, 2_000, 20_000, 100_000];
  for (let round = 0; round < 3; round++) {
    for (const [index, size] of sizes.entries()) {
      const data = Buffer.from(marker.repeat(Math.ceil(size / marker.length))).toString('base64');
      await client.request('POST', '/secrets', { name: `s${round}-${index}`, data });
      await volume(`v${round}-${index}`);
    }
    for (const index of [2, 0, 4, 1, 3]) await client.request('DELETE', `/secrets/s${round}-${index}`);
  }
  const needle = Buffer.from(marker.repeat(3)).toString('base64').slice(0, 24);
  const found: string[] = [];
  for (const entry of await readdir(disk, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if ((await readFile(path)).includes(needle)) found.push(path);
  }
  expect(found).toEqual([]);
});
