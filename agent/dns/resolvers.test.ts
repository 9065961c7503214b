import { expect, test } from 'vitest';
import { Budget, ResolverMemory, Shares, silenceMs } from './resolvers.ts';

test('a resolver that was silent is asked last, longer each time, until it answers', () => {
  const memory = new ResolverMemory();
  const both = ['a', 'b'];
  memory.missed('a', 0, 1_000);
  expect(memory.order(both, 1_001)).toEqual(['b', 'a']);
  expect(memory.order(both, 1_001 + silenceMs.min)).toEqual(both);
  memory.missed('a', 20_000, 21_000);
  expect(memory.order(both, 21_001 + silenceMs.min)).toEqual(['b', 'a']);
  memory.answered('a', 22_000);
  expect(memory.order(both, 22_001)).toEqual(both);
});

test('a resolver that answered others meanwhile is not silent', () => {
  const memory = new ResolverMemory();
  memory.answered('a', 500);
  memory.missed('a', 0, 4_000);
  expect(memory.order(['a', 'b'], 4_001)).toEqual(['a', 'b']);
});

test('many questions that were lost at once are one silence', () => {
  const memory = new ResolverMemory();
  for (let question = 0; question < 50; question++) memory.missed('a', question, 4_000);
  expect(memory.order(['a', 'b'], 4_001 + silenceMs.min)).toEqual(['a', 'b']);
});

test('a budget is for each key alone, and what is given back can be taken again', () => {
  const budget = new Budget(2);
  expect([budget.take('a'), budget.take('a'), budget.take('a'), budget.take('b')]).toEqual([
    true,
    true,
    false,
    true,
  ]);
  budget.giveBack('a');
  expect([budget.take('a'), budget.take('a')]).toEqual([true, false]);
});

test('whatever others take, there is a place for who has none, and each has its part at the end', () => {
  const shares = new Shares(256, 64);
  const takeAll = (key: string) => {
    let taken = 0;
    while (shares.take(key)) taken++;
    return taken;
  };
  expect(['a', 'b', 'c', 'd', 'e'].map(takeAll)).toEqual([64, 64, 64, 32, 16]);
  expect(shares.take('modest')).toBe(true);
  shares.giveBack('modest');
  for (const [key, count] of [
    ['a', 64],
    ['b', 64],
    ['c', 64],
    ['d', 32],
    ['e', 16],
  ] as const) {
    for (let index = 0; index < count; index++) shares.giveBack(key);
  }
  expect(shares.isUnused).toBe(true);
  expect(takeAll('a')).toBe(64);
});
