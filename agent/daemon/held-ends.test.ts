import { expect, test } from 'vitest';
import { ManualClock } from '../../test/manual-clock.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { HeldEnds, heldMsMax, newlyEnding } from './held-ends.ts';

const task = (id: string, desiredState: AssignedTask['desiredState']) =>
  [id, { id, desiredState } as AssignedTask] as const;
const tasks = (...entries: (readonly [string, AssignedTask])[]) => new Map(entries);
const statesOf = (of: ReadonlyMap<string, AssignedTask>) =>
  [...of.values()].map(({ id, desiredState }) => `${id} ${desiredState}`);

const before = tasks(
  task('stays', 'running'),
  task('ends', 'running'),
  task('gone', 'running'),
  task('ending', 'shutdown'),
  task('waits', 'ready'),
);
const after = tasks(
  task('stays', 'running'),
  task('ends', 'shutdown'),
  task('ending', 'remove'),
  task('new', 'running'),
);

test('what ran on and is to end now, or is not assigned any more, is newly ending', () => {
  expect([...newlyEnding(before, after).keys()]).toEqual(['ends', 'gone']);
});

test('what is held goes on as it was, beside everything that is new, until it is released', () => {
  const ends = new HeldEnds(new ManualClock(), () => expect.unreachable());
  ends.hold(newlyEnding(before, after));
  expect(statesOf(ends.over(after)).toSorted()).toEqual([
    'ending remove',
    'ends running',
    'gone running',
    'new running',
    'stays running',
  ]);
  ends.release();
  expect(ends.over(after)).toBe(after);
});

test('a task that is wanted again meanwhile is as the manager says', () => {
  const ends = new HeldEnds(new ManualClock(), () => undefined);
  ends.hold(newlyEnding(before, after));
  const again = { ...before.get('ends')! };
  expect(ends.over(tasks(['ends', again])).get('ends')).toBe(again);
});

test('nothing is held for longer than the limit, however often more is held', () => {
  const clock = new ManualClock();
  let late = 0;
  const ends = new HeldEnds(clock, () => late++);
  ends.hold(tasks(task('one', 'running')));
  clock.advance(heldMsMax - 1);
  ends.hold(tasks(task('two', 'running')));
  expect(ends.held.size).toBe(2);
  clock.advance(1);
  expect([ends.held.size, late, clock.timers]).toEqual([0, 1, 0]);
});

test('what is released in time is not told to be late', () => {
  const clock = new ManualClock();
  const ends = new HeldEnds(clock, () => expect.unreachable());
  ends.hold(tasks(task('one', 'running')));
  ends.release();
  clock.advance(heldMsMax);
  expect(clock.timers).toBe(0);
});

test('a look that began before something was held does not see what is held now', () => {
  const ends = new HeldEnds(new ManualClock(), () => undefined);
  const seen = ends.held;
  ends.hold(tasks(task('one', 'running')));
  expect(ends.held).not.toBe(seen);
});
