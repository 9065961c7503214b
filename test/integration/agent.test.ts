import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { LogLine } from '../../src/wire/session.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { containersOf } from '../harness/inventory.ts';
import { differences } from '../harness/standing.ts';
import { paths } from '../harness/state.ts';
import type { Task } from '../../src/spec/task.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

/** What a daemon that comes back finds, on two hosts. */

const soon = { timeout: 20_000, interval: 100 };

let cluster: Cluster;
let image: string;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 2 });
  image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const path = await writeComposeFile(cluster, 'counted', composeText(image));
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

/** Counts as long as it lives, one on each host. */
const composeText = (reference: string, version = 1) => `
services:
  count:
    image: ${reference}
    environment: { VERSION: "${version}" }
    command:
      - sh
      - -c
      - |
        trap 'exit 0' TERM
        i=0; while true; do echo "$$i"; i=$$((i+1)); sleep 0.05; done
    deploy: { mode: global, restart_policy: { delay: 100ms } }
`;

async function taskOn(name: string): Promise<TaskInfo> {
  const client = cluster.client();
  try {
    const nodes = await client.request<{ id: string; description?: { hostname: string } }[]>('GET', '/nodes');
    const id = nodes.find(({ description }) => description?.hostname === name)!.id;
    return (await currentTasks(cluster, 'counted')).find(({ nodeId }) => nodeId === id)!;
  } finally {
    client.close();
  }
}

/** What the task's environment says. */
async function versionOf(taskId: string): Promise<string | undefined> {
  const client = cluster.client();
  try {
    const { template } = await client.request<Task>('GET', `/tasks/${taskId}`);
    return template.container.environment['VERSION'];
  } finally {
    client.close();
  }
}

/** The numbers that the container of this task has printed, as kept. */
async function printed(taskId: string): Promise<number[]> {
  const { stdout } = await cluster.shoal(['logs', '-p', 'counted', '--json']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  const parsed = lines.map((line) => JSON.parse(line) as { taskId: string; text: string });
  return parsed.filter((line) => line.taskId === taskId).map(({ text }) => Number(text));
}

/** containerd's own empty folder of a container from before the machine was turned off goes with its next start. */
const emptyFolder = /: bundle-state \w+ is left over$/;

async function nothingDiffers(): Promise<void> {
  await vi.waitFor(async () => {
    expect((await differences(cluster)).filter((line) => !emptyFolder.test(line))).toEqual([]);
  }, soon);
}

async function untilReplaced(name: string, before: TaskInfo): Promise<void> {
  await vi.waitFor(async () => {
    const now = await taskOn(name);
    expect(now.id).not.toBe(before.id);
    expect(now.status.state).toBe('running');
  }, soon);
}

for (const name of ['a', 'b']) {
  test(`a killed daemon of host ${name} finds its container running, with its output unbroken`, async () => {
    const task = await taskOn(name);
    const before = await containersOf(cluster.host(name));
    await cluster.host(name).kill('agent');
    await vi.waitFor(async () => expect(await cluster.host(name).part('agent')).toBeDefined(), soon);
    await nodesReady(cluster.manager, 2);
    const heard = (await printed(task.id)).length;
    await vi.waitFor(async () => expect((await printed(task.id)).length).toBeGreaterThan(heard + 20), soon);
    const numbers = await printed(task.id);
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(await containersOf(cluster.host(name))).toEqual(before);
    expect((await taskOn(name)).id).toBe(task.id);
    await nothingDiffers();
  });
}

test('a container that ended while no daemon watched is told with its exit code, and replaced', async () => {
  const task = await taskOn('b');
  const host = cluster.host('b');
  const [container] = await containersOf(host);
  const pid = container!.process.split(' ')[0]!;
  const daemon = await host.part('agent');
  await host.kill('agent');
  await host.run(['kill', '-9', pid]);
  expect((await host.part('agent'))?.pid).not.toBe(daemon!.pid);
  await untilReplaced('b', task);
  const client = cluster.client();
  const tasks = await client.request<TaskInfo[]>('GET', '/tasks').finally(() => client.close());
  const { status } = tasks.find(({ id }) => id === task.id)!;
  expect(status).toMatchObject({ state: 'failed', exitCode: 137 });
  await nothingDiffers();
});

test('a host that was turned off and on has its container replaced, and nothing of before is left', async () => {
  const [task, other] = [await taskOn('b'), await containersOf(cluster.host('a'))];
  await cluster.reboot('b');
  await untilReplaced('b', task);
  await untilConverged(cluster, 'counted', soon.timeout);
  expect(await containersOf(cluster.host('a'))).toEqual(other);
  await nothingDiffers();
});

test('the manager that was turned off and on goes on with what it knew', async () => {
  const [task, other] = [await taskOn('a'), await containersOf(cluster.host('b'))];
  await cluster.reboot('a');
  await nodesReady(cluster.manager, 2);
  await untilReplaced('a', task);
  await untilConverged(cluster, 'counted', soon.timeout);
  expect(await containersOf(cluster.host('b'))).toEqual(other);
  await nothingDiffers();
});

for (const part of ['manager', 'agent'] as const) {
  test(`up waits through the end of the ${part} of the host that it speaks to`, async () => {
    const version = part === 'manager' ? '2' : '3';
    const path = await writeComposeFile(cluster, 'counted', composeText(image, Number(version)));
    const said = cluster.shoal(['up', '-f', path]);
    await vi.waitFor(async () => {
      const tasks = await currentTasks(cluster, 'counted');
      const versions = await Promise.all(tasks.map(({ id }) => versionOf(id)));
      expect(versions).toContain(version);
    }, soon);
    await cluster.manager.kill(part);
    expect(await said).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('counted is up') });
    await nothingDiffers();
  });
}

/** Connections of a host's daemon to the manager, by any means that the kernel lists. */
async function connectionsToManager(name: string): Promise<number> {
  const listed = await cluster.host(name).run(['ss', '-Htn', 'state', 'established', 'dport', '=', ':2377']);
  return listed.split('\n').filter((line) => line !== '').length;
}

test('60 who follow 3 tasks have 3 streams of the hosts between them, and every line, also of a daemon killed meanwhile', async () => {
  const text = composeText(image).replace('mode: global', 'replicas: 3');
  const path = await writeComposeFile(cluster, 'followed', text);
  expect(await cluster.shoal(['up', '-f', path])).toMatchObject({ exitCode: 0 });
  const tasks = await currentTasks(cluster, 'followed');
  const stop = new AbortController();
  const clients = Array.from({ length: 60 }, () => cluster.client());
  const before = (await connectionsToManager('a')) + (await connectionsToManager('b'));
  const heard = clients.map(() => new Map<string, number[]>(tasks.map(({ id }) => [id, []])));
  const following = clients.map(async (client, index) => {
    const lines = client.stream<LogLine>('/logs?application=followed&follow=true', stop.signal);
    for await (const line of lines)
      if (!line.warning) heard[index]!.get(line.taskId)!.push(Number(line.text));
  });
  const shortest = () =>
    Math.min(...heard.flatMap((lines) => [...lines.values()].map(({ length }) => length)));
  const untilMore = async () => {
    const most = Math.max(...heard.flatMap((lines) => [...lines.values()].map(({ length }) => length)));
    await vi.waitFor(() => expect(shortest()).toBeGreaterThan(most), soon);
  };
  await untilMore();
  const streams = async () => (await connectionsToManager('a')) + (await connectionsToManager('b')) - before;
  await vi.waitFor(async () => expect(await streams()).toBe(tasks.length), soon);
  await cluster.host('b').kill('agent');
  await nodesReady(cluster.manager, 2);
  await untilMore();
  expect(await cluster.shoal(['down', '-p', 'followed'])).toMatchObject({ exitCode: 0 });
  // the last lines of each task are what they are
  await vi.waitFor(
    () => expect(new Set(heard.map((lines) => JSON.stringify([...lines]))).size).toBe(1),
    soon,
  );
  for (const numbers of heard[0]!.values()) expect(numbers).toEqual(numbers.map((_, index) => index));
  stop.abort();
  await Promise.all(following);
  for (const client of clients) client.close();
  await vi.waitFor(async () => expect(await streams()).toBe(0), soon);
  await nothingDiffers();
});

test('what stands on a host and belongs to no task is told', async () => {
  const ctr = 'ctr -a /run/shoal/containerd.sock -n shoal';
  await cluster.host('b').run([
    'sh',
    '-ec',
    `ip link add shvstrayaaaa0 type bridge
     ip netns add shoal-stray
     ${ctr} leases create --id stray
     nft add element inet shoal live '{ 10.64.0.99 }'
     mkdir -p /run/shoal/tasks/stray /run/containerd/runc/shoal/stray /run/shoal/containerd/io.containerd.runtime.v2.task/shoal/stray
     touch /run/shoal/engine/fifo/stray-stdout /run/containerd/s/stray`,
  ]);
  expect((await differences(cluster)).filter((line) => !emptyFolder.test(line)).sort()).toEqual([
    'b: 2 shim sockets for 1 shims',
    'b: address 10.64.0.99 is left over',
    'b: bundle stray is left over',
    'b: fifos stray is left over',
    'b: files stray is left over',
    'b: lease stray is left over',
    'b: mounted-namespace stray is left over',
    'b: namespace stray is left over',
    'b: runc stray is left over',
    'b: veth shvstrayaaaa0 is left over',
  ]);
});
