import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import type { TaskInfo } from '../../src/wire/api.ts';
import { createCluster, managerStates, type Cluster } from '../harness/cluster.ts';
import { untilConverged, writeComposeFile } from '../harness/compose.ts';
import type { Host } from '../harness/host.ts';
import { busyboxImage } from '../harness/image.ts';
import { Load, type LoadResult } from '../harness/load.ts';
import { leaderOf, signalManager, standing, untilManagers, untilWritten } from '../harness/managers.ts';
import { killProcess } from '../harness/processes.ts';
import { paths } from '../harness/state.ts';

/** Five hosts, three of them managers, an application on the two workers, and the leader lost in every way. */

const managers = ['a', 'b', 'c'];
const workers = ['d', 'e'];
const replicas = 4;
/** How long a leader is paused or cut off: longer than an election takes. */
const awayMs = 4_000;
const all = ['Leader', 'Reachable', 'Reachable'];

let cluster: Cluster;
let composeFile: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 5, managers: 3 });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const page = JSON.stringify({ version: '1', replica: '$$(hostname)', visits: 1 }).replaceAll('"', '\\"');
  const text = `
services:
  web:
    image: ${image}
    command: [sh, -c, 'mkdir /www; echo "${page}" > /www/index.html; exec httpd -f -p 8080 -h /www']
    ports: ["8080:8080"]
    stop_grace_period: 1s
    deploy:
      replicas: \${REPLICAS:-${replicas}}
      placement: { constraints: [node.role == worker] }
`;
  composeFile = await writeComposeFile(cluster, 'web', text);
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', composeFile, '--timeout', '60']);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
}, 240_000);

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write((await cluster?.troubles(40)) ?? '');
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

const workerHosts = () => workers.map((name) => cluster.host(name));

/** The tasks that ought to run, in the eyes of the manager on a host, each with where it is. */
async function tasksSeenBy(name: string): Promise<string[]> {
  const client = cluster.client(name);
  try {
    const tasks = await client.request<TaskInfo[]>('GET', '/tasks?application=web');
    return tasks
      .map(({ id, nodeId, desiredState, status }) => `${id} ${nodeId} ${desiredState} ${status.state}`)
      .sort();
  } finally {
    client.close();
  }
}

interface Loss {
  result: LoadResult;
  /** Until the next change was accepted by another manager, ms. */
  writtenMs: number;
}

/** Takes the leader away and gives it back while the application is used, and holds that nothing of that is noticed. */
async function withoutLeader(
  take: (leader: Host) => Promise<void>,
  giveBack: (leader: Host) => Promise<void>,
): Promise<Loss> {
  const leader = await leaderOf(cluster, 'a');
  const other = managers.find((name) => name !== leader.name)!;
  const [containers, tasks] = [await standing(workerHosts()), await tasksSeenBy(other)];
  expect(containers).toHaveLength(replicas);
  const addresses = cluster.hosts.filter(({ name }) => name !== leader.name).map(({ address }) => address);
  const load = new Load(
    addresses.map((address) => `http://${address}:8080/`),
    4,
  );
  await vi.waitFor(() => expect(load.requests).toBeGreaterThan(50), { timeout: 20_000 });
  await take(leader);
  const writtenMs = await untilWritten(cluster, other, workers[0]!);
  await systemClock.sleep(awayMs);
  const successor = await leaderOf(cluster, other);
  expect(successor.name).not.toBe(leader.name);
  await giveBack(leader);
  await untilManagers(cluster, other, all);
  await untilManagers(cluster, leader.name, all);
  const asked = load.requests;
  await vi.waitFor(() => expect(load.requests).toBeGreaterThan(asked + 50), { timeout: 20_000 });
  const result = await load.stop();
  process.stderr.write(`  written after ${Math.round(writtenMs)} ms, ${result.requests} requests\n`);
  expect(result.failures).toEqual([]);
  expect(await standing(workerHosts())).toEqual(containers);
  expect(await tasksSeenBy(other)).toEqual(tasks);
  return { result, writtenMs };
}

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
  const up = await cluster.shoal(['up', '-f', composeFile, '--timeout', '60'], {
    host,
    env: { REPLICAS: '6' },
  });
  expect(up).toMatchObject({ exitCode: 0 });
  const logs = await cluster.shoal(['exec', '-T', '-p', 'web', 'web', 'echo', 'hello'], { host });
  expect(logs).toMatchObject({ exitCode: 0, stdout: 'hello\n' });
  const back = await cluster.shoal(['scale', '-p', 'web', `web=${replicas}`], { host });
  expect(back).toMatchObject({ exitCode: 0 });
  await untilConverged(cluster, 'web', 30_000);
  await vi.waitFor(async () => expect(await standing(workerHosts())).toHaveLength(replicas), {
    timeout: 30_000,
    interval: 200,
  });
}, 180_000);

test('the leader is killed: the next change is accepted, and nothing that runs is touched', async () => {
  await withoutLeader(
    async (leader) => await leader.kill('manager'),
    () => Promise.resolve(), // its daemon starts it again
  );
}, 180_000);

test('the leader is paused, and goes on as if nothing had been', async () => {
  await withoutLeader(
    (leader) => signalManager(leader, 'SIGSTOP'),
    (leader) => signalManager(leader, 'SIGCONT'),
  );
}, 180_000);

test('the host of the leader is cut off and comes back', async () => {
  await withoutLeader(
    (leader) => leader.cut(),
    (leader) => leader.heal(),
  );
}, 180_000);

test('etcd of the leader alone is killed', async () => {
  await withoutLeader(
    async (leader) => await leader.kill('etcd'),
    () => Promise.resolve(),
  );
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
