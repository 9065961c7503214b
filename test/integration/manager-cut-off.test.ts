import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { sleepers } from '../bench/sleepers.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { paths } from '../harness/state.ts';
import type { Node } from '../../src/spec/node.ts';

/** Three hosts; the cable of the one with the manager is pulled. */

const replicas = 9;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const client = cluster.client();
  try {
    await client.request('PUT', '/applications/bench', sleepers(image, replicas));
  } finally {
    client.close();
  }
  await nodesReady(cluster.manager, 3);
}, 120_000);

afterAll(() => cluster?.[Symbol.asyncDispose]());

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
