import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/manual-clock.ts';
import { sampleNode } from '../../test/samples.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { silentLogger } from '../../src/util/log.ts';
import { until } from '../testing.ts';
import { createClusterStore, type ClusterStore } from './cluster-store.ts';
import { describeStore } from './contract.ts';
import { openDatabase } from './database.ts';
import { createMemoryStore } from './memory.ts';
import { openSqliteStore } from './sqlite.ts';
import { barrierKey, piecesOf } from './store-copy.ts';
import type { Leader, Store, Transaction } from './store.ts';

const parts = { clock: systemClock, log: silentLogger };
const settled = () => Promise.resolve();
const put = (key: string, value: string, compares: Transaction['compares'] = []) => ({
  compares,
  puts: [{ key, value }],
  deletes: [],
});

describeStore('moved', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-state-moved-'));
  const source = createMemoryStore();
  const store = createClusterStore(source, 'etcd', parts);
  await store.transact(put('task/before', '1'));
  await store.transact({ ...put('task/before', '1'), puts: [], deletes: ['task/before'] });
  const open = () => openSqliteStore(join(folder, 'store.db'), { batchesMax: 1_000 });
  await store.moveTo({ backend: 'embedded', open, settled });
  const compact = async () => {
    const filler = put('task/filler', '');
    await Promise.all(Array.from({ length: 1_001 }, () => store.transact(filler)));
  };
  const dispose = async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  };
  return { store, compact, dispose };
});

let source: Store;
let target: Store;
let store: ClusterStore;
beforeEach(() => {
  source = createMemoryStore();
  target = createMemoryStore();
  store = createClusterStore(source, 'embedded', parts);
});
afterEach(async () => {
  await store.close();
  await target.close();
});

const open = () => Promise.resolve(target);
const move = (changes: Partial<Parameters<ClusterStore['moveTo']>[0]> = {}) =>
  store.moveTo({ backend: 'etcd', open, settled, ...changes });
const valuesOf = async (of: Store) =>
  new Map((await of.list('')).values.map(({ key, value }) => [key, value]));

/** Raises counters by compare and set until told to stop; gives what was acknowledged of each. */
function countUp(counters: number): { stop: () => Promise<number[]> } {
  const over = new AbortController();
  const count = async (index: number) => {
    const key = `task/${index}`;
    let acknowledged = 0;
    while (!over.signal.aborted) {
      const { lineage } = store;
      const current = await store.get(key).catch(() => undefined);
      if (current === undefined && acknowledged > 0) continue; // closed under it
      const compares = [{ key, revision: current?.revision ?? 0 }];
      const value = String(Number(current?.value ?? 0) + 1);
      const result = await store.transact({ ...put(key, value, compares), lineage });
      if (result.committed) acknowledged++;
      await new Promise(setImmediate);
    }
    return acknowledged;
  };
  const counting = Array.from({ length: counters }, (_, index) => count(index));
  return {
    stop: () => {
      over.abort();
      return Promise.all(counting);
    },
  };
}

test('with writers at work nothing acknowledged is missing after a move, and nothing is done twice', async () => {
  for (let index = 0; index < 3_000; index++) void store.transact(put(`node/${index}`, 'x'.repeat(1_000)));
  const counting = countUp(8);
  await until(() => source.lineage === store.lineage);
  await move();
  expect([store.backend, store.lineage]).toEqual(['etcd', target.lineage]);
  await store.transact(put('task/after', '1'));
  const counts = await counting.stop();
  const values = await valuesOf(target);
  expect(counts.map((_, index) => Number(values.get(`task/${index}`)))).toEqual(counts);
  expect(values.size).toBe(3_000 + counts.length + 1);
  expect(values.has(barrierKey)).toBe(false);
});

test('what was at the target goes, and what is deleted while it is copied stays deleted', async () => {
  await target.transact(put('task/stale', '1'));
  await Promise.all(Array.from({ length: 2_500 }, (_, index) => store.transact(put(`node/${index}`, '1'))));
  const transact = target.transact.bind(target);
  let pieces = 0;
  target.transact = async (transaction) => {
    if (++pieces === 2) await store.transact({ compares: [], puts: [], deletes: ['node/1', 'node/2400'] });
    return await transact(transaction);
  };
  await move();
  const keys = [...(await valuesOf(target)).keys()];
  expect(keys).toHaveLength(2_498);
  expect(keys).not.toContain('task/stale');
});

test('what a watch tells late is waited for', async () => {
  await store.transact(put('task/a', '1'));
  const watch = source.watch.bind(source);
  source.watch = async function* (prefix, from, signal) {
    for await (const batch of watch(prefix, from, signal)) {
      await systemClock.sleep(20);
      yield batch;
    }
  };
  const moving = move();
  for (let count = 2; count <= 4; count++) await store.transact(put('task/a', String(count)));
  await moving;
  expect((await valuesOf(target)).get('task/a')).toBe('4');
});

test('writes that come while they are held are done where the store is then', async () => {
  let written: Promise<unknown> | undefined;
  const mark = async () => {
    written = store.transact(put('task/a', '1'));
    await new Promise(setImmediate);
  };
  const { heldMs } = await move({ settled: mark });
  expect(await written).toMatchObject({ committed: true });
  expect((await valuesOf(target)).get('task/a')).toBe('1');
  expect(heldMs).toBeGreaterThan(0);
});

test('leaderships and watches end with the store that they were of, and begin anew on the next', async () => {
  const never = new AbortController().signal;
  const first = await store.campaign('one', never);
  const second = store.campaign('two', never);
  const leaders = store.watchLeader(never)[Symbol.asyncIterator]();
  const told = async () => ((await leaders.next()).value as Leader | undefined)?.candidate;
  expect(await told()).toBe('one');
  const watched = (async () => {
    for await (const batch of store.watch('node/', 0, never)) return batch;
    return undefined;
  })();
  await store.transact(put('task/a', '1'));
  const ended = expect(watched).rejects.toMatchObject({ code: 'failed_precondition' });
  await move();
  await ended;
  const leadership = await second;
  while ((await told()) !== 'two');
  await until(() => first.signal.aborted);
  expect(leadership.signal.aborted).toBe(false);
  const stale = await store.transact(put('task/b', '1', [first.fence]));
  expect(stale).toEqual({ committed: false, conflicts: [first.fence.key] });
  expect(await store.transact(put('task/b', '1', [leadership.fence]))).toMatchObject({ committed: true });
});

test('a view follows to the next store, and plans from before the move conflict', async () => {
  const database = await openDatabase(store, systemClock);
  await database.write([[{ kind: 'node', action: 'create', object: sampleNode('a') }]]);
  const before = database.view.nodes.get('a')!;
  const stale = { ...before, labels: { by: 'stale' } };
  await move();
  expect(await database.write([[{ kind: 'node', action: 'update', object: stale }]])).toEqual({
    conflicts: 1,
  });
  await until(() => database.view.nodes.get('a') !== before);
  const update = { ...database.view.nodes.get('a')!, labels: { by: 'fresh' } };
  expect(await database.write([[{ kind: 'node', action: 'update', object: update }]])).toEqual({
    conflicts: 0,
  });
  expect(database.view.nodes.get('a')!.labels).toEqual({ by: 'fresh' });
  await database.close();
});

test('a move that fails leaves the store where it was, writable and without a trace', async () => {
  await store.transact(put('task/a', '1'));
  const refuse = () => Promise.reject(new ShoalError('unavailable', 'Cannot do that'));
  const broken = createMemoryStore();
  broken.transact = refuse;
  const faults = [{ open: refuse }, { settled: refuse }, { open: () => Promise.resolve(broken) }];
  for (const fault of faults) {
    await expect(move(fault)).rejects.toMatchObject({ message: 'Cannot do that' });
    expect([store.backend, store.lineage]).toEqual(['embedded', source.lineage]);
    expect(await store.transact(put('task/b', '1'))).toMatchObject({ committed: true });
    expect([...(await valuesOf(source)).keys()]).toEqual(['task/a', 'task/b']);
    target = createMemoryStore();
  }
  await move();
  expect((await valuesOf(target)).size).toBe(2);
});

test('when nobody knows which store a start would find, nothing is written any more', async () => {
  await store.transact(put('task/a', '1'));
  const unknown = () => Promise.reject(new ShoalError('internal', 'Cannot tell'));
  let held: Promise<unknown> | undefined;
  const mark = () => {
    held = store.transact(put('task/b', '1'));
    held.catch(() => undefined);
    return unknown();
  };
  await expect(move({ settled: mark })).rejects.toMatchObject({ code: 'internal' });
  await expect(held).rejects.toMatchObject({ code: 'unavailable' });
  await expect(store.transact(put('task/b', '1'))).rejects.toMatchObject({ code: 'unavailable' });
  expect(store.problem?.next).toContain('Restart the manager');
  expect([...(await valuesOf(store)).keys()]).toEqual(['task/a']);
});

test('a move whose last part does not end is given up, and writes go on', async () => {
  const clock = new ManualClock();
  store = createClusterStore(source, 'embedded', { ...parts, clock });
  const transact = source.transact.bind(source);
  const slow = Promise.withResolvers<void>();
  source.transact = async (transaction) => {
    await slow.promise;
    return await transact(transaction);
  };
  const written = store.transact(put('task/a', '1'));
  const refused = expect(move()).rejects.toMatchObject({ code: 'unavailable' });
  await until(() => clock.timers > 0);
  clock.advance(5); // the pause of the copy
  await until(() => clock.timers > 0);
  clock.advance(5_000);
  slow.resolve();
  await refused;
  expect(await written).toMatchObject({ committed: true });
  expect(await store.transact(put('task/b', '1'))).toMatchObject({ committed: true });
});

test('a store that is closed while it moves ends both', async () => {
  await store.transact(put('task/a', '1'));
  const moving = move({
    open: async () => {
      await new Promise(setImmediate);
      return target;
    },
  });
  const refused = expect(moving).rejects.toMatchObject({ code: 'unavailable' });
  await store.close();
  await refused;
  await expect(target.list('')).rejects.toMatchObject({ code: 'unavailable' });
});

test('pieces of a copy hold to the limits of changes and bytes', () => {
  const events = (count: number, bytes: number) =>
    Array.from({ length: count }, (_, index) => ({
      type: 'put' as const,
      key: `task/${index}`,
      value: 'x'.repeat(bytes),
    }));
  expect(piecesOf(events(2_500, 10)).map(({ length }) => length)).toEqual([1_000, 1_000, 500]);
  expect(piecesOf(events(5, 400 * 1024)).map(({ length }) => length)).toEqual([2, 2, 1]);
  expect(piecesOf(events(2, 2 * 1024 * 1024)).map(({ length }) => length)).toEqual([1, 1]);
  expect(piecesOf([])).toEqual([]);
});
