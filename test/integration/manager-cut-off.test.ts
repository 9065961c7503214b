import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { sleepers } from '../bench/sleepers.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { containersOf } from '../harness/inventory.ts';
import { busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';
import type { Node } from '../../src/spec/node.ts';

/** Three hosts; the cable of one of them is pulled. */

const replicas = 9;
let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const client = cluster.client();
  try {
    await client.request('PUT', '/applications/bench', sleepers(image, replicas));
  } finally {
    client.close();
  }
  await nodesReady(cluster.manager, 3);
}, 120_000);

afterAll(() => cluster?.[Symbol.asyncDispose]());

const soon = { timeout: 30_000, interval: 200 };

const running = async () => {
  const tasks = await currentTasks(cluster, 'bench');
  const there = tasks.filter(({ status }) => status.state === 'running');
  return new Map(there.map(({ id, nodeId }) => [id, nodeId]));
};

test('a manager whose cable is pulled for five seconds stops and moves nothing', async () => {
  await vi.waitFor(async () => expect((await running()).size).toBe(replicas), {
    timeout: 60_000,
    interval: 200,
  });
  const before = await running();
  expect(new Set(before.values()).size).toBe(3);
  await cluster.host('a').cut();
  await systemClock.sleep(5_000);
  expect(await currentTasks(cluster, 'bench')).toHaveLength(replicas);
  await cluster.host('a').heal();
  await systemClock.sleep(5_000);
  const client = cluster.client();
  try {
    const nodes = await client.request<Node[]>('GET', '/nodes');
    expect(nodes.map(({ status }) => status.state)).toEqual(['ready', 'ready', 'ready']);
  } finally {
    client.close();
  }
  expect(await running()).toEqual(before);
}, 120_000);

test('a worker that comes back before its tasks are replaced keeps them', async () => {
  // Healthy after twelve seconds: no replacement runs as long as the cable is pulled.
  const text = `
services:
  slow:
    image: ${image}
    command: [sh, -c, "sleep 12; touch /tmp/ready; sleep 1000000"]
    stop_grace_period: 0s
    healthcheck: { test: [CMD, test, -f, /tmp/ready], interval: 1s, start_period: 60s }
    deploy: { replicas: 3 }`;
  const path = await writeComposeFile(cluster, 'slow', text);
  expect((await cluster.shoal(['up', '-f', path])).exitCode).toBe(0);
  const before = await standing('slow');
  const worker = cluster.host('b');
  const there = (await containersOf(worker)).map(({ id }) => id).filter((id) => before.has(id));
  expect(there).toHaveLength(1);
  await worker.cut();
  try {
    await vi.waitFor(async () => expect([...(await standing('slow')).keys()]).not.toContain(there[0]), soon);
  } finally {
    await worker.heal();
  }
  await vi.waitFor(async () => expect(await standing('slow')).toEqual(before), soon);
  await untilConverged(cluster, 'slow', 60_000);
  expect(await standing('slow')).toEqual(before);
}, 120_000);

/** The tasks that are wanted, with the processes of those whose hosts run them. */
async function standing(application: string): Promise<Map<string, string | undefined>> {
  const tasks = await currentTasks(cluster, application);
  const containers = (await Promise.all(cluster.hosts.map(containersOf))).flat();
  const processes = new Map(containers.map(({ id, process }) => [id, process]));
  return new Map(tasks.map(({ id }) => [id, processes.get(id)] as const));
}
