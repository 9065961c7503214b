import { expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { slowCallMs, Slowness, type Slow } from './slowness.ts';

function watched() {
  vi.useFakeTimers();
  const told: Slow[] = [];
  const slowness = new Slowness(systemClock, (slow) => told.push(slow));
  return { slowness, told };
}

test('a call that hangs names its container until the engine knows again what that does', () => {
  const { slowness, told } = watched();
  const end = slowness.begin('Tasks.Kill', 'a');
  slowness.begin('Tasks.Kill', 'b')('answered');
  vi.advanceTimersByTime(slowCallMs);
  expect(told).toEqual([{ engine: false, containers: ['a'] }]);
  end('timed out');
  expect(slowness.doubts('a')).toBe(true);
  slowness.seen(['a']);
  expect(told).toHaveLength(1);
  slowness.seen([]);
  expect(told.at(-1)).toEqual({ engine: false, containers: [] });
  expect(slowness.doubts('a')).toBe(false);
});

test('an engine that hangs is told of before its calls have timed out, and until any call is answered', () => {
  const { slowness, told } = watched();
  const end = slowness.begin('Containers.List', undefined);
  vi.advanceTimersByTime(slowCallMs);
  expect(told).toEqual([{ engine: true, containers: [] }]);
  end('timed out');
  expect(told).toHaveLength(1);
  slowness.begin('Version.Version', undefined)('answered');
  expect(told.at(-1)).toEqual({ engine: false, containers: [] });
});

test('an engine that is away for a moment is not slow, and is after seconds', () => {
  const { slowness, told } = watched();
  slowness.begin('Version.Version', undefined)('away');
  expect(told).toEqual([]);
  vi.advanceTimersByTime(slowCallMs);
  slowness.begin('Version.Version', undefined)('away');
  expect(told).toEqual([{ engine: true, containers: [] }]);
  slowness.begin('Version.Version', undefined)('answered');
  expect(told.at(-1)).toEqual({ engine: false, containers: [] });
});

test('what may take long is not watched', () => {
  const { slowness, told } = watched();
  slowness.begin('Tasks.Wait', 'a');
  slowness.begin('Diff.Apply', undefined);
  vi.advanceTimersByTime(10 * 60_000);
  expect(told).toEqual([]);
});
