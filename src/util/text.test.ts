import { expect, test } from 'vitest';
import { count, editDistance, formatBytes, formatDuration, nearest, printable } from './text.ts';

test('editDistance() counts changes, insertions, removals and swaps of neighbours', () => {
  expect(editDistance('ports', 'ports')).toBe(0);
  expect(editDistance('prots', 'ports')).toBe(1);
  expect(editDistance('port', 'ports')).toBe(1);
  expect(editDistance('image', 'imagine')).toBe(2);
  expect(editDistance('', 'abc')).toBe(3);
});

test('nearest() suggests a near word and nothing for a far one', () => {
  expect(nearest('enviroment', ['environment', 'entrypoint'])).toBe('environment');
  expect(nearest('zzz', ['environment', 'entrypoint'])).toBeUndefined();
  expect(nearest('x'.repeat(100_000), ['x'])).toBeUndefined();
});

test('count() uses the plural for every number but one', () => {
  expect([0, 1, 2].map((amount) => count(amount, 'node'))).toEqual(['0 nodes', '1 node', '2 nodes']);
});

test('formatDuration() takes the largest whole unit', () => {
  expect([400, 59_400, 60_000, 7_200_000, 200_000_000].map(formatDuration)).toEqual([
    '0s',
    '59s',
    '1m',
    '2h',
    '2d',
  ]);
});

test('printable() shows escape sequences and direction marks instead of obeying them', () => {
  expect(printable('a\u001b[31mb\u202ec\td\n')).toBe('a\\x1b[31mb\\x202ec\td\n');
});

test('formatBytes() takes the largest unit that gives one or more', () => {
  expect([0, 512, 1536, 16 * 2 ** 20, 2.25 * 2 ** 30].map(formatBytes)).toEqual([
    '0 B',
    '512 B',
    '1.5 KiB',
    '16 MiB',
    '2.3 GiB',
  ]);
});
