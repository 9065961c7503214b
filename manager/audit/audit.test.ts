import { appendFileSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { Audit, failuresPerMinuteMax, waitingEntriesMax } from './audit.ts';
import type { AuditFileLimits } from './files.ts';

let folder: string;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'shoal-audit-')), 'audit');
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

function open(limits: AuditFileLimits = {}): Promise<Audit> {
  return Audit.open({ folder, clock: systemClock, log: silentLogger, ...limits });
}

function done(path: string) {
  return { caller: { kind: 'local' as const }, method: 'PUT', path, status: 200 };
}

function failed(path: string) {
  return { ...done(path), status: 403, error: 'permission_denied' };
}

test('entries are on disk for their owner alone, and go on where they ended after a restart', async () => {
  const first = await open();
  first.record(done('/a'), 'local');
  first.record(done('/b'), 'local');
  await first.stop();
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, 'audit.log')).mode & 0o777).toBe(0o600);
  const second = await open();
  second.record(done('/c'), 'local');
  const { entries, problem } = await second.read(10);
  await second.stop();
  expect(problem).toBeUndefined();
  expect(entries.map(({ id, path }) => [id, path])).toEqual([
    [1, '/a'],
    [2, '/b'],
    [3, '/c'],
  ]);
});

test('a page holds the newest entries, and the next one those before it, across files', async () => {
  const audit = await open({ fileBytesMax: 1_000, filesMax: 4 });
  for (let index = 1; index <= 20; index++) {
    audit.record(done(`/${index}`), 'local');
    await expect.poll(async () => (await audit.read(1)).entries[0]?.path).toBe(`/${index}`);
  }
  await audit.stop();
  const ids = async (limit: number, before?: number) =>
    (await audit.read(limit, before)).entries.map(({ id }) => id);
  expect(await ids(3)).toEqual([18, 19, 20]);
  expect(await ids(5, 18)).toEqual([13, 14, 15, 16, 17]);
});

test('the files never take more than their limits, and the oldest entries go', async () => {
  const audit = await open({ fileBytesMax: 2_000, filesMax: 3 });
  for (let round = 0; round < 30; round++) {
    for (let index = 0; index < 5; index++) audit.record(done('/x'.repeat(20)), 'local');
    await systemClock.sleep(3);
  }
  await audit.stop();
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  expect(sizes.length).toBe(3);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2_000);
  expect((await audit.read(1)).entries[0]?.id).toBe(150);
});

test('entries that waited together are spread over the files, too', async () => {
  const audit = await open({ fileBytesMax: 2_000, filesMax: 30 });
  for (let index = 0; index < 100; index++) audit.record(done('/x'.repeat(20)), 'local');
  await audit.stop();
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(2_000);
  expect((await audit.read(200)).entries.map(({ id }) => id)).toEqual(
    Array.from({ length: 100 }, (_, index) => index + 1),
  );
});

test('failed attempts of one caller are bounded, counted, and leave those of others alone', async () => {
  const audit = await open();
  for (let index = 0; index < failuresPerMinuteMax + 25; index++) audit.record(failed('/join'), 'anonymous');
  audit.record(failed('/tokens'), 'administrator viewer');
  audit.record(done('/own'), 'local');
  const { entries } = await audit.read(1_000);
  await audit.stop();
  expect(entries.filter(({ path }) => path === '/join')).toHaveLength(failuresPerMinuteMax);
  expect(entries.at(-2)).toMatchObject({ path: '/tokens', omitted: 25 });
  expect(entries.at(-1)).toMatchObject({ path: '/own' });
});

test('a log that cannot be written keeps what it can, says so, and is written when it can be', async () => {
  await writeFile(folder, 'a file where the folder should be');
  const audit = await open();
  for (let index = 0; index < waitingEntriesMax + 10; index++) audit.record(done('/x'), 'local');
  await expect.poll(async () => (await audit.read(1)).problem).toMatch(/EEXIST|ENOTDIR/);
  expect((await audit.read(2_000)).entries).toHaveLength(waitingEntriesMax);
  await rm(folder);
  await expect.poll(async () => (await audit.read(1)).problem, { timeout: 10_000 }).toBeUndefined();
  audit.record(done('/after'), 'local');
  await audit.stop();
  const { entries } = await (await open()).read(2_000);
  expect(entries).toHaveLength(waitingEntriesMax + 1);
  expect(entries.at(-1)).toMatchObject({ path: '/after', omitted: 10 });
});

test('a line that a power failure cut off is left out, and nothing before or after it', async () => {
  const first = await open();
  first.record(done('/a'), 'local');
  await first.stop();
  appendFileSync(join(folder, 'audit.log'), '{"id":2,"at":"2026-\n');
  const second = await open();
  second.record(done('/b'), 'local');
  expect((await second.read(10)).entries.map(({ path }) => path)).toEqual(['/a', '/b']);
  await second.stop();
});
