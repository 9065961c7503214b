import { expect, test } from 'vitest';
import { ShimGroups } from './shim-groups.ts';

/** Records what begins and lets each end when told. */
function recorder() {
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const create = (id: string) => () => {
    begun.push(id);
    const end = Promise.withResolvers<void>();
    ends.set(id, end);
    return end.promise;
  };
  return { begun, ends, create };
}

test('the first of a group begins alone, the others side by side after it', async () => {
  const groups = new ShimGroups();
  const { begun, ends, create } = recorder();
  const joined = ['a', 'b', 'c'].map((id) => groups.join('web', id, create(id)));
  const other = groups.join('store', 'x', create('x'));
  expect(begun).toEqual(['a', 'x']);
  ends.get('a')!.resolve();
  await joined[0];
  await Promise.resolve();
  await Promise.resolve();
  expect(begun).toEqual(['a', 'x', 'b', 'c']);
  for (const id of ['b', 'c', 'x']) ends.get(id)!.resolve();
  await Promise.all([...joined, other]);
});

test('when the first fails the next one begins alone, and the failure is told to the first', async () => {
  const groups = new ShimGroups();
  const { begun, ends, create } = recorder();
  const first = groups.join('web', 'a', create('a'));
  const second = groups.join('web', 'b', create('b'));
  ends.get('a')!.reject(new Error('no shim'));
  await expect(first).rejects.toThrow('no shim');
  await Promise.resolve();
  await Promise.resolve();
  expect(begun).toEqual(['a', 'b']);
  ends.get('b')!.resolve();
  await second;
});

test('a group that everybody has left begins anew', async () => {
  const groups = new ShimGroups();
  const { begun, ends, create } = recorder();
  const first = groups.join('web', 'a', create('a'));
  ends.get('a')!.resolve();
  await first;
  groups.leave('a');
  groups.leave('unknown');
  const joined = ['b', 'c'].map((id) => groups.join('web', id, create(id)));
  expect(begun).toEqual(['a', 'b']);
  ends.get('b')!.resolve();
  await joined[0];
  await Promise.resolve();
  await Promise.resolve();
  ends.get('c')!.resolve();
  await Promise.all(joined);
});
