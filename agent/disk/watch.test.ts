import { expect, test, vi } from 'vitest';
import { HostConditions } from '../conditions/conditions.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { isNoSpace, type Space } from './space.ts';
import { DiskWatch, isFull, noSpaceHoldMs } from './watch.ts';

const mebibyte = 1024 * 1024;
const space = (freeMebibytes: number, totalMebibytes: number, freeFiles = 1000): Space => ({
  freeBytes: freeMebibytes * mebibyte,
  totalBytes: totalMebibytes * mebibyte,
  freeFiles,
  totalFiles: 1000,
});

test('a disk is full below 256 MiB or a twentieth, and has room again at twice that', () => {
  expect(isFull(space(257, 100_000), false)).toBe(false);
  expect(isFull(space(255, 100_000), false)).toBe(true);
  expect(isFull(space(511, 100_000), true)).toBe(true);
  expect(isFull(space(513, 100_000), true)).toBe(false);
  expect(isFull(space(11, 200), false)).toBe(false);
  expect(isFull(space(9, 200), false)).toBe(true);
  expect(isFull(space(19, 200), true)).toBe(true);
});

test('a disk on which no more files can be made is full, and one that does not count them is not', () => {
  expect(isFull(space(1_000, 2_000, 5), false)).toBe(true);
  expect(isFull({ ...space(1_000, 2_000, 0), totalFiles: 0 }, false)).toBe(false);
});

test('a write that found no room is told at once, for a while, with the path and how much is free', async () => {
  let elapsed = 0;
  const conditions = new HostConditions(silentLogger);
  const watch = new DiskWatch({
    disks: [
      { name: 'state', path: '/' },
      { name: 'images', path: '/etc' },
    ],
    conditions,
    clock: { ...systemClock, monotonic: () => elapsed },
    log: silentLogger,
    look: () => Promise.resolve(space(90, 200)),
  });
  watch.start();
  watch.noSpace('images');
  const message = '/etc has less than 128 MiB of 200 MiB free';
  await vi.waitFor(() => expect(conditions.list()).toEqual([{ type: 'DiskFull', message }]));
  elapsed += noSpaceHoldMs + 1;
  const again = new DiskWatch({
    disks: [{ name: 'images', path: '/etc' }],
    conditions,
    clock: systemClock,
    log: silentLogger,
    look: () => Promise.resolve(space(90, 200)),
  });
  again.start();
  await vi.waitFor(() => expect(conditions.list()).toEqual([]));
  await Promise.all([watch.stop(), again.stop()]);
});

test('what says that there is no room is found however deep it lies', () => {
  const deep = new ShoalError('engine_failed', 'Cannot unpack', {
    cause: new Error('write /var/lib/x: no space left on device'),
  });
  expect(isNoSpace(deep)).toBe(true);
  expect(isNoSpace(Object.assign(new Error('x'), { code: 'EDQUOT' }))).toBe(true);
  expect(isNoSpace(new ShoalError('no_space', 'Cannot'))).toBe(true);
  expect(isNoSpace(new Error('permission denied'))).toBe(false);
});
