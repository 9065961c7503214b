import { expect, test } from 'vitest';
import { groupsOf } from './groups.ts';

test('groupsOf() cuts by characters and by texts, keeps the order, and lets a long one go alone', () => {
  const groups = (texts: string[]) => [...groupsOf(texts, { charactersMax: 4, textsMax: 3 })];
  expect(groups([])).toEqual([]);
  expect(groups(['aa', 'bb', 'c'])).toEqual([['aa', 'bb'], ['c']]);
  expect(groups(['a', 'b', 'c', 'd'])).toEqual([['a', 'b', 'c'], ['d']]);
  expect(groups(['a', 'longer', 'b'])).toEqual([['a'], ['longer'], ['b']]);
});
