import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { Node, NodeCondition } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { emptyDisk, fillDisk, freezeDisk, thawDisk } from '../harness/disk.ts';
import { buildImage, busyboxImage, type BuiltImage } from '../harness/image.ts';
import { containersOf } from '../harness/inventory.ts';
import { paths } from '../harness/state.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

/** What a host does whose disk is full, beside one that has room. */

const soon = { timeout: 20_000, interval: 100 };
const recovery = { timeout: 45_000, interval: 100 };
const layerMebibytes = 40;

let cluster: Cluster;
let base: BuiltImage;
let small: string;
let big: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 2, disks: { b: 220 } });
  const { images } = paths(cluster.directory);
  base = await busyboxImage(images);
  small = await cluster.push('library/busybox:1', base);
  const files = { '/blob': { content: randomBytes(layerMebibytes * 1024 * 1024) } };
  big = await cluster.push('library/big:1', await buildImage({ directory: images, from: base, files }));
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
  await emptyDisk(cluster.host('b'));
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

const sleeper = (image: string, deploy: string) => `
services:
  s:
    image: ${image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    deploy: ${deploy}
`;
/** Counts, one on each host. */
const talker = (image: string) => `
services:
  s:
    image: ${image}
    command: [sh, -c, 'i=0; while true; do echo "count $$i"; i=$$((i+1)); sleep 0.1; done']
    stop_grace_period: 0s
    deploy: { mode: global }
`;
const everywhere = '{ mode: global, restart_policy: { delay: 500ms } }';

async function up(name: string, text: string, ...more: string[]) {
  const path = await writeComposeFile(cluster, name, text);
  return await cluster.shoal(['up', '-p', name, '-f', path, ...more]);
}

async function ask<T>(path: string): Promise<T> {
  const client = cluster.client();
  try {
    return await client.request<T>('GET', path);
  } finally {
    client.close();
  }
}

async function nodeB(): Promise<Node> {
  return (await ask<Node[]>('/nodes')).find(({ description }) => description?.hostname === 'b')!;
}

const conditionsOfB = async (): Promise<NodeCondition[]> => (await nodeB()).conditions ?? [];
const contentBytes = async (): Promise<number> => {
  const folder = join(cluster.host('b').stateDirectory, 'containerd/io.containerd.content.v1.content');
  return Number((await cluster.host('b').run(['du', '-sk', folder])).split('\t')[0]) * 1024;
};
const sessions = async (): Promise<number> =>
  (await readFile(cluster.host('b').logPath, 'utf8'))
    .split('\n')
    .filter((line) => line.includes('"session with the manager"')).length;

test('an image that does not fit is not downloaded, the disk is named, other hosts go on, and room is all it takes', async () => {
  await fillDisk(cluster.host('b'), layerMebibytes + 20); // too little for the layer and what it becomes
  const before = await contentBytes();
  expect((await up('big', sleeper(big, everywhere), '-d')).exitCode).toBe(0);
  const b = await nodeB();
  const refused = await vi.waitFor(async () => {
    const tasks = await ask<TaskInfo[]>('/tasks?application=big');
    const task = tasks.find(({ nodeId, status }) => nodeId === b.id && status.state === 'rejected');
    expect(task).toBeDefined();
    return task!;
  }, soon);
  expect(refused.status.error).toMatchObject({ code: 'no_space' });
  expect(refused.status.message).toMatch(
    /^Cannot pull \S+\/library\/big:1: \S+ has [\d.]+ MiB free, and it takes at least 8\d\.?\d* MiB/,
  );
  await vi.waitFor(async () => {
    expect(await conditionsOfB()).toMatchObject([
      { type: 'DiskFull', message: expect.stringContaining('free') },
    ]);
  }, soon);
  const running = (await currentTasks(cluster, 'big')).filter(({ status }) => status.state === 'running');
  expect(running.map(({ nodeId }) => nodeId)).not.toContain(b.id);
  expect((await contentBytes()) - before).toBeLessThan(1024 * 1024);
  await emptyDisk(cluster.host('b'));
  await untilConverged(cluster, 'big', recovery.timeout);
  expect(await conditionsOfB()).toEqual([]);
  expect((await cluster.shoal(['down', '-p', 'big'])).exitCode).toBe(0);
});

test('a disk that stands still for four seconds ends nothing, and the node says so meanwhile', async () => {
  await vi.waitFor(async () => expect(await conditionsOfB()).toEqual([]), recovery);
  expect((await up('still', talker(small))).exitCode).toBe(0);
  const host = cluster.host('b');
  const [before, opened] = [await containersOf(host), await sessions()];
  await freezeDisk(host);
  const seen = new Set<string>();
  try {
    // something of the host's state has to be written for its disk to be missed
    await up('more', sleeper(small, '{ replicas: 2 }'), '-d');
    const until = systemClock.monotonic() + 4_000;
    while (systemClock.monotonic() < until) {
      const { status, conditions = [] } = await nodeB();
      seen.add(status.state);
      for (const { type } of conditions) seen.add(type);
      await systemClock.sleep(100);
    }
  } finally {
    await thawDisk(host);
  }
  expect([...seen].sort()).toEqual(['AgentStalled', 'ready']);
  await vi.waitFor(async () => expect(await conditionsOfB()).toEqual([]), soon);
  await untilConverged(cluster, 'more', recovery.timeout);
  const after = await containersOf(host);
  for (const container of before) expect(after).toContainEqual(container);
  expect(await sessions()).toBe(opened);
  const numbers = (await cluster.shoal(['logs', '-p', 'still', '--json'])).stdout
    .split('\n')
    .filter((line) => line.includes('count'))
    .map((line) => JSON.parse(line) as { taskId: string; text: string })
    .filter(({ taskId }) => before.some(({ id }) => id === taskId))
    .map(({ text }) => Number(text.slice('count '.length)));
  expect(numbers.length).toBeGreaterThan(20);
  expect(numbers).toEqual(numbers.map((_, index) => index));
  for (const name of ['still', 'more']) await cluster.shoal(['down', '-p', name]);
});

test('a host full to the brim keeps its session, says so, stops what is to stop, and takes tasks again once there is room', async () => {
  await vi.waitFor(async () => expect(await conditionsOfB()).toEqual([]), recovery);
  expect((await up('small', sleeper(small, everywhere))).exitCode).toBe(0);
  const host = cluster.host('b');
  const before = await sessions();
  await fillDisk(host, 0);
  await vi.waitFor(async () => {
    expect((await conditionsOfB()).map(({ type }) => type)).toEqual(['DiskFull']);
  }, soon);
  expect((await cluster.shoal(['node', 'ls'])).stdout).toContain('DiskFull');
  expect(await containersOf(host)).toHaveLength(1);
  expect((await cluster.shoal(['down', '-p', 'small'])).exitCode).toBe(0);
  await vi.waitFor(async () => expect(await containersOf(host)).toEqual([]), soon);
  const placed = await up('elsewhere', sleeper(small, '{ replicas: 2 }'));
  expect(placed).toMatchObject({ exitCode: 0 });
  const b = await nodeB();
  expect((await currentTasks(cluster, 'elsewhere')).map(({ nodeId }) => nodeId)).not.toContain(b.id);
  await emptyDisk(host);
  await vi.waitFor(async () => expect(await conditionsOfB()).toEqual([]), recovery);
  expect((await up('elsewhere', sleeper(small, everywhere).replace('  s:', '  t:'))).exitCode).toBe(0);
  expect((await currentTasks(cluster, 'elsewhere')).map(({ nodeId }) => nodeId)).toContain(b.id);
  expect(await sessions()).toBe(before);
  expect((await stat(join(host.stateDirectory, 'agent/state.jsonl'))).size).toBeGreaterThan(0);
});
