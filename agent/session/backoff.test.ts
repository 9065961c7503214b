import { expect, test } from 'vitest';
import { failuresAfter, goodSessionMs, waitCeilingMs, type Attempt } from './backoff.ts';

const good: Attempt = { opened: true, applied: true, livedMs: goodSessionMs };

/** How long at most is waited after each of these attempts in a row. */
function ceilings(attempts: Attempt[]): number[] {
  let failures = 0;
  return attempts.map((attempt) => {
    failures = failuresAfter(failures, attempt);
    return waitCeilingMs(failures, attempt);
  });
}

test('after a session that was of use the next attempt is made at once', () => {
  expect(ceilings([good, { ...good, livedMs: 1e9 }])).toEqual([0, 0]);
});

test('sessions that open and end before anything was applied are tried later and later', () => {
  const useless = { opened: true, applied: false, livedMs: 1e6 };
  const waits = ceilings(Array.from({ length: 12 }, () => useless));
  expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(waits.at(-1)).toBe(8_000);
});

test('sessions that are ended as soon as they have applied something are tried later and later', () => {
  const short = { opened: true, applied: true, livedMs: 200 };
  expect(ceilings(Array.from({ length: 12 }, () => short)).at(-1)).toBe(8_000);
});

test('while nobody answers attempts stay frequent, for a manager that is back must be found in time', () => {
  const unopened = { opened: false, applied: false, livedMs: 0 };
  expect(ceilings(Array.from({ length: 12 }, () => unopened)).at(-1)).toBe(800);
});
