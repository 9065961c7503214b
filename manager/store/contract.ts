import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pagesOf } from './pages.ts';
import type { Compare, Leader, Store, StoredValue, Transaction, WatchBatch } from './store.ts';
import { transactionChangesMax, transactionBytesMax } from './transaction.ts';

/** An opened store for one test. */
export interface OpenedStore {
  store: Store;
  /** Makes the store forget its history, by whatever means the backend has. */
  compact(): Promise<void>;
  /** Closes it and removes what it left. */
  dispose(): Promise<void>;
}

const put = (key: string, value: string, compares: Transaction['compares'] = []): Transaction => ({
  compares,
  puts: [{ key, value }],
  deletes: [],
});

/** Reads the first `count` batches of a watch and ends it. */
async function take(store: Store, prefix: string, from: number, count: number): Promise<WatchBatch[]> {
  const controller = new AbortController();
  const batches: WatchBatch[] = [];
  for await (const batch of store.watch(prefix, from, controller.signal)) {
    batches.push(batch);
    if (batches.length === count) break;
  }
  controller.abort();
  return batches;
}

/** What every backend of the store must do, whatever it is made of. */
export function describeStore(name: string, open: () => Promise<OpenedStore>): void {
  describe(`${name} store`, () => {
    let opened: OpenedStore;
    const commit = async (transaction: Transaction): Promise<number> => {
      const result = await opened.store.transact(transaction);
      if (!result.committed) throw new Error(`conflicts: ${result.conflicts.join(', ')}`);
      return result.revision;
    };
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(() => opened.dispose());
    describeReading(() => opened.store, commit);
    describeGuards(() => opened.store, commit);
    describeLimits(() => opened.store, commit);
    describeConcurrency(() => opened.store, commit);
    describeWatch(() => opened.store, commit);
    describeHistory(() => opened, commit);
    describeLeadership(() => opened.store);
    describeLeaders(() => opened.store);
  });
}

type Commit = (transaction: Transaction) => Promise<number>;

function describeReading(store: () => Store, commit: Commit): void {
  test('a key that was never written is absent', async () => {
    expect(await store().get('task/none')).toBeUndefined();
  });

  test('a written key is read back with the revision of its transaction', async () => {
    const revision = await commit(put('task/a', '{"héllo":"\\u0000"}'));
    expect(await store().get('task/a')).toEqual({ key: 'task/a', value: '{"héllo":"\\u0000"}', revision });
  });

  test('every transaction that changes something raises the revision, also across keys', async () => {
    const first = await commit(put('task/a', '1'));
    const second = await commit(put('node/b', '1'));
    expect(second).toBeGreaterThan(first);
    expect((await store().list('')).revision).toBe(second);
  });

  test('a listing of keys alone says the same without values', async () => {
    await commit(put('task/b', '2'));
    await commit(put('task/a', '1'));
    const { revision, values } = await store().list('task/');
    const bare = values.map((value) => ({ ...value, value: '' }));
    expect(await store().list('task/', { keysOnly: true })).toEqual({ revision, values: bare });
  });

  test('pages tell all that there is, each key once and in order', async () => {
    const keys = Array.from({ length: 1_200 }, (_, index) => `task/${String(index).padStart(4, '0')}`);
    for (const from of [0, 600]) {
      const puts = keys.slice(from, from + 600).map((key) => ({ key, value: key }));
      await commit({ compares: [], puts, deletes: [] });
    }
    const whole = await store().list('');
    for (const keysOnly of [false, true]) {
      const values: StoredValue[] = [];
      for await (const page of pagesOf(store(), { keysOnly })) {
        expect(page.revision).toBe(whole.revision);
        values.push(...page.values);
      }
      expect(values).toEqual(whole.values.map((each) => (keysOnly ? { ...each, value: '' } : each)));
    }
  });

  test('all keys of one transaction share its revision', async () => {
    const puts = ['task/a', 'task/b'].map((key) => ({ key, value: key }));
    const revision = await commit({ compares: [], puts, deletes: [] });
    const { values } = await store().list('task/');
    expect(values.map((value) => value.revision)).toEqual([revision, revision]);
  });

  test('list gives exactly what is under the prefix, in key order', async () => {
    for (const key of ['task/b', 'tasks/x', 'task/a', 'task', 'task/a/b', 'node/a'])
      await commit(put(key, key));
    expect((await store().list('task/')).values.map(({ key }) => key)).toEqual([
      'task/a',
      'task/a/b',
      'task/b',
    ]);
    expect((await store().list('')).values).toHaveLength(6);
  });
}

function describeGuards(store: () => Store, commit: Commit): void {
  test('a compare with an old revision is a conflict, is named, and writes nothing', async () => {
    const first = await commit(put('task/a', '1'));
    await commit(put('task/a', '2'));
    const compares = [
      { key: 'task/a', revision: first },
      { key: 'task/b', revision: 0 },
    ];
    const result = await store().transact({
      compares,
      puts: [{ key: 'task/b', value: '3' }],
      deletes: ['task/a'],
    });
    expect(result).toEqual({ committed: false, conflicts: ['task/a'] });
    expect(await store().get('task/b')).toBeUndefined();
    expect((await store().get('task/a'))?.value).toBe('2');
  });

  test('a compare with revision 0 holds only while the key does not exist', async () => {
    const absent = [{ key: 'task/a', revision: 0 }];
    const revision = await commit(put('task/a', '1', absent));
    expect(await store().transact(put('task/a', '2', absent))).toMatchObject({ committed: false });
    await commit({ compares: [{ key: 'task/a', revision }], puts: [], deletes: ['task/a'] });
    expect(await store().get('task/a')).toBeUndefined();
    await commit(put('task/a', '3', absent));
  });

  test('what was planned from another store conflicts in all that it compares, and writes nothing', async () => {
    const revision = await commit(put('task/a', '1'));
    const compares = [
      { key: 'task/a', revision },
      { key: 'task/b', revision: 0 },
    ];
    const planned = (lineage: string) => ({ ...put('task/b', '2', compares), lineage });
    const refused = await store().transact(planned('another'));
    expect(refused).toEqual({ committed: false, conflicts: ['task/a', 'task/b'] });
    expect(await store().get('task/b')).toBeUndefined();
    expect(await store().transact(planned(store().lineage))).toMatchObject({ committed: true });
  });

  test('a transaction that changes nothing succeeds without a new revision', async () => {
    const revision = await commit(put('task/a', '1'));
    const compares = [{ key: 'task/a', revision }];
    expect(await commit({ compares, puts: [], deletes: [] })).toBe(revision);
    expect(await commit({ compares, puts: [], deletes: ['task/none'] })).toBe(revision);
  });
}

function describeLimits(store: () => Store, commit: Commit): void {
  test('one key may not change twice in one transaction', async () => {
    const twice = { compares: [], puts: [{ key: 'task/a', value: '1' }], deletes: ['task/a'] };
    await expect(store().transact(twice)).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(await store().get('task/a')).toBeUndefined();
  });

  test('a transaction over the limits is refused whole', async () => {
    const many = Array.from({ length: transactionChangesMax + 1 }, (_, index) => `task/${index}`);
    const puts = many.map((key) => ({ key, value: '' }));
    const large = put('task/a', 'x'.repeat(transactionBytesMax));
    const wide = put('task/a', 'ü'.repeat(transactionBytesMax / 2)); // few characters of many bytes
    for (const transaction of [{ compares: [], puts, deletes: [] }, large, wide]) {
      await expect(store().transact(transaction)).rejects.toMatchObject({ code: 'resource_exhausted' });
    }
    expect((await store().list('')).values).toEqual([]);
  });

  test('a transaction at the limit of changes is accepted', async () => {
    const puts = Array.from({ length: transactionChangesMax }, (_, index) => ({
      key: `task/${index}`,
      value: '',
    }));
    await commit({ compares: [], puts, deletes: [] });
    expect((await store().list('task/')).values).toHaveLength(transactionChangesMax);
  });
}

function describeConcurrency(store: () => Store, commit: Commit): void {
  test('of transactions that race for one key with the same guard exactly one wins', async () => {
    const racers = Array.from({ length: 50 }, (_, index) =>
      store().transact(put('task/a', String(index), [{ key: 'task/a', revision: 0 }])),
    );
    const results = await Promise.all(racers);
    expect(results.filter((result) => result.committed)).toHaveLength(1);
    expect((await store().get('task/a'))?.value).toBe(
      String(results.findIndex((result) => result.committed)),
    );
  });

  test('transactions that arrive together get a revision each, and none is lost', async () => {
    const keys = Array.from({ length: 200 }, (_, index) => `task/${index}`);
    const revisions = await Promise.all(keys.map((key) => commit(put(key, key))));
    expect(new Set(revisions).size).toBe(200);
    const { values } = await store().list('task/');
    expect(new Map(values.map(({ key, revision }) => [key, revision]))).toEqual(
      new Map(keys.map((key, index) => [key, revisions[index]])),
    );
  });

  test('a counter raised by many writers that retry on conflict misses nothing', async () => {
    const raise = async () => {
      for (;;) {
        const current = await store().get('task/counter');
        const compares = [{ key: 'task/counter', revision: current?.revision ?? 0 }];
        const result = await store().transact(
          put('task/counter', String(Number(current?.value ?? 0) + 1), compares),
        );
        if (result.committed) return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, raise));
    expect((await store().get('task/counter'))?.value).toBe('20');
  });
}

function describeWatch(store: () => Store, commit: Commit): void {
  test('a watch tells every batch after a revision, past and future, in order and without gaps', async () => {
    await commit(put('task/before', '0'));
    const { revision } = await store().list('');
    await commit(put('task/a', '1'));
    const watched = take(store(), '', revision, 4);
    await commit({ compares: [], puts: [{ key: 'task/b', value: '2' }], deletes: ['task/a'] });
    await commit(put('task/c', '3'));
    await commit(put('task/d', '4'));
    const batches = await watched;
    expect(batches.flatMap(({ events }) => events)).toEqual([
      { type: 'put', key: 'task/a', value: '1' },
      { type: 'put', key: 'task/b', value: '2' },
      { type: 'delete', key: 'task/a' },
      { type: 'put', key: 'task/c', value: '3' },
      { type: 'put', key: 'task/d', value: '4' },
    ]);
    expect(batches.map((batch) => batch.revision)).toEqual([1, 2, 3, 4].map((step) => revision + step));
  });

  test('a watch of a prefix tells nothing else', async () => {
    const { revision } = await store().list('');
    await commit(put('node/a', '1'));
    await commit({
      compares: [],
      puts: [
        { key: 'node/b', value: '2' },
        { key: 'task/b', value: '3' },
      ],
      deletes: [],
    });
    const batches = await take(store(), 'task/', revision, 1);
    expect(batches).toEqual([
      { revision: revision + 2, events: [{ type: 'put', key: 'task/b', value: '3' }] },
    ]);
  });

  test('what a listing and a watch from its revision tell is the whole truth under concurrent writes', async () => {
    const writes = Array.from({ length: 100 }, (_, index) => commit(put(`task/${index % 7}`, String(index))));
    const { revision, values } = await store().list('');
    const state = new Map(values.map(({ key, value }) => [key, value]));
    const last = Math.max(...(await Promise.all(writes)));
    for (const batch of last > revision ? await take(store(), '', revision, last - revision) : []) {
      for (const event of batch.events) if (event.type === 'put') state.set(event.key, event.value);
    }
    const truth = (await store().list('')).values;
    expect(state).toEqual(new Map(truth.map(({ key, value }) => [key, value])));
  });
}

function describeHistory(opened: () => OpenedStore, commit: Commit): void {
  test('a watch ends when its signal aborts', async () => {
    const controller = new AbortController();
    const { revision } = await opened().store.list('');
    const ended = (async () => {
      for await (const batch of opened().store.watch('', revision, controller.signal)) return batch;
      return 'ended';
    })();
    controller.abort();
    expect(await ended).toBe('ended');
  });

  test('a watch from before the kept history is refused, and one from a new listing works', async () => {
    await commit(put('task/a', '0'));
    const { revision } = await opened().store.list('');
    for (let index = 0; index < 20; index++) await commit(put('task/a', String(index)));
    await opened().compact();
    await expect(take(opened().store, '', revision, 1)).rejects.toMatchObject({
      code: 'failed_precondition',
    });
    const again = await opened().store.list('');
    const next = take(opened().store, '', again.revision, 1);
    await commit(put('task/a', 'last'));
    expect((await next)[0]?.events).toEqual([{ type: 'put', key: 'task/a', value: 'last' }]);
  });
}

function describeLeadership(store: () => Store): void {
  const never = new AbortController().signal;

  test('the first candidate leads at once', async () => {
    const leadership = await store().campaign('one', never);
    expect(leadership.signal.aborted).toBe(false);
  });

  test('a second candidate leads only when the first one has resigned', async () => {
    const first = await store().campaign('one', never);
    const order: string[] = [];
    const second = store()
      .campaign('two', never)
      .then((leadership) => {
        order.push('two leads');
        return leadership;
      });
    await store().list('');
    order.push('one resigns');
    await first.resign();
    expect((await second).signal.aborted).toBe(false);
    expect(first.signal.aborted).toBe(true);
    expect(order).toEqual(['one resigns', 'two leads']);
  });

  test('what a leader of before writes with its fence is refused, and a new leader writes with its own', async () => {
    const first = await store().campaign('one', never);
    const write = (fence: Compare) => store().transact(put('task/a', '1', [fence]));
    expect(await write(first.fence)).toMatchObject({ committed: true });
    const next = store().campaign('two', never);
    await first.resign();
    const second = await next;
    expect(await write(first.fence)).toEqual({ committed: false, conflicts: [first.fence.key] });
    expect(await write(second.fence)).toMatchObject({ committed: true });
    expect((await store().list('')).values.map(({ key }) => key)).toEqual(['task/a']);
  });

  test('a candidate that gives up does not stand in the way of the next', async () => {
    const first = await store().campaign('one', never);
    const controller = new AbortController();
    const second = store().campaign('two', controller.signal);
    const third = store().campaign('three', never);
    controller.abort(new Error('gave up'));
    await expect(second).rejects.toThrow('gave up');
    await first.resign();
    expect((await third).signal.aborted).toBe(false);
  });
}

function describeLeaders(store: () => Store): void {
  const never = new AbortController().signal;

  test('whoever watches is told who leads, and when nobody does', async () => {
    const controller = new AbortController();
    const leaders = store().watchLeader(controller.signal)[Symbol.asyncIterator]();
    const told = async () => (await leaders.next()).value as Leader | undefined;
    expect(await told()).toBeUndefined();
    const first = await store().campaign('one', never);
    expect(await told()).toEqual({ candidate: 'one', revision: first.fence.revision });
    const campaign = store().campaign('two', never);
    const nobody = told();
    await first.resign();
    expect(await nobody).toBeUndefined();
    const second = await campaign;
    expect(second.before).toBeUndefined();
    expect(await told()).toEqual({ candidate: 'two', revision: second.fence.revision });
    controller.abort();
    expect((await leaders.next()).done).toBe(true);
  });

  test('a watch of everything comes by the revision at which somebody began to lead, and tells no object for it', async () => {
    const { revision } = await store().list('');
    const watched = new AbortController();
    const batches = store().watch('', revision, watched.signal)[Symbol.asyncIterator]();
    const leadership = await store().campaign('one', never);
    let seen = revision;
    while (seen < leadership.revision) {
      const { revision: next, events } = (await batches.next()).value as WatchBatch;
      expect(events).toEqual([]);
      seen = next;
    }
    watched.abort();
    expect((await store().list('')).values).toEqual([]);
  });
}
