import { expect, test } from 'vitest';
import type { VolumeMove } from '../../src/spec/resource.ts';
import { sampleVolume } from '../../test/samples.ts';
import { abandoned, advanced, arrived, isCloseEnough, limitOf, stopping } from './state.ts';

const mebibyte = 1024 * 1024;
const move: VolumeMove = {
  id: 'm',
  what: 'move',
  from: { nodeId: 'a', hostname: 'a' },
  to: { nodeId: 'b', hostname: 'b' },
  state: 'copying',
  by: 'alice',
  message: '',
  startedAt: 1_000,
  timeoutMs: 60_000,
  stopTimeoutMs: 10_000,
  passes: 0,
  sentBytes: 0,
};
const volume = sampleVolume('data', { home: move.from, nodeIds: ['a'], move });

test.each([
  [[], false],
  [[63], true],
  [[500], false],
  [[500, 300], false],
  [[500, 450], true],
  [[900, 700, 500, 300], false],
  [[900, 700, 500, 300, 200], true],
])('after passes of %j MiB it is %j that tasks are stopped', (sent, expected) => {
  expect(isCloseEnough(sent.map((count) => count * mebibyte))).toBe(expected);
});

test('a volume is held while its tasks are stopped, and is elsewhere at the end of a move alone', () => {
  const held = stopping(volume, 'm', 5_000);
  expect(held).toMatchObject({ held: true, home: move.from, move: { state: 'stopping', stoppedAt: 5_000 } });
  const there = arrived(held, 'm', 6_000);
  expect(there).toMatchObject({
    home: move.to,
    nodeIds: ['a', 'b'],
    move: { state: 'done', endedAt: 6_000 },
  });
  expect(there).not.toHaveProperty('held');
  expect(arrived({ ...held, move: { ...held.move!, what: 'copy' } }, 'm', 6_000).home).toEqual(move.from);
  const back = abandoned(held, 'm', { state: 'failed', message: 'no room', now: 6_000 });
  expect(back).toMatchObject({ home: move.from, move: { state: 'failed', message: 'no room' } });
  expect(back).not.toHaveProperty('held');
  expect(() => advanced(back, 'm', {})).toThrow('The move is over');
  expect(() => advanced(volume, 'other', {})).toThrow('The move is over');
});

test('the nearer limit counts', () => {
  expect(limitOf(move, 11_000)).toEqual({ remainingMs: 50_000, what: 'It took longer than 60 s' });
  const stopped = { ...move, stoppedAt: 20_000 };
  expect(limitOf(stopped, 21_000)).toMatchObject({
    remainingMs: 9_000,
    what: expect.stringContaining('stopped for longer than 10 s'),
  });
  expect(limitOf({ ...stopped, stoppedAt: 55_000 }, 56_000).remainingMs).toBe(5_000);
});
