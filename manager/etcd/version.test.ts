import { expect, test } from 'vitest';
import { codeOf } from '../../src/util/errors.ts';
import { checkEtcdVersion, formatEtcdVersion, parseEtcdVersion } from './version.ts';

const verdict = (text: string) => {
  try {
    return checkEtcdVersion(parseEtcdVersion(`etcd Version: ${text}\nGit SHA: 1\n`)) === undefined
      ? 'good'
      : 'warned';
  } catch (error) {
    return codeOf(error);
  }
};

test('checkEtcdVersion() refuses what loses writes or is not known, and warns of old ones', () => {
  expect(Object.fromEntries(['3.4.23', '3.4.42', '3.4.45'].map((text) => [text, verdict(text)]))).toEqual({
    '3.4.23': 'warned',
    '3.4.42': 'good',
    '3.4.45': 'good',
  });
  expect(['3.5.0', '3.5.2', '3.5.3', '3.5.27', '3.5.28'].map(verdict)).toEqual([
    'not_supported',
    'not_supported',
    'warned',
    'warned',
    'good',
  ]);
  expect(['3.6.8', '3.6.9', '3.6.0-rc.1'].map(verdict)).toEqual(['warned', 'good', 'warned']);
  expect(['3.3.27', '3.7.1', '4.0.0', 'unknown', ''].map(verdict)).toEqual(Array(5).fill('not_supported'));
});

test('parseEtcdVersion() reads what Debian prints', () => {
  const text =
    'etcd Version: 3.4.23\nGit SHA: Not provided (use ./build instead of go build)\nGo Version: go1.19.8\n';
  expect(formatEtcdVersion(parseEtcdVersion(text))).toBe('3.4.23');
});

test('checkEtcdVersion() says which version to upgrade to', () => {
  expect(checkEtcdVersion({ major: 3, minor: 5, patch: 9 })).toMatch(
    /^etcd 3\.5\.9 has known faults .*3\.5\.28/,
  );
});
