import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { hungMsMax } from '../../agent/daemon/pulse.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { containersOf } from '../harness/inventory.ts';
import { processTree } from '../harness/processes.ts';
import { paths } from '../harness/state.ts';
import type { Host } from '../harness/host.ts';

/** What hosts do by themselves while the only manager is cut off. The tests build on each other, in order. */

const port = 18_084;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const file = await writeComposeFile(
    cluster,
    'away',
    `
services:
  web:
    image: ${image}
    command: [sh, -c, 'mkdir -p /w; hostname > /w/index.html; exec busybox httpd -f -p 80 -h /w']
    ports: ["${port}:80"]
    deploy:
      replicas: 2
      placement: { constraints: [node.hostname != a], max_replicas_per_node: 1 }
      restart_policy: { delay: 0s }
`,
  );
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

/** Kills the web server of a host from outside. */
async function killWeb(host: Host): Promise<void> {
  const program = (await processTree([host.initPid])).find(({ command }) => /httpd -f -p 80/.test(command));
  process.kill(program!.pid, 'SIGKILL');
}

/** What requests to the host's published port are answered with; those that fail give ''. */
async function answers(host: Host, count: number): Promise<string[]> {
  const ask = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 127.0.0.1 ${port} | tail -n 1`;
  const script = `for i in $(seq ${count}); do echo "$(${ask})"; done`;
  return (await host.run(['sh', '-c', script])).slice(0, -1).split('\n');
}

let before: { id: string; nodeId?: string | undefined }[];
let processesBefore: Map<string, string>;

test('a program that ends while no manager can be reached is run again by its host, under the same address', async () => {
  before = await currentTasks(cluster, 'away');
  for (const name of ['b', 'c']) {
    await vi.waitFor(
      async () => expect(new Set(await answers(cluster.host(name), 12))).toEqual(namesOf(before)),
      20_000,
    );
  }
  processesBefore = new Map((await containersOf(cluster.host('b'))).map(({ id, process }) => [id, process]));
  await cluster.host('a').cut();
  await killWeb(cluster.host('b'));
  // at once, the host itself sends nobody there any more
  await vi.waitFor(async () => expect(await answers(cluster.host('b'), 8)).not.toContain(''), 20_000);
  await vi.waitFor(
    async () => {
      const [web] = await containersOf(cluster.host('b'));
      expect(web?.status).toBe('RUNNING');
      expect(web?.process).not.toBe(processesBefore.get(web!.id));
    },
    { timeout: 30_000, interval: 200 },
  );
  for (const name of ['b', 'c']) {
    await vi.waitFor(
      async () => expect(new Set(await answers(cluster.host(name), 12))).toEqual(namesOf(before)),
      20_000,
    );
  }
});

/** A container is called like its task. */
const namesOf = (tasks: { id: string }[]) => new Set(tasks.map(({ id }) => id));

test('a command on a host that cannot reach a manager says so', async () => {
  await vi.waitFor(async () => {
    const { exitCode, stderr } = await cluster.shoal(['ps'], { host: 'b' });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('cannot reach a manager either');
  }, 20_000);
});

test('a manager that is back keeps what runs, and is told how often it was run again', async () => {
  await cluster.host('a').heal();
  await nodesReady(cluster.manager, 3);
  const restarted = await vi.waitFor(async () => {
    const after = await currentTasks(cluster, 'away');
    expect(namesOf(after)).toEqual(namesOf(before));
    expect(after.map(({ status }) => status.restarts ?? 0).toSorted((left, right) => left - right)).toEqual([
      0, 1,
    ]);
    return after.find(({ status }) => status.restarts === 1)!;
  }, 30_000);
  expect(restarted.status).toMatchObject({
    state: 'running',
    message: expect.stringContaining('restarted by its host'),
  });
  await untilConverged(cluster, 'away', 30_000);
});

test('a manager that stands still is killed by its daemon and started again, and no container is touched', async () => {
  const hosts = ['b', 'c'].map((name) => cluster.host(name));
  const containers = async () => await Promise.all(hosts.map((host) => containersOf(host)));
  const running = await containers();
  const tasks = await currentTasks(cluster, 'away');
  const { pid } = (await cluster.manager.part('manager'))!;
  process.kill(pid, 'SIGSTOP');
  await vi.waitFor(
    async () => {
      const now = await cluster.manager.part('manager');
      expect(now).toBeDefined();
      expect(now?.pid).not.toBe(pid);
    },
    { timeout: 2 * hungMsMax, interval: 500 },
  );
  await nodesReady(cluster.manager, 3);
  await untilConverged(cluster, 'away', 30_000);
  expect(namesOf(await currentTasks(cluster, 'away'))).toEqual(namesOf(tasks));
  expect(await containers()).toEqual(running);
  expect(await readFile(cluster.manager.logPath, 'utf8')).toContain(
    'the manager process hangs and is killed',
  );
});
