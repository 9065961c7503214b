import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { containersOf } from '../harness/inventory.ts';
import { Load } from '../harness/load.ts';
import { paths } from '../harness/state.ts';

/** A host leaves its cluster while its tasks are used. */

let cluster: Cluster;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const page = JSON.stringify({ version: '1', replica: '$$(hostname)', visits: 1 }).replaceAll('"', '\\"');
  const text = `
services:
  web:
    image: ${image}
    command: [sh, -c, 'mkdir /www; echo "${page}" > /www/index.html; exec httpd -f -p 8080 -h /www']
    ports: ["8080:8080"]
    stop_grace_period: 1s
    deploy: { replicas: 6 }
`;
  const file = await writeComposeFile(cluster, 'leaving', text);
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', file, '--timeout', '60']);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

test('a host that leaves under load loses no request: nobody sends its tasks anything when they end', async () => {
  expect((await containersOf(cluster.host('c'))).length).toBe(2);
  const load = new Load(
    ['a', 'b'].map((name) => `http://${cluster.host(name).address}:8080/`),
    4,
  );
  await vi.waitFor(() => expect(load.requests).toBeGreaterThan(50), { timeout: 10_000 });
  const { exitCode, stderr } = await cluster.shoal(['leave'], { host: 'c' });
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  await untilConverged(cluster, 'leaving', 20_000);
  const asked = load.requests;
  await vi.waitFor(() => expect(load.requests).toBeGreaterThan(asked + 50), { timeout: 10_000 });
  expect((await load.stop()).failures).toEqual([]);
});

test('its tasks run elsewhere, and the cluster has drained it', async () => {
  const client = cluster.client();
  const nodes = await client.request<Node[]>('GET', '/nodes');
  client.close();
  const left = nodes.find(({ description }) => description?.hostname === 'c')!;
  expect(left.availability).toBe('drain');
  const tasks = await currentTasks(cluster, 'leaving');
  expect(tasks).toHaveLength(6);
  expect(tasks.filter(({ nodeId }) => nodeId === left.id)).toEqual([]);
  expect(await containersOf(cluster.host('c'))).toEqual([]);
});
