import { expect, test } from 'vitest';
import { differenceOf } from './difference.ts';
import type { LocalEntry } from './listing.ts';

function entry(path: string, changes: Partial<LocalEntry> = {}): LocalEntry {
  const own = { mode: 0o644, uid: 0, gid: 0, size: 1, mtime: '1', digest: path };
  return { path, kind: 'file', ...own, stamp: path, changedAt: 1, inode: path, bytes: 10, ...changes };
}
function folder(path: string): LocalEntry {
  const { digest: _, ...rest } = entry(path, { kind: 'directory', size: 0, bytes: 0 });
  return rest;
}
const listing = (...entries: LocalEntry[]) => new Map(entries.map((each) => [each.path, each]));
const sure = () => false;

test('two hosts that have the same have no difference, and a file without a digest is one', () => {
  const source = listing(folder('.'), folder('a'), entry('a/one'), entry('two'));
  expect(differenceOf(source, source, sure)).toEqual({ changed: [], removed: [], bytes: 0 });
  const { digest: _, ...unread } = entry('two');
  const other = listing(folder('.'), folder('a'), entry('a/one'), unread);
  expect(differenceOf(other, source, sure)).toEqual({ changed: ['.', 'two'], removed: [], bytes: 10 });
});

test.each<[string, Partial<LocalEntry>]>([
  ['content', { digest: 'x' }],
  ['size', { size: 2 }],
  ['time', { mtime: '2' }],
  ['permissions', { mode: 0o600 }],
  ['owner', { uid: 1 }],
  ['group', { gid: 1 }],
])('another %s is sent, with the folder that it is in', (_, changes) => {
  const source = listing(folder('.'), folder('a'), entry('a/one', changes));
  const target = listing(folder('.'), folder('a'), entry('a/one'));
  expect(differenceOf(source, target, sure).changed).toEqual(['a', 'a/one']);
});

test('what may have changed unseen is sent', () => {
  const source = listing(folder('.'), entry('one'), entry('two'));
  expect(differenceOf(source, source, ({ path }) => path === 'two').changed).toEqual(['.', 'two']);
});

test('all names of a file are sent together, and its bytes count once', () => {
  const source = listing(
    folder('.'),
    entry('a', { inode: 'x' }),
    entry('b', { inode: 'x', sameAs: 'a' }),
    entry('c', { inode: 'x', sameAs: 'a' }),
  );
  const target = listing(folder('.'), entry('a', { inode: 'y' }), entry('b', { inode: 'y', sameAs: 'a' }));
  expect(differenceOf(source, target, sure)).toEqual({
    changed: ['.', 'a', 'b', 'c'],
    removed: [],
    bytes: 10,
  });
});

test('what is gone, or of another kind, is removed with all that is in it, once', () => {
  const source = listing(folder('.'), entry('a'), folder('b'), entry('b/kept'));
  const target = listing(
    folder('.'),
    folder('a'),
    entry('a/deep'),
    folder('b'),
    folder('b/c'),
    entry('b/c/d'),
    entry('b/kept'),
  );
  expect(differenceOf(source, target, sure)).toMatchObject({
    changed: ['.', 'a', 'b'],
    removed: ['a', 'b/c'],
  });
});
