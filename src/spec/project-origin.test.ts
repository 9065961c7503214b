import { describe, expect, test } from 'vitest';
import { isSameOrigin, normalisedRemote, originWords, type ProjectOrigin } from './project-origin.ts';

describe('normalisedRemote()', () => {
  test.each([
    ['https://github.com/org/shop.git', 'github.com/org/shop'],
    ['git@github.com:org/shop.git', 'github.com/org/shop'],
    ['ssh://git@GitHub.com:22/org/shop/', 'github.com/org/shop'],
    ['git+ssh://git@git.example:2222/org/shop', 'git.example/org/shop'],
    ['host:shop', 'host/shop'],
    ['https://[2001:db8::1]:8443/shop.git', '[2001:db8::1]/shop'],
  ])('is the same whatever %s is fetched by', (url, remote) => {
    expect(normalisedRemote(url)).toBe(remote);
  });

  test.each([
    'https://ann:s3cret@github.com/org/shop.git',
    'https://s3cret@github.com/org/shop.git?token=s3cret#s3cret',
    'https://ann:s3c@s3cret@github.com/org/shop.git',
    'ann:s3cret@github.com:org/shop.git',
    'oauth2:s3cret@github.com:org/shop.git',
  ])('keeps no user, password or token of %s', (url) => {
    expect(normalisedRemote(url)).toBe('github.com/org/shop');
  });

  test.each(['', '/srv/git/shop.git', '../shop', 'file:///srv/git/shop', 'https://', 'https://host/', 'C'])(
    'is undefined for %j, which no other machine knows',
    (url) => {
      expect(normalisedRemote(url)).toBeUndefined();
    },
  );

  test('is undefined for a remote that is longer than what is stored', () => {
    expect(normalisedRemote(`https://host/${'x'.repeat(600)}`)).toBeUndefined();
  });
});

describe('isSameOrigin()', () => {
  const plain: ProjectOrigin = { machine: 'desk', folder: '/home/ann/shop' };
  const checkout: ProjectOrigin = { ...plain, repository: { remote: 'github.com/org/shop', path: 'deploy' } };

  test.each<[string, boolean, ProjectOrigin, ProjectOrigin]>([
    ['the same folder of the same machine', true, plain, plain],
    ['another folder', false, plain, { ...plain, folder: '/home/ann/other' }],
    ['another machine', false, plain, { ...plain, machine: 'laptop' }],
    ['a machine of the same name', false, { ...plain, machineId: 'a' }, { ...plain, machineId: 'b' }],
    ['a machine whose id is not told', true, { ...plain, machineId: 'a' }, plain],
    [
      'another checkout elsewhere',
      true,
      checkout,
      { ...checkout, machine: 'runner-7', folder: '/builds/shop/deploy' },
    ],
    [
      'another folder of the repository',
      false,
      checkout,
      { ...checkout, repository: { ...checkout.repository!, path: 'test' } },
    ],
    [
      'another repository in the same folder',
      false,
      checkout,
      { ...checkout, repository: { ...checkout.repository!, remote: 'github.com/org/wiki' } },
    ],
    ['the folder from before it was in a repository', true, plain, checkout],
  ])('of %s is %s', (_, is, left, right) => {
    expect([isSameOrigin(left, right), isSameOrigin(right, left)]).toEqual([is, is]);
  });

  test('is said with machine, folder and what they are a part of', () => {
    expect(originWords(plain)).toBe('/home/ann/shop on desk');
    expect(originWords(checkout)).toBe('/home/ann/shop on desk (github.com/org/shop, deploy)');
  });
});
