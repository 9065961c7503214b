import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/manual-clock.ts';
import { sampleNode } from '../../test/samples.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { until } from '../testing.ts';
import { openDatabase, type OpenDatabase } from './database.ts';
import { createMemoryStore } from './memory.ts';
import type { Change } from './objects.ts';
import { openEnded, watchStands, type Store, type Transaction, type WatchBatch } from './store.ts';
import { encodeObject } from './view.ts';

/** A store of which each watch can be kept from telling some of what there is, as etcd's may be by faults of its own. */
class FaultyStore {
  readonly inner = createMemoryStore();
  readonly ends: unknown[] = [];
  watches = 0;
  /** What becomes of a batch; none: it is not told. */
  tells: (batch: WatchBatch) => WatchBatch[] = (batch) => [batch];

  readonly store: Store = {
    lineage: this.inner.lineage,
    get: (key) => this.inner.get(key),
    list: (prefix, options) => this.inner.list(prefix, options),
    page: (after, options) => this.inner.page(after, options),
    transact: (transaction) => this.inner.transact(transaction),
    watch: (prefix, from, signal) => this.#watch(prefix, from, signal),
    campaign: (candidate, signal) => this.inner.campaign(candidate, signal),
    watchLeader: (signal) => this.inner.watchLeader(signal),
    close: () => this.inner.close(),
  };

  async *#watch(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    this.watches++;
    for await (const batch of this.inner.watch(prefix, from, signal)) yield* this.tells(batch);
    this.ends.push(signal.reason);
  }
}

const create = (id: string): Change => ({ kind: 'node', action: 'create', object: sampleNode(id) });

let faulty: FaultyStore;
let clock: ManualClock;
let database: OpenDatabase;
beforeEach(async () => {
  faulty = new FaultyStore();
  clock = new ManualClock();
  database = await openDatabase(faulty.store, clock);
});
afterEach(async () => {
  await database.close();
  await faulty.inner.close();
});

test('a write that does not show has the watch begin anew, at another member where there is one', async () => {
  await database.write([[create('a')]]);
  faulty.tells = () => [];
  const written = database.write([[create('b')]]);
  await until(() => clock.timers > 0);
  clock.advance(5_000);
  expect(await written).toEqual({ conflicts: 0 });
  expect([...database.view.nodes.keys()]).toEqual(['a', 'b']);
  expect([faulty.watches, faulty.ends]).toEqual([2, [watchStands]]);
});

test('a write that cannot be seen at all is told of, in the end', async () => {
  faulty.tells = () => [];
  faulty.store.list = () => Promise.reject(new ShoalError('unavailable', 'Cannot list'));
  const written = database.write([[create('a')]]);
  const refused = expect(written).rejects.toMatchObject({ code: 'unavailable' });
  for (let round = 0; round < 3; round++) {
    await until(() => clock.timers > 0);
    clock.advance(5_000);
  }
  await refused;
});

test.each(['is never answered', 'does not show'])(
  'a write that %s ends the term: nothing is planned without it, and it is not done later',
  async (how) => {
    const { signal } = new AbortController();
    const first = await faulty.inner.campaign('first', signal);
    const term = database.fenced(first);
    const late: Transaction[] = [];
    if (how === 'does not show') {
      faulty.tells = () => [];
      faulty.store.list = () => Promise.reject(new ShoalError('unavailable', 'Cannot list'));
    } else {
      faulty.store.transact = (transaction) => {
        late.push(transaction);
        return Promise.reject(openEnded(new ShoalError('unavailable', 'Cannot tell')));
      };
    }
    const refused = expect(term.write([[create('a')]])).rejects.toMatchObject({ code: 'unavailable' });
    for (let round = 0; round < 3 && late.length === 0; round++) {
      await until(() => clock.timers > 0 || late.length > 0);
      clock.advance(5_000);
    }
    await refused;
    await expect(term.write([[create('b')]])).rejects.toMatchObject({ code: 'unavailable' });
    await until(() => first.signal.aborted);
    await faulty.inner.campaign('second', signal);
    for (const transaction of late) {
      expect(await faulty.inner.transact(transaction)).toMatchObject({ committed: false });
    }
  },
);

test('a write that a disk refuses does not end the term', async () => {
  const first = await faulty.inner.campaign('first', new AbortController().signal);
  const term = database.fenced(first);
  faulty.store.transact = () => Promise.reject(new ShoalError('no_space', 'Cannot write'));
  await expect(term.write([[create('a')]])).rejects.toMatchObject({ code: 'no_space' });
  faulty.store.transact = (transaction) => faulty.inner.transact(transaction);
  expect(await term.write([[create('a')]])).toEqual({ conflicts: 0 });
  expect(first.signal.aborted).toBe(false);
});

test('batches that the store repeats do not end the view', async () => {
  const told: WatchBatch[] = [];
  faulty.tells = (batch) => {
    told.push(batch);
    return [batch, ...told];
  };
  await database.write([[create('a')]]);
  await database.write([[create('b')]]);
  expect([...database.view.nodes.keys()]).toEqual(['a', 'b']);
});

test('an audit finds what the watch did not tell, and mends it', async () => {
  faulty.tells = ({ revision, events }) => [
    { revision, events: events.filter(({ key }) => key !== 'node/b') },
  ];
  await database.write([[create('a'), create('b')]]);
  expect(database.view.nodes.size).toBe(1);
  const audit = database.audit();
  await until(() => clock.timers > 0);
  clock.advance(5_000);
  expect(await audit).toEqual(['node/b']);
  await until(() => database.view.nodes.size === 2);
  expect(await database.audit()).toEqual([]);
});

test('an audit takes for no difference what comes while it looks', async () => {
  await database.write([[create('a')]]);
  const late = Promise.withResolvers<void>();
  faulty.store.page = async (...args) => {
    const page = await faulty.inner.page(...args);
    await late.promise;
    return page;
  };
  const audit = database.audit();
  await database.write([
    [create('b')],
    [{ kind: 'node', action: 'delete', object: database.view.nodes.get('a')! }],
  ]);
  late.resolve();
  expect(await audit).toEqual([]);
});

test('a difference that a listing does not mend is told once and not read for ever', async () => {
  const rounds = 4;
  // its key and its id are not the same, so that the view cannot hold it
  const puts = [{ key: 'node/x', value: encodeObject(sampleNode('y')) }];
  await faulty.inner.transact({ compares: [], puts, deletes: [] });
  await until(() => database.view.revision === 1);
  for (let round = 0; round < rounds; round++) {
    const audit = database.audit();
    await until(() => clock.timers > 0);
    clock.advance(5_000);
    expect(await audit).toContain('node/x');
    await database.write([[create(`n${round}`)]]);
  }
  // another listing brings the same
  expect(faulty.watches).toBe(3);
});
