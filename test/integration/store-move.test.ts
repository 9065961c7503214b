import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ClusterStore } from '../../manager/store/cluster-store.ts';
import { openEtcdStore } from '../../manager/store/etcd/etcd.ts';
import { embeddedTarget, etcdTarget, openClusterStore, type EtcdPlace } from '../../manager/store/opening.ts';
import { openSqliteStore } from '../../manager/store/sqlite.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { EtcdCluster } from '../harness/etcd.ts';

const objects = 5_000;
const counters = 8;

let cluster: EtcdCluster;
let folder: string;
let store: ClusterStore;
beforeAll(async () => {
  cluster = await EtcdCluster.start(1);
});
afterAll(() => cluster.down());
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-state-move-'));
  store = await open();
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

const openEtcd = () =>
  openEtcdStore({ endpoints: cluster.endpoints, tls: cluster.tls, clock: systemClock, owner: 'move' });
const place = (): EtcdPlace => ({
  backend: 'etcd',
  generation: 'test',
  endpoints: cluster.endpoints,
  nodeId: 'member0',
});
const open = () =>
  openClusterStore(folder, {
    clock: systemClock,
    log: silentLogger,
    openEmbedded: openSqliteStore,
    openEtcd,
  });
const there = () => store.moveTo(etcdTarget(folder, place(), openEtcd));
const back = () => store.moveTo(embeddedTarget(folder, openSqliteStore));
const put = (key: string, value: string) => ({ compares: [], puts: [{ key, value }], deletes: [] });

/** Raises counters, each by compare and set, until told to stop; gives what was acknowledged of each. */
function countUp(): () => Promise<number[]> {
  const over = new AbortController();
  const counting = Array.from({ length: counters }, async (_, index) => {
    const key = `task/${index}`;
    for (let acknowledged = 0; ;) {
      if (over.signal.aborted) return acknowledged;
      const { lineage } = store;
      const current = await store.get(key).catch(() => null);
      if (current === null) continue; // the store that was asked has been left meanwhile
      const compares = [{ key, revision: current?.revision ?? 0 }];
      const value = String(Number(current?.value ?? 0) + 1);
      const result = await store.transact({ ...put(key, value), compares, lineage });
      if (result.committed) acknowledged++;
    }
  });
  return () => {
    over.abort();
    return Promise.all(counting);
  };
}

test('there and back with writers at work: nothing acknowledged is missing, nothing is done twice', async () => {
  const value = 'x'.repeat(1_000);
  const fill = Array.from({ length: objects }, (_, index) => store.transact(put(`node/${index}`, value)));
  await Promise.all(fill);
  const stop = countUp();
  const moved = async (move: () => Promise<unknown>) => {
    const before = Number((await store.get('task/0'))?.value ?? 0);
    await move();
    while (Number((await store.get('task/0').catch(() => undefined))?.value ?? 0) < before + 10) {
      await systemClock.sleep(5);
    }
  };
  await moved(there);
  await moved(back);
  await moved(there);
  expect(store.backend).toBe('etcd');
  const counts = await stop();
  await store.close();
  store = await open();
  const { values } = await store.list('');
  const found = new Map(values.map((each) => [each.key, each.value]));
  expect(counts.map((_, index) => Number(found.get(`task/${index}`)))).toEqual(counts);
  expect(found.size).toBe(objects + counters);
});

test('who leads begins anew on etcd, and his writes of before are refused there', async () => {
  const never = new AbortController().signal;
  const first = await store.campaign('a', never);
  await there();
  const second = await store.campaign('a', never);
  expect(await store.transact({ ...put('task/a', '1'), compares: [first.fence] })).toMatchObject({
    committed: false,
  });
  expect(await store.transact({ ...put('task/a', '1'), compares: [second.fence] })).toMatchObject({
    committed: true,
  });
  expect(first.signal.aborted).toBe(true);
  await back();
  expect(await store.transact({ ...put('task/a', '2'), compares: [second.fence] })).toMatchObject({
    committed: false,
  });
});

test('an etcd that is away leaves the store where it was', async () => {
  await store.transact(put('task/a', '1'));
  cluster.signal(0, 'SIGSTOP');
  const refused = expect(there()).rejects.toMatchObject({ code: 'unavailable' });
  await store.transact(put('task/b', '1'));
  await refused;
  cluster.signal(0, 'SIGCONT');
  expect([store.backend, (await store.list('')).values.length]).toEqual(['embedded', 2]);
});
