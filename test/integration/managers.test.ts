import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { managerStates, type Cluster } from '../harness/cluster.ts';
import { untilConverged } from '../harness/compose.ts';
import type { Host } from '../harness/host.ts';
import { containersOf } from '../harness/inventory.ts';
import { leaderFaults, LeaderLossRig } from '../harness/leader-loss.ts';
import { Load } from '../harness/load.ts';
import { leaderOf, standing, untilManagers, untilWritten } from '../harness/managers.ts';
import { killProcess } from '../harness/processes.ts';

/** Five hosts, three of them managers, an application on the two workers, and the leader lost in every way. */

const replicas = 4;

let rig: LeaderLossRig;
let cluster: Cluster;
let managers: readonly string[];
let all: readonly string[];

beforeAll(async () => {
  rig = await LeaderLossRig.create({ hosts: 5, managers: 3, replicas });
  ({ cluster, managers, allManagers: all } = rig);
}, 240_000);

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write((await cluster?.troubles(40)) ?? '');
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

test('every manager tells the same of the three', async () => {
  for (const name of managers) {
    const client = cluster.client(name);
    const states = await managerStates(client);
    client.close();
    expect(Object.keys(states).sort()).toEqual(managers);
    expect(Object.values(states).sort()).toEqual(all);
  }
});

test('what is asked of a manager that does not lead is done', async () => {
  const leader = await leaderOf(cluster, 'a');
  const host = managers.find((name) => name !== leader.name)!;
  const up = await cluster.shoal(['up', '-f', rig.composeFile, '--timeout', '60'], {
    host,
    env: { REPLICAS: '6' },
  });
  expect(up).toMatchObject({ exitCode: 0 });
  const logs = await cluster.shoal(['exec', '-T', '-p', 'web', 'web', 'echo', 'hello'], { host });
  expect(logs).toMatchObject({ exitCode: 0, stdout: 'hello\n' });
  const back = await cluster.shoal(['scale', '-p', 'web', `web=${replicas}`], { host });
  expect(back).toMatchObject({ exitCode: 0 });
  await untilConverged(cluster, 'web', 30_000);
  await vi.waitFor(async () => expect(await standing(rig.workers)).toHaveLength(replicas), {
    timeout: 30_000,
    interval: 200,
  });
}, 180_000);

test.each(leaderFaults)(
  'the leader is %s: the next change is accepted by another, and nothing that runs is touched',
  async (fault) => {
    const { writtenMs, requests, failures, touched } = await rig.lose(fault);
    process.stderr.write(`  written after ${Math.round(writtenMs)} ms, ${requests} requests\n`);
    expect({ failures, touched }).toEqual({ failures: [], touched: [] });
    expect(requests).toBeGreaterThan(0);
  },
  180_000,
);

test('with two managers cut off together what runs is served and started again, it is said, and all heals by itself', async () => {
  const leader = await leaderOf(cluster, 'a');
  const cutOff = managers.filter((name) => name !== leader.name).map((name) => cluster.host(name));
  const [worker] = rig.workers as [Host];
  const before = await standing(rig.workers);
  const load = new Load(
    rig.workers.map(({ address }) => `http://${address}:8080/`),
    4,
  );
  try {
    for (const host of cutOff) await host.cut();
    await vi.waitFor(
      async () => {
        const { stderr } = await cluster.shoal(['node', 'ls'], { host: leader.name });
        expect(stderr).toContain('most managers are away or do not reach each other. What runs goes on');
      },
      { timeout: 30_000, interval: 500 },
    );
    const refused = await cluster.shoal(['scale', '-p', 'web', 'web=6'], { host: leader.name });
    expect(refused).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining('no manager leads the cluster') as string,
    });
    expect(await standing(rig.workers)).toEqual(before);
    expect((await load.stop()).failures).toEqual([]);
    const [killed] = await containersOf(worker);
    await worker.run(['kill', '-9', killed!.process.split(' ')[0]!]);
    await vi.waitFor(
      async () => {
        const now = await containersOf(worker);
        expect(now.map(({ id }) => id)).toContain(killed!.id);
        expect(now.map(({ process }) => process)).not.toContain(killed!.process);
      },
      { timeout: 30_000, interval: 200 },
    );
  } finally {
    await load.stop();
    for (const host of cutOff) await host.heal();
  }
  await untilManagers(cluster, leader.name, all);
  await untilConverged(cluster, 'web', 30_000);
  expect((await standing(rig.workers)).length).toBe(replicas);
}, 180_000);

test('a manager becomes a worker, another host a manager, and one leaves', async () => {
  const leader = await leaderOf(cluster, 'a');
  const [one, other] = managers.filter((name) => name !== leader.name) as [string, string];
  const shoal = async (args: string[], host: string) => {
    const result = await cluster.shoal(args, { host });
    expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  };
  await shoal(['node', 'demote', one], other);
  await untilManagers(cluster, other, ['Leader', 'Reachable']);
  await shoal(['node', 'promote', 'd'], other);
  await untilManagers(cluster, other, all);
  await shoal(['leave'], leader.name);
  await untilManagers(cluster, other, ['Leader', 'Reachable']);
  await shoal(['node', 'promote', one], other);
  await untilManagers(cluster, one, all);
}, 240_000);

/** What the managers are, by host, in the eyes of the first one that answers. */
async function statesNow(): Promise<Record<string, string>> {
  for (const { name } of cluster.hosts) {
    const client = cluster.client(name);
    const states = await managerStates(client, AbortSignal.timeout(5_000)).catch(() => undefined);
    client.close();
    if (states !== undefined) return states;
  }
  throw new Error('no manager answers');
}

test('a manager whose host has died is removed, and with one manager left the store is a file again', async () => {
  const states = Object.entries(await statesNow());
  const leader = states.find(([, state]) => state === 'Leader')![0];
  const [dead, other] = states.map(([name]) => name).filter((name) => name !== leader) as [string, string];
  killProcess(cluster.host(dead).initPid, 'SIGKILL');
  await untilManagers(cluster, leader, ['Leader', 'Reachable', 'Unreachable']);
  const refused = await cluster.shoal(['node', 'demote', other], { host: leader });
  expect(refused).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining(`${dead} is away`) as string,
  });
  const removed = await cluster.shoal(['node', 'rm', '--yes', dead], { host: leader });
  expect(removed).toMatchObject({ exitCode: 0 });
  await untilManagers(cluster, leader, ['Leader', 'Reachable']);
  const demoted = await cluster.shoal(['node', 'demote', other], { host: leader });
  expect(demoted).toMatchObject({ exitCode: 0 });
  await untilManagers(cluster, leader, ['Leader']);
  const place = join(cluster.host(leader).stateDirectory, 'manager', 'store.json');
  await vi.waitFor(async () => expect(await readFile(place, 'utf8')).toMatch(/embedded/), {
    timeout: 60_000,
    interval: 200,
  });
  await untilWritten(cluster, leader, leader);
  await vi.waitFor(async () => expect(await cluster.host(other).part('manager')).toBeUndefined(), {
    timeout: 30_000,
    interval: 200,
  });
}, 240_000);
