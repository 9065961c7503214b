import { expect, test } from 'vitest';
import { AttemptBudget } from './attempts.ts';

test('each caller has so many a minute, and the next minute as many again', () => {
  const budget = new AttemptBudget(2);
  const takes = (caller: string, at: number) => budget.take(caller, at);
  expect([takes('a', 0), takes('a', 1), takes('a', 2), takes('b', 3)]).toEqual([true, true, false, true]);
  expect(budget.isSpent('a', 59_999)).toBe(true);
  expect([takes('a', 60_000), takes('a', 60_001), takes('a', 60_002)]).toEqual([true, true, false]);
});

test('callers beyond those that are counted apart share one budget', () => {
  const budget = new AttemptBudget(1);
  for (let caller = 0; caller < 1_000; caller++) expect(budget.take(`caller ${caller}`, 0)).toBe(true);
  expect([budget.take('one more', 0), budget.take('another', 0)]).toEqual([true, false]);
});
