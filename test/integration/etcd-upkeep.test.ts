import { afterAll, beforeAll, expect, test } from 'vitest';
import { openEtcdStore, type EtcdStore } from '../../manager/store/etcd/etcd.ts';
import { createStoreKeeper, membersApart } from '../../manager/store/keeper.ts';
import type { WatchBatch } from '../../manager/store/store.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { EtcdCluster } from '../harness/etcd.ts';

let cluster: EtcdCluster;
let leader: number;
beforeAll(async () => {
  cluster = await EtcdCluster.start(3);
  leader = await cluster.leader();
});
afterAll(() => cluster.down());

const open = (owner: string, endpoints: string[]) =>
  openEtcdStore({ endpoints, tls: cluster.tls, clock: systemClock, prefix: `${owner}/`, owner });
const put = (key: string, value: string) => ({ compares: [], puts: [{ key, value }], deletes: [] });

async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await look())) await systemClock.sleep(20);
}

/** Reads a watch of everything for as long as the store is open. */
function follow(store: EtcdStore, from: number): WatchBatch[] {
  const heard: WatchBatch[] = [];
  const read = async () => {
    for await (const batch of store.watch('', from, new AbortController().signal)) heard.push(batch);
  };
  read().catch(() => undefined); // closed at the end of the test
  return heard;
}

test('what is old is forgotten and its room given back, at each member', async () => {
  const store = await open('small', cluster.endpointsFrom(leader));
  const { upkeep } = store;
  const { revision: from } = await store.list('');
  const heard = follow(store, from);
  const value = 'x'.repeat(20_000);
  for (let round = 0; round < 50; round++) {
    await Promise.all(Array.from({ length: 20 }, (_, index) => store.transact(put(`task/${index}`, value))));
  }
  const { revision } = await store.list('');
  await until(() => (heard.at(-1)?.revision ?? 0) >= revision - 1);
  expect(await upkeep.isLeading()).toBe(true);
  expect(await upkeep.watchedRevision(0)).toBe(Infinity);
  await upkeep.tellWatched();
  expect(await upkeep.watchedRevision(0)).toBe(heard.at(-1)!.revision);
  expect(await upkeep.watchedRevision((await upkeep.revision()) + 1)).toBe(Infinity);

  await upkeep.compact(revision - 5);
  await upkeep.compact(revision - 6); // somebody else was faster
  const late = store.watch('', from, new AbortController().signal)[Symbol.asyncIterator]().next();
  await expect(late).rejects.toMatchObject({ code: 'failed_precondition' });

  // etcd goes over its file in the background
  await until(async () => (await upkeep.sizes()).every((size) => size!.bytes > 1.5 * size!.inUseBytes));
  const before = await upkeep.sizes();
  expect(before.filter((size) => size!.isLeader).map((size) => size!.endpoint)).toEqual([
    cluster.endpoints[leader],
  ]);
  for (const size of before) await upkeep.defragment(size!.endpoint);
  const after = await upkeep.sizes();
  expect(after.every((size, index) => size!.bytes < before[index]!.bytes / 2)).toBe(true);
  expect((await store.list('')).values).toHaveLength(20);
  const hashes = await upkeep.hashes(await upkeep.revision());
  expect(hashes.every((each) => each !== undefined && each.fromRevision === revision - 5)).toBe(true);
  expect(membersApart(hashes)).toEqual([]);
  await store.close();
});

test('a keeper at a member that does not lead leaves all as it is, and one that leads hands over', async () => {
  const follower = (leader + 1) % 3;
  const store = await open('follower', cluster.endpointsFrom(follower));
  expect(await store.upkeep.isLeading()).toBe(false);
  const keeper = createStoreKeeper({ store, clock: systemClock, log: silentLogger });
  keeper.start();
  await keeper.stop();
  const first = await open('first', cluster.endpointsFrom(leader));
  await first.upkeep.handOver();
  await until(async () => (await cluster.leader()) !== leader);
  leader = await cluster.leader();
  await Promise.all([store.close(), first.close()]);
});

test('members come and go under writers and a watch, and nothing is missing', async () => {
  const [own, next, third] = cluster.endpointsFrom((leader + 1) % 3);
  const store = await open('moving', [own!, next!]);
  const { revision } = await store.list('');
  const heard = follow(store, revision);
  const over = new AbortController();
  const counts = Array.from({ length: 8 }, () => 0);
  const writing = counts.map(async (_, writer) => {
    while (!over.signal.aborted) {
      await store.transact(put(`task/${writer}`, String(counts[writer]! + 1)));
      counts[writer]!++;
    }
  });
  for (const endpoints of [[next!, third!], [third!], [own!, next!, third!], [next!]]) {
    const before = counts[0]!;
    store.setEndpoints(endpoints);
    await until(() => counts[0]! > before + 5);
  }
  over.abort();
  await Promise.all(writing);
  const told = () => heard.flatMap(({ events }) => events).length;
  const written = counts.reduce((sum, count) => sum + count, 0);
  await until(() => told() >= written);
  expect(told()).toBe(written);
  for (const [writer, count] of counts.entries()) {
    expect((await store.get(`task/${writer}`))?.value).toBe(String(count));
  }
  await store.close();
});
