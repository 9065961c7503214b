import { expect, test } from 'vitest';
import { resolveUser } from './user.ts';

const accounts = {
  passwd:
    'root:x:0:0::/root:/bin/sh\nweb:x:1500:1600::/:/bin/sh\n33:x:7:8::/:\nbroken line\nhuge:x:99999999999:0::/:\n',
  group: 'root:x:0:\nwheel:x:10:root,web\nweb:x:1600:web\nlogs:x:1700:web\n',
};

test('users and groups are resolved by name, by number, and with their other groups', () => {
  const cases: Record<string, [number, number, number[]]> = {
    '': [0, 0, [10]],
    root: [0, 0, [10]],
    web: [1500, 1600, [10, 1700]],
    '1500': [1500, 1600, [10, 1700]],
    '33': [7, 8, []],
    '4000': [4000, 0, []],
    'web:logs': [1500, 1700, []],
    'web:5': [1500, 5, []],
    '4000:4001': [4000, 4001, []],
    ':logs': [0, 1700, []],
  };
  for (const [text, [uid, gid, additionalGids]] of Object.entries(cases)) {
    expect(resolveUser(text, accounts), text).toEqual({ uid, gid, additionalGids });
  }
});

test('a name that the image does not have is an error, and so is a number out of range', () => {
  for (const text of ['nobody', 'huge', '99999999999', 'web:nobody']) {
    expect(() => resolveUser(text, accounts), text).toThrow(/the image has no such (?:user|group)/);
  }
});

test('an image without user database runs as root', () => {
  expect(resolveUser('', { passwd: '', group: '' })).toEqual({ uid: 0, gid: 0, additionalGids: [] });
});
