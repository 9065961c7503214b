import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SeveralManagers, type OneManager } from '../../manager/leading/testing.ts';
import { createClusterStore } from '../../manager/store/cluster-store.ts';
import { openEtcdStore } from '../../manager/store/etcd/etcd.ts';
import type { Volume } from '../../src/spec/resource.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { ClusterInfo } from '../../src/wire/api.ts';
import { EtcdCluster } from '../harness/etcd.ts';

const count = 3;
const faults = ['SIGKILL', 'SIGSTOP', 'SIGKILL'] as const;
const pausedMs = 1_500;
const betweenMs = 1_500;

let cluster: EtcdCluster;
let several: SeveralManagers;

beforeAll(async () => {
  cluster = await EtcdCluster.start(count);
  const leader = await cluster.leader();
  const prefix = `${systemRandom.id()}/`;
  // The first manager is beside the member that leads; so are the others beside theirs.
  several = await SeveralManagers.start(count, async (place) => {
    const endpoints = cluster.endpointsFrom((leader + place) % count);
    const owner = `manager${place}`;
    const store = await openEtcdStore({ endpoints, tls: cluster.tls, clock: systemClock, prefix, owner });
    return createClusterStore(store, 'etcd', { clock: systemClock, log: silentLogger });
  });
});
afterAll(async () => {
  await several?.[Symbol.asyncDispose]();
  await cluster?.down();
});

interface Made {
  acknowledged: string[];
  unknown: string[];
  /** What was told as made and was not found right afterwards by the same manager. */
  unseen: string[];
}

/** Makes one volume after another by way of one manager, and looks for each. */
async function makeVolumes(manager: OneManager, until: AbortSignal): Promise<Made> {
  const made: Made = { acknowledged: [], unknown: [], unseen: [] };
  for (let index = 0; !until.aborted; index++) {
    const name = `v${manager.place}-${index}`;
    try {
      await manager.client.request('POST', '/volumes', { name });
      made.acknowledged.push(name);
      const found = await manager.client.request<Volume>('GET', `/volumes/${name}`).catch(() => undefined);
      if (found === undefined) made.unseen.push(name);
    } catch (error) {
      // Whether it was made is not known then; it is not asked for again.
      expect(error).toMatchObject({ code: 'unavailable' });
      made.unknown.push(name);
    }
  }
  return made;
}

async function entriesOf({ folder }: OneManager): Promise<{ objects?: string[]; status: number }[]> {
  const text = await readFile(join(folder, 'manager/audit/audit.log'), 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as { objects?: string[]; status: number });
}

const leaderOf = async ({ client }: OneManager) =>
  (await client.request<ClusterInfo>('GET', '/cluster')).leader;

test('leaders come and go under writers at every manager, and nothing acknowledged is missing or was done twice', async () => {
  const writing = new AbortController();
  const { managers } = several;
  const writers = managers.map((manager) => makeVolumes(manager, writing.signal));
  const leaders = [await leaderOf(managers[0]!)];
  for (const fault of faults) {
    await systemClock.sleep(betweenMs);
    const member = await cluster.leader();
    cluster.signal(member, fault);
    await systemClock.sleep(pausedMs);
    if (fault === 'SIGSTOP') cluster.signal(member, 'SIGCONT');
    else {
      await cluster.kill(member);
      cluster.run(member);
    }
    await expect
      .poll(async () => new Set(await Promise.all(managers.map(leaderOf))).size, { timeout: 10_000 })
      .toBe(1);
    leaders.push(await leaderOf(managers[0]!));
  }
  await systemClock.sleep(betweenMs);
  writing.abort();
  const made = await Promise.all(writers);
  for (const [index, leader] of leaders.slice(1).entries()) expect(leader).not.toBe(leaders[index]);
  const acknowledged = made.flatMap((one) => one.acknowledged);
  const unknown = made.flatMap((one) => one.unknown);
  for (const { client } of managers) {
    const names = (await client.request<Volume[]>('GET', '/volumes')).map(({ spec }) => spec.name);
    expect(new Set(names).size).toBe(names.length);
    expect(acknowledged.filter((name) => !names.includes(name))).toEqual([]);
    expect(names.filter((name) => ![...acknowledged, ...unknown].includes(name))).toEqual([]);
  }
  expect(made.flatMap(({ unseen }) => unseen)).toEqual([]);
  expect(made.every((one) => one.acknowledged.length > 0)).toBe(true);
  // Each change is in the log of the one manager that made it; it is written a moment later.
  const timesTold = async () => {
    const entries = (await Promise.all(managers.map(entriesOf))).flat();
    const created = entries.filter(({ status }) => status === 201).flatMap(({ objects = [] }) => objects);
    return acknowledged.map((name) => created.filter((object) => object === `create volume ${name}`).length);
  };
  await expect.poll(timesTold, { timeout: 10_000 }).toEqual(acknowledged.map(() => 1));
});
