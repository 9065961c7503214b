import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/manual-clock.ts';
import { sampleNode } from '../../test/samples.ts';
import type { ViewChange } from '../store/objects.ts';
import { viewOf } from '../store/view.ts';
import { Stamps } from './stamps.ts';

const startMs = 1_000_000;
let clock: ManualClock;
let tell: (change: ViewChange) => void;

beforeEach(() => {
  clock = new ManualClock();
  clock.advance(startMs);
});

function stampsBeside(...stored: number[]): Stamps {
  const nodes = stored.map((updatedAt) => sampleNode(String(updatedAt), { updatedAt }));
  const onChange = (callback: typeof tell) => {
    tell = callback;
    return () => undefined;
  };
  return new Stamps({ view: viewOf({ nodes }), onChange }, clock);
}

function write(updatedAt: number): void {
  const change = { kind: 'node' as const, id: 'a', before: undefined, after: sampleNode('a', { updatedAt }) };
  tell({ kinds: new Set(['node']), objects: [change] });
}

test('a manager that takes over goes on with the clock of the one before, and comes back to its own', () => {
  const stamps = stampsBeside();
  clock.advance(100_000);
  write(clock.now() - 5_000); // another host wrote it just now, with its clock
  const taken = stamps.clock();
  expect(taken.now()).toBe(clock.now() - 5_000);
  clock.advance(10_000);
  expect(taken.now()).toBe(clock.now() - 4_000);
  clock.advance(60_000);
  expect(taken.now()).toBe(clock.now());
});

test('what is seen late does not make the clock of the one before seem slower', () => {
  const stamps = stampsBeside();
  write(clock.now() + 3_000);
  clock.advance(20_000);
  write(clock.now() - 7_000); // read again after a pause
  expect(stamps.clock().now()).toBe(clock.now() + 3_000);
  clock.advance(61_000);
  write(clock.now() + 1_000);
  expect(stamps.clock().now()).toBe(clock.now() + 1_000);
});

test('nothing is stamped earlier than what is stored, unless a clock was plainly wrong', () => {
  expect(
    stampsBeside(5, startMs + 2_000)
      .clock()
      .now(),
  ).toBe(startMs + 2_000);
  expect(stampsBeside(5).clock().now()).toBe(startMs);
  expect(
    stampsBeside(startMs + 3_600_000)
      .clock()
      .now(),
  ).toBe(startMs);
});
