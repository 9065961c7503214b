import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { EtcdMember } from '../../manager/store/etcd/client.ts';
import { openEtcdStore } from '../../manager/store/etcd/etcd.ts';
import type { Store, WatchBatch } from '../../manager/store/store.ts';
import { systemClock } from '../../src/util/clock.ts';
import { codeOf } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { EtcdCluster } from '../harness/etcd.ts';

const membersCount = 3;
const writersCount = 8;
const rounds = 6;
const pausedMs = 1_500;
const betweenMs = 700;

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await EtcdCluster.start(membersCount);
});
afterAll(() => cluster.down());

async function open(index: number, owner: string, prefix: string): Promise<Store> {
  const endpoints = cluster.endpointsFrom(index);
  return await openEtcdStore({ endpoints, tls: cluster.tls, clock: systemClock, prefix, owner });
}

const put = (key: string, value: string, revision: number) => ({
  compares: [{ key, revision }],
  puts: [{ key, value }],
  deletes: [],
});

/** What one writer was answered. */
interface Written {
  acknowledged: { key: string; revision: number }[];
  unknown: string[];
  refused: string[];
}

/** Makes one new key after another until told to stop. */
async function writeKeys(store: Store, writer: number, until: AbortSignal): Promise<Written> {
  const written: Written = { acknowledged: [], unknown: [], refused: [] };
  for (let count = 0; !until.aborted; count++) {
    const key = `task/${writer}-${count}`;
    try {
      const result = await store.transact(put(key, key, 0));
      if (result.committed) written.acknowledged.push({ key, revision: result.revision });
      else written.refused.push(key);
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      written.unknown.push(key);
    }
  }
  return written;
}

/** Raises a counter again and again; gives how often it was told that it did, and how often it was told nothing. */
async function raise(store: Store, until: AbortSignal): Promise<{ raised: number; unknown: number }> {
  const counts = { raised: 0, unknown: 0 };
  while (!until.aborted) {
    try {
      const current = await store.get('node/counter');
      const value = String(Number(current?.value ?? 0) + 1);
      const result = await store.transact(put('node/counter', value, current?.revision ?? 0));
      if (result.committed) counts.raised++;
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      counts.unknown++;
    }
  }
  return counts;
}

async function follow(store: Store, from: number, batches: WatchBatch[], until: AbortSignal): Promise<void> {
  for await (const batch of store.watch('', from, until)) batches.push(batch);
}

/** Stops or kills the leader or another member, and brings it back. */
async function fault(round: number): Promise<void> {
  const leader = await cluster.leader();
  const victim = round % 3 === 2 ? (leader + 1) % membersCount : leader;
  if (round % 2 === 0) {
    cluster.signal(victim, 'SIGSTOP');
    await systemClock.sleep(pausedMs);
    cluster.signal(victim, 'SIGCONT');
  } else {
    await cluster.kill(victim);
    await systemClock.sleep(pausedMs);
    cluster.run(victim);
  }
  await cluster.leader();
  await systemClock.sleep(betweenMs);
}

test('members that stand still or die lose no write, do none twice, and watches tell each once', async () => {
  const prefix = `${systemRandom.id()}/`;
  const stores = await Promise.all([0, 1, 2].map((index) => open(index, `manager${index}`, prefix)));
  const over = new AbortController();
  const watching = new AbortController();
  const { revision: from } = await stores[0]!.list('');
  const heard: WatchBatch[][] = stores.map(() => []);
  const followers = stores.map((store, index) => follow(store, from, heard[index]!, watching.signal));
  const writers = Array.from({ length: writersCount }, (_, writer) =>
    writeKeys(stores[writer % stores.length]!, writer, over.signal),
  );
  const raisers = stores.map((store) => raise(store, over.signal));
  for (let round = 0; round < rounds; round++) await fault(round);
  over.abort();
  const written = await Promise.all(writers);
  const counts = await Promise.all(raisers);
  const { values } = await stores[0]!.list('');
  const last = Math.max(...values.map(({ revision }) => revision));
  await expect
    .poll(() => heard.map((batches) => batches.at(-1)?.revision), { timeout: 20_000 })
    .toEqual(stores.map(() => last));
  watching.abort();
  await Promise.all(followers);

  const stored = new Map(values.map(({ key, revision }) => [key, revision]));
  const acknowledged = written.flatMap((each) => each.acknowledged);
  expect(acknowledged.length).toBeGreaterThan(100);
  expect(acknowledged.filter(({ key, revision }) => stored.get(key) !== revision)).toEqual([]);
  // each key is made by one writer, so a refusal could only be by an earlier attempt of the same write
  expect(written.flatMap(({ refused }) => refused)).toEqual([]);
  const raised = counts.reduce((sum, each) => sum + each.raised, 0);
  const unknown = counts.reduce((sum, each) => sum + each.unknown, 0);
  const counter = Number(values.find(({ key }) => key === 'node/counter')?.value);
  expect(counter).toBeGreaterThanOrEqual(raised);
  expect(counter).toBeLessThanOrEqual(raised + unknown);
  for (const batches of heard) {
    const revisions = batches.map(({ revision }) => revision);
    expect(revisions).toEqual([...new Set(revisions)].sort((left, right) => left - right));
    const made = batches.flatMap(({ events }) => events).filter(({ key }) => key.startsWith('task/'));
    expect(made.map(({ key }) => key).sort()).toEqual(
      [...stored.keys()].filter((key) => key.startsWith('task/')).sort(),
    );
  }
  await Promise.all(stores.map((store) => store.close()));
});

test('a leader that stood still is refused once another leads', async () => {
  const prefix = `${systemRandom.id()}/`;
  const { signal } = new AbortController();
  const leader = await cluster.leader();
  const others = [1, 2].map((step) => (leader + step) % membersCount);
  const old = await open(leader, 'old', prefix);
  const first = await old.campaign('old', signal);
  expect(await old.transact({ ...put('task/a', '1', 0), compares: [first.fence] })).toMatchObject({
    committed: true,
  });
  const stores = await Promise.all(others.map((index) => open(index, `other${index}`, prefix)));
  const campaigns = stores.map((store, index) => store.campaign(`other${index}`, signal));
  cluster.signal(leader, 'SIGSTOP');
  const second = await Promise.race(campaigns);
  expect(second.fence.revision).toBeGreaterThan(first.fence.revision);
  cluster.signal(leader, 'SIGCONT');
  const late = await old.transact({ ...put('task/a', '2', 0), compares: [first.fence] });
  expect(late).toEqual({ committed: false, conflicts: [first.fence.key] });
  await expect.poll(() => first.signal.aborted, { timeout: 5_000 }).toBe(true);
  for (const campaign of campaigns) campaign.catch(() => undefined); // the other never leads
  await Promise.all([old, ...stores].map((store) => store.close()));
});

test('a store whose own member was away goes back to it, and takes its watches along', async () => {
  const own = ((await cluster.leader()) + 1) % membersCount;
  const store = await open(own, 'returning', `${systemRandom.id()}/`);
  const watches = vi.spyOn(EtcdMember.prototype, 'watch');
  const watchedAt = () => (watches.mock.contexts.at(-1) as EtcdMember | undefined)?.endpoint;
  const over = new AbortController();
  const batches: WatchBatch[] = [];
  const following = follow(store, (await store.list('')).revision, batches, over.signal);
  const told = async (key: string) => {
    await store.transact(put(key, key, 0));
    await expect.poll(() => batches.at(-1)?.events, { timeout: 20_000 }).toMatchObject([{ key }]);
  };
  const [first, second] = cluster.endpointsFrom(own);
  try {
    await told('task/before');
    expect(watchedAt()).toBe(first);
    cluster.signal(own, 'SIGSTOP');
    await told('task/meanwhile');
    expect(watchedAt()).toBe(second);
    cluster.signal(own, 'SIGCONT');
    await expect.poll(watchedAt, { timeout: 20_000 }).toBe(first);
    await told('task/after');
  } finally {
    cluster.signal(own, 'SIGCONT');
    over.abort();
    await following;
    watches.mockRestore();
    await store.close();
  }
});

test('a store most of whose members are away says so, until they are back', async () => {
  const store = await open(0, 'alone', `${systemRandom.id()}/`);
  const stop = new AbortController();
  const campaign = store.campaign('alone', stop.signal).catch(() => undefined);
  try {
    expect(store.problem).toBeUndefined();
    for (const index of [1, 2]) cluster.signal(index, 'SIGSTOP');
    await expect
      .poll(() => store.problem?.message, { timeout: 20_000 })
      .toMatch(/^Nothing can be changed now/);
  } finally {
    for (const index of [1, 2]) cluster.signal(index, 'SIGCONT');
  }
  await expect.poll(() => store.problem, { timeout: 20_000 }).toBeUndefined();
  stop.abort();
  await (await campaign)?.resign();
  await store.close();
});
