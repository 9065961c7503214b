import { expect, test } from 'vitest';
import { planImages } from './image-use.ts';

const plan = (image: { usedAt?: number }, more: { inUse?: boolean; seen?: number } = {}) =>
  planImages(
    [{ name: 'a', ...image }],
    new Set(more.inUse ? ['a'] : []),
    new Map(more.seen === undefined ? [] : [['a', more.seen]]),
    { now: 1000, unusedMs: 100 },
  );

test('an image that has been of no use for longer than the limit goes', () => {
  expect(plan({ usedAt: 899 })).toEqual({ remove: ['a'], mark: [] });
  expect(plan({ usedAt: 900 })).toEqual({ remove: [], mark: [] });
});

test('an image in use stays, however old its record, and the record is brought up to date', () => {
  expect(plan({ usedAt: 1 }, { inUse: true })).toEqual({ remove: [], mark: [{ name: 'a', usedAt: 1000 }] });
  expect(plan({ usedAt: 1 }, { seen: 950 })).toEqual({ remove: [], mark: [{ name: 'a', usedAt: 950 }] });
  expect(plan({ usedAt: 1 }, { seen: 2 })).toMatchObject({ remove: ['a'] });
});

test('an image without a record begins to count now', () => {
  expect(plan({})).toEqual({ remove: [], mark: [{ name: 'a', usedAt: 1000 }] });
});
