import { expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { seededRandom } from './random.ts';
import { backoffMs, retry } from './retry.ts';

function instantClock(): Clock & { slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    monotonic: () => 0,
    now: () => 0,
    sleep: (ms) => Promise.resolve(void slept.push(ms)),
    after: () => () => undefined,
  };
}

test('backoffMs() doubles up to its limit and jitters by at most a half', () => {
  const random = seededRandom(1);
  for (let attempt = 1; attempt <= 40; attempt++) {
    const ceiling = Math.min(8_000, 100 * 2 ** (attempt - 1));
    const delay = backoffMs(attempt, random);
    expect(delay).toBeGreaterThanOrEqual(Math.floor(ceiling / 2));
    expect(delay).toBeLessThanOrEqual(ceiling);
  }
});

test('retry() returns at once on first success', async () => {
  const clock = instantClock();
  expect(await retry(() => Promise.resolve('done'), { attempts: 3, clock })).toBe('done');
  expect(clock.slept).toEqual([]);
});

test('retry() tries as often as it may and throws the last error', async () => {
  const clock = instantClock();
  let calls = 0;
  const work = () => Promise.reject(new Error(`attempt ${++calls}`));
  await expect(retry(work, { attempts: 3, clock, random: seededRandom(2) })).rejects.toThrow('attempt 3');
  expect(clock.slept).toHaveLength(2);
});

test('retry() gives up at once on an error that is not worth another attempt', async () => {
  let calls = 0;
  const work = () => Promise.reject(new Error(`attempt ${++calls}`));
  await expect(retry(work, { attempts: 9, retryable: () => false })).rejects.toThrow('attempt 1');
});
