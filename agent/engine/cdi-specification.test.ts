import { describe, expect, test } from 'vitest';
import { parseCdi } from './cdi-specification.ts';

const nothing = { env: [], deviceNodes: [], mounts: [], hooks: [], additionalGids: [] };
const withEdits = (edits: object) =>
  JSON.stringify({ kind: 'vendor.com/net', devices: [{ name: 'a', containerEdits: edits }] });

test('what a specification leaves out has its default', () => {
  const text = withEdits({
    deviceNodes: [{ path: '/dev/a' }],
    mounts: [{ hostPath: '/h', containerPath: '/c' }],
    hooks: [{ hookName: 'prestart', path: '/bin/true' }],
  });
  expect(parseCdi(text)).toEqual({
    kind: 'vendor.com/net',
    edits: nothing,
    devices: [
      {
        name: 'a',
        edits: {
          ...nothing,
          deviceNodes: [{ path: '/dev/a', hostPath: '/dev/a', permissions: 'rwm' }],
          mounts: [{ hostPath: '/h', containerPath: '/c', options: [] }],
          hooks: [{ hookName: 'prestart', path: '/bin/true' }],
        },
      },
    ],
  });
});

describe('what cannot be honoured is refused:', () => {
  test.each([
    ['[', 'Cannot read the device specification'],
    ['5', 'there must be a map'],
    ['{ "kind": "net" }', 'kind is malformed'],
    ['{ "kind": "a.b/c", "devices": [{ "name": "a b" }] }', 'name is malformed'],
    [withEdits({ env: [5] }), 'there must be strings'],
    [withEdits({ deviceNodes: [{ path: 'dev' }] }), 'path is malformed'],
    [withEdits({ deviceNodes: [{ path: '/dev/a', permissions: 'x' }] }), 'permissions is malformed'],
    [withEdits({ deviceNodes: [{ path: '/dev/a', uid: -1 }] }), 'uid must be a number'],
    [withEdits({ hooks: [{ hookName: 'later', path: '/a' }] }), 'hookName is not known'],
    [withEdits({ mounts: {} }), 'there must be a list'],
    [withEdits({ intelRdt: {} }), 'intelRdt is not supported'],
  ])('%.70s', (text, expected) => {
    expect(() => parseCdi(text)).toThrow(expected);
  });
});
