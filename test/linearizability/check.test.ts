import { expect, test } from 'vitest';
import { createMemoryStore } from '../../manager/store/memory.ts';
import type { Store } from '../../manager/store/store.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { seededRandom, type Random } from '../../src/util/random.ts';
import { whatIsWrong } from './check.ts';
import type { Answer, Asked, Log, Operation } from './history.ts';
import { contradictions } from './revisions.ts';
import { orderOf } from './order.ts';
import { readLog, Recorder } from './recorder.ts';

/** That the check finds what is planted, and nothing else. */

const clients = 6;
const operations = 1_500;

/** A store whose answers come later than it does what was asked, and that does wrong now and then. */
function slow(store: Store, random: Random, wrong: Partial<Pick<Store, 'get' | 'transact'>> = {}): Store {
  const pause = () => systemClock.sleep(random.next() < 0.5 ? 0 : 1);
  return {
    ...store,
    lineage: store.lineage,
    watch: (...given) => store.watch(...given),
    get: async (key) => {
      await pause();
      const found = await (wrong.get ?? store.get.bind(store))(key);
      await pause();
      return found;
    },
    transact: async (transaction) => {
      await pause();
      const result = await (wrong.transact ?? store.transact.bind(store))(transaction);
      await pause();
      return result;
    },
  };
}

async function record(plant: (store: Store, random: Random) => Partial<Pick<Store, 'get' | 'transact'>>) {
  const random = seededRandom(7);
  const memory = createMemoryStore();
  const store = slow(memory, random, plant(memory, random));
  const recorder = new Recorder(random);
  const over = new AbortController();
  const running = Array.from({ length: clients }, (_, client) => recorder.run(client, store, over.signal));
  while (recorder.history.length < operations) await systemClock.sleep(5);
  over.abort();
  await Promise.all(running);
  const { revision } = await memory.list('');
  const log = await readLog(memory, 0, revision, AbortSignal.timeout(5_000));
  return { history: recorder.history, log };
}

test('what a store did that does one thing after another is linearizable', async () => {
  const { history, log } = await record(() => ({}));
  expect(history.some(({ answer }) => answer.kind === 'refused')).toBe(true);
  expect(log.length).toBeGreaterThan(100);
  expect(whatIsWrong(history, log)).toEqual([]);
});

test('answers that are lost, of what was done and of what was not, are borne', async () => {
  const { history, log } = await record((store, random) => ({
    transact: async (transaction) => {
      const chance = random.next();
      if (chance < 0.05) throw new ShoalError('unavailable', 'it was not done');
      const result = await store.transact(transaction);
      if (chance < 0.1) throw new ShoalError('unavailable', 'it was done');
      return result;
    },
  }));
  expect(history.some(({ answer }) => answer.kind === 'unknown')).toBe(true);
  expect(whatIsWrong(history, log)).toEqual([]);
});

test('one stale read is found, either way', async () => {
  const { history, log } = await record((store) => {
    const before = new Map<string, Awaited<ReturnType<Store['get']>>>();
    let reads = 0;
    return {
      get: async (key) => {
        const found = await store.get(key);
        const stale = before.get(key);
        const isStale = ++reads > 200 && stale !== undefined && (found?.revision ?? 0) > stale.revision + 50;
        if (isStale) reads = -Infinity;
        else if (found !== undefined && !before.has(key)) before.set(key, found);
        return isStale ? stale : found;
      },
    };
  });
  expect(contradictions(history, log)).toHaveLength(1);
  const done = new Set(log.map(({ value }) => value));
  const verdicts = [...Map.groupBy(history, ({ key }) => key).values()].map((each) => orderOf(each, done));
  expect(verdicts.filter((verdict) => verdict !== 'linearizable')).toHaveLength(1);
});

test('one write that is acknowledged and lost is found, either way', async () => {
  const { history, log } = await record((store) => {
    let writes = 0;
    return {
      transact: async (transaction) => {
        if (++writes !== 200) return await store.transact(transaction);
        const { revision } = await store.list('');
        return { committed: true, revision };
      },
    };
  });
  expect(contradictions(history, log).length).toBeGreaterThan(0);
  expect(whatIsWrong(history, log).some((line) => line.includes('contradictory'))).toBe(true);
});

test('a write that is refused and done all the same is found', async () => {
  const { history, log } = await record((store) => {
    let writes = 0;
    return {
      transact: async (transaction) => {
        const result = await store.transact(transaction);
        return result.committed && ++writes === 200 ? { committed: false, conflicts: [] } : result;
      },
    };
  });
  expect(contradictions(history, log).length).toBeGreaterThan(0);
});

const call = (asked: Asked, answer: Answer, calledAt: number, returnedAt: number): Operation => ({
  client: 0,
  key: 'k',
  asked,
  answer,
  calledAt,
  returnedAt,
});
const read = (value: string | undefined, revision: number, from: number, to: number) =>
  call(
    { kind: 'read' },
    { kind: 'found', version: value === undefined ? undefined : { value, revision } },
    from,
    to,
  );
const log: Log = [
  { key: 'k', revision: 1, value: 'a' },
  { key: 'k', revision: 2, value: 'b' },
];

test.each([
  [
    'a read during a write may see either',
    [read(undefined, 0, 0, 9), read('a', 1, 1, 5), read('b', 2, 1, 4)],
    true,
  ],
  ['but not the older one after the newer one', [read('b', 2, 1, 4), read('a', 1, 5, 6)], false],
  ['nor nothing after something', [read('a', 1, 1, 4), read(undefined, 0, 5, 6)], false],
])('%s', (_, reads, isRight) => {
  const first = call(
    { kind: 'swap', expected: undefined, value: 'a' },
    { kind: 'swapped', revision: 1 },
    0,
    7,
  );
  const second = call(
    { kind: 'swap', expected: { revision: 1, value: 'a' }, value: 'b' },
    { kind: 'swapped', revision: 2 },
    0,
    8,
  );
  const history = [first, second, ...reads];
  expect(contradictions(history, log).length === 0).toBe(isRight);
  expect(orderOf(history, new Set(['a', 'b']))).toBe(isRight ? 'linearizable' : 'contradictory');
});
