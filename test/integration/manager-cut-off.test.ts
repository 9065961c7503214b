import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { sleepers } from '../bench/sleepers.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { containersOf } from '../harness/inventory.ts';
import type { Host } from '../harness/host.ts';
import { busyboxImage, nodeImage } from '../harness/image.ts';
import { getJson } from '../harness/load.ts';
import { paths } from '../harness/state.ts';
import { until } from '../harness/until.ts';
import type { Node } from '../../src/spec/node.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

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

test('a worker that comes back sends nothing of its own to a program that has been told to end', async () => {
  const node = await cluster.push('library/node:1', await nodeImage(paths(cluster.directory).images));
  const path = await writeComposeFile(cluster, 'ending', endingText(node));
  expect((await cluster.shoal(['up', '-f', path])).exitCode).toBe(0);
  const [task] = await currentTasks(cluster, 'ending');
  const worker = await hostOf(task!);
  await worker.cut();
  try {
    await vi.waitFor(async () => {
      const [now] = await currentTasks(cluster, 'ending');
      expect([now!.id === task!.id, now!.status.state]).toEqual([false, 'running']);
    }, soon);
    await worker.run(['sh', '-c', slowNft]);
  } finally {
    await worker.heal();
  }
  const answers = await answersUntilGone(`http://${worker.address}:18090/`, task!.id);
  expect(answers.some(({ replica }) => replica === task!.id)).toBe(true);
  const late = answers.filter(({ beganMs, endingMs }) => endingMs !== null && beganMs > endingMs);
  expect(late).toEqual([]);
}, 120_000);

/** The host's packet filter takes longer to change than it takes to stop a task. */
const slowNft = `
  cp "$(command -v nft)" /run/shoal/nft
  printf '#!/bin/sh\\nsleep 0.2\\nexec /run/shoal/nft "$@"\\n' >/run/shoal/slow-nft
  chmod +x /run/shoal/slow-nft
  mount --bind /run/shoal/slow-nft "$(command -v nft)"`;

/** Told to end it serves on for a while, and each answer says since when (ms of the machine's monotonic clock). */
const endingText = (reference: string) => `
services:
  web:
    image: ${reference}
    command:
      - node
      - -e
      - |
        let endingMs = null;
        const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
        process.on('SIGTERM', () => (endingMs = nowMs()));
        require('http').createServer((_, response) => {
          response.setHeader('connection', 'close');
          response.end(JSON.stringify({ replica: require('os').hostname(), endingMs }));
        }).listen(8080);
    ports: ["18090:8080"]
    stop_grace_period: 2s
    healthcheck: { test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/"], start_interval: 200ms, start_period: 30s }
    deploy: { placement: { constraints: [node.hostname != a] } }`;

interface EndingAnswer {
  beganMs: number;
  replica: string;
  endingMs: number | null;
}

/** Asks without a pause until the replica has answered and another one does. */
async function answersUntilGone(url: string, replica: string): Promise<EndingAnswer[]> {
  const answers: EndingAnswer[] = [];
  await until(`${url} being answered by another replica`, async () => {
    for (;;) {
      const beganMs = Number(process.hrtime.bigint()) / 1e6;
      const answer = await getJson<Omit<EndingAnswer, 'beganMs'>>(url, 1_000);
      answers.push({ beganMs, ...answer });
      if (answer.replica !== replica) return true;
    }
  });
  return answers;
}

async function hostOf({ nodeId }: TaskInfo): Promise<Host> {
  const client = cluster.client();
  try {
    const node = await client.request<Node>('GET', `/nodes/${nodeId}`);
    return cluster.host(node.description!.hostname);
  } finally {
    client.close();
  }
}

/** The tasks that are wanted, with the processes of those whose hosts run them. */
async function standing(application: string): Promise<Map<string, string | undefined>> {
  const tasks = await currentTasks(cluster, application);
  const containers = (await Promise.all(cluster.hosts.map(containersOf))).flat();
  const processes = new Map(containers.map(({ id, process }) => [id, process]));
  return new Map(tasks.map(({ id }) => [id, processes.get(id)] as const));
}
