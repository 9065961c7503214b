import { expect, test } from 'vitest';
import { Budget, ResolverMemory, silenceMs } from './resolvers.ts';

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
