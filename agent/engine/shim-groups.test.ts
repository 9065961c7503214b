import { expect, test } from 'vitest';
import { shimContainersMax, ShimGroups } from './shim-groups.ts';

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

const nothing = () => Promise.resolve();

/** Gives each a place and begins to make it. */
function joinAll(
  groups: ShimGroups,
  group: string,
  ids: string[],
  create: (id: string) => () => Promise<void>,
) {
  return ids.map((id) => {
    groups.place(group, id);
    return groups.join(id, create(id));
  });
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

test('the first of a shim begins alone, the others side by side after it', async () => {
  const groups = new ShimGroups();
  const { begun, ends, create } = recorder();
  const joined = joinAll(groups, 'web', ['a', 'b', 'c'], create);
  const other = joinAll(groups, 'store', ['x'], create);
  expect(begun).toEqual(['a', 'x']);
  ends.get('a')!.resolve();
  await joined[0];
  await turns();
  expect(begun).toEqual(['a', 'x', 'b', 'c']);
  for (const id of ['b', 'c', 'x']) ends.get(id)!.resolve();
  await Promise.all([...joined, ...other]);
});

test('when the first fails the next one begins alone, and the failure is told to the first', async () => {
  const groups = new ShimGroups();
  const { begun, ends, create } = recorder();
  const [first, second] = joinAll(groups, 'web', ['a', 'b'], create);
  ends.get('a')!.reject(new Error('no shim'));
  await expect(first).rejects.toThrow('no shim');
  await turns();
  expect(begun).toEqual(['a', 'b']);
  ends.get('b')!.resolve();
  await second;
});

test('no shim has more containers than may end at once, those of other groups not counted', () => {
  const groups = new ShimGroups();
  const names = Array.from({ length: 2 * shimContainersMax + 1 }, (_, index) =>
    groups.place('web', `w${index}`),
  );
  const counts = Map.groupBy(names, (name) => name);
  expect([...counts.values()].map(({ length }) => length)).toEqual([shimContainersMax, shimContainersMax, 1]);
  expect(names).not.toContain(groups.place('store', 's'));
  expect(groups.sharing('w0')).toHaveLength(shimContainersMax);
  expect(groups.place('web', 'w0')).toBe(names[0]);
  expect(groups.place('', 'alone')).toBe('alone');
});

test('a place is free again only when its container is gone, for its end may still be to come', async () => {
  const groups = new ShimGroups();
  const ids = Array.from({ length: shimContainersMax }, (_, index) => `w${index}`);
  await Promise.all(joinAll(groups, 'web', ids, () => nothing));
  const name = groups.shimOf('w0');
  groups.leave('w0');
  expect(groups.place('web', 'early')).not.toBe(name);
  groups.forget('w0');
  expect(groups.place('web', 'late')).toBe(name);
});

test('a shim that everybody leaves takes nobody any more', async () => {
  const groups = new ShimGroups();
  await Promise.all(joinAll(groups, 'web', ['a'], () => nothing));
  const name = groups.shimOf('a');
  groups.leave('a');
  groups.leave('unknown');
  expect(groups.place('web', 'b')).not.toBe(name);
  groups.forget('a');
  groups.forget('unknown');
  expect(groups.place('web', 'c')).toBe(groups.shimOf('b'));
});

test('containers of an earlier process keep their shims, and have their places filled', () => {
  const groups = new ShimGroups();
  groups.adopt('web.x1', 'a');
  groups.adopt('store', 's'); // as earlier versions named them
  expect(groups.place('web', 'b')).toBe('web.x1');
  expect(groups.place('store', 't')).toBe('store');
  expect(groups.has('a') && !groups.has('c')).toBe(true);
});
