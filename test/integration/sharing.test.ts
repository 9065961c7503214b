import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import type { Host } from '../harness/host.ts';
import { currentTasks, untilConverged, runInside, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { containersOf, inventoryOf } from '../harness/inventory.ts';
import { cgroupParent, paths } from '../harness/state.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

/** Services that share namespaces and mounts, on three hosts, from `up` to `down`. The tests build on each other, in order. */

const convergeMs = 60_000;
let cluster: Cluster;
let image: string;
let before: string[][];

const inventories = () =>
  Promise.all(cluster.hosts.map((host) => inventoryOf(host, cgroupParent(cluster.id))));

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  image = await cluster.push('library/tools:1', await busyboxImage(paths(cluster.directory).images));
  before = await inventories();
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

/** `db` is shared; a delay of an hour would show if one of `proxy` were taken for failed. */
const file = (version: string) => `services:
  db:
    image: ${image}
    command: [sh, -c, "echo of-$$VERSION > /scratch/x; echo memory > /dev/shm/x; echo hello > /tmp/x; exec httpd -f -p 8080 -h /tmp"]
    environment: { VERSION: ${version} }
    stop_signal: SIGKILL
    hostname: data
    ipc: shareable
    shm_size: 5m
    volumes: [/scratch, "named:/named"]
    # a volume is on one host, which is turned off: not the manager's
    deploy: { replicas: 2, restart_policy: { delay: 0s }, placement: { constraints: [node.role == worker] } }
  proxy:
    image: ${image}
    command: [sleep, "86400"]
    stop_signal: SIGKILL
    network_mode: "service:db"
    ipc: "service:db"
    pid: "service:db"
    volumes_from: ["db:ro"]
    deploy: { replicas: 2, restart_policy: { delay: 1h } }
  probe:
    image: ${image}
    command: [sleep, "86400"]
    stop_signal: SIGKILL
    network_mode: "service:proxy"
    deploy: { restart_policy: { delay: 0s } }
  other:
    image: ${image}
    command: [sleep, "86400"]
    stop_signal: SIGKILL
volumes: { named: }
`;

async function up(version: string): Promise<void> {
  const path = await writeComposeFile(cluster, 'near', file(version));
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', path, '--timeout', '60']);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
}

const byId = (left: { id: string }, right: { id: string }) => (left.id < right.id ? -1 : 1);
const containers = (host: string) => containersOf(cluster.host(host));

/** The tasks that ought to run, by the names that a person knows. */
async function tasks(): Promise<Map<string, TaskInfo>> {
  const all = await currentTasks(cluster, 'near');
  return new Map(all.map((task) => [`${task.serviceName.replace('near_', '')}.${task.slot}`, task]));
}

const inside = (name: string, script: string) => runInside(cluster, 'near', name, script);

/** Every task is beside the one of its number, in its namespaces. */
async function expectTogether(): Promise<void> {
  const all = await tasks();
  const names = ['db.1', 'db.2', 'proxy.1', 'proxy.2', 'probe.1'];
  expect([...all.keys()].sort()).toEqual([...names, 'other.1'].sort());
  for (const slot of [1, 2]) {
    const db = all.get(`db.${slot}`)!;
    expect(all.get(`proxy.${slot}`)).toMatchObject({ nodeId: db.nodeId, anchors: { near_db: db.id } });
  }
  expect(all.get('probe.1')).toMatchObject({ anchors: { near_db: all.get('db.1')!.id } });
  const read = (name: string, kinds: string) =>
    inside(name, `for kind in ${kinds}; do readlink /proc/self/ns/$kind; done`);
  expect(await read('proxy.1', 'net ipc pid')).toBe(await read('db.1', 'net ipc pid'));
  expect(await read('proxy.2', 'net ipc pid')).toBe(await read('db.2', 'net ipc pid'));
  expect(await read('probe.1', 'net')).toBe(await read('db.1', 'net'));
}

test('replicas that share run on one host, in the same namespaces and with the same mounts', async () => {
  await up('one');
  await expectTogether();
  expect(await inside('proxy.1', 'hostname; wget -qO- http://127.0.0.1:8080/x')).toBe('data\nhello');
  expect(await inside('proxy.1', 'ip -o -4 addr')).toBe(await inside('db.1', 'ip -o -4 addr'));
  for (const path of ['/etc/hosts', '/etc/resolv.conf', '/scratch/x', '/dev/shm/x']) {
    expect(await inside('proxy.1', `cat ${path}`)).toBe(await inside('db.1', `cat ${path}`));
  }
  expect(await inside('proxy.1', 'cat /dev/shm/x /scratch/x')).toBe('memory\nof-one');
  expect(await inside('proxy.1', 'df -k /dev/shm | tail -1')).toMatch(/\b5120\b/);
  expect(await inside('proxy.1', 'ps')).toContain('httpd -f');
  expect(await inside('proxy.1', 'touch /scratch/y /named/y 2>&1 | grep -c Read-only')).toMatch(/2$/);
  expect(await inside('db.1', 'touch /named/y; echo more > /dev/shm/y')).toBe('');
  expect(await inside('proxy.1', 'ls /named; cat /dev/shm/y')).toBe('y\nmore');
  expect(
    await inside('probe.1', 'hostname; wget -qO- http://127.0.0.1:8080/x; ls / | grep -c scratch'),
  ).toMatch(/^1: data\nhello\n0/);
  expect(await inside('other.1', 'wget -qO- http://db:8080/x; ls /dev/shm')).toBe('hello');
});

test('a companion that is killed comes back alone, beside the same task', async () => {
  const old = await tasks();
  await killProcessOf(old.get('probe.1')!);
  await untilConverged(cluster, 'near', convergeMs);
  const now = await tasks();
  expect(now.get('probe.1')!.id).not.toBe(old.get('probe.1')!.id);
  for (const name of ['db.1', 'proxy.1']) expect(now.get(name)!.id).toBe(old.get(name)!.id);
  await expectTogether();
});

async function hostOf(task: TaskInfo): Promise<Host | undefined> {
  for (const host of cluster.hosts) {
    if ((await containersOf(host)).some(({ id }) => id === task.id)) return host;
  }
  return undefined;
}

async function killProcessOf(task: TaskInfo): Promise<void> {
  const host = await hostOf(task);
  const engine = ['ctr', '-a', '/run/shoal/containerd.sock', '-n', 'shoal'];
  await host!.run([...engine, 'tasks', 'kill', '-s', 'SIGKILL', task.id]);
  const isCurrent = async () => [...(await tasks()).values()].some(({ id }) => id === task.id);
  await expect.poll(isCurrent, { timeout: 10_000 }).toBe(false);
}

test('when what they share with ends, all are made anew at once, and none counts as failed', async () => {
  const old = await tasks();
  await killProcessOf(old.get('db.1')!);
  await untilConverged(cluster, 'near', convergeMs);
  await expectTogether();
  const now = await tasks();
  for (const name of ['db.1', 'proxy.1', 'probe.1']) expect(now.get(name)!.id).not.toBe(old.get(name)!.id);
  for (const name of ['db.2', 'proxy.2', 'other.1']) expect(now.get(name)!.id).toBe(old.get(name)!.id);
  const client = cluster.client();
  const all = await client.request<TaskInfo[]>('GET', '/tasks?application=near');
  client.close();
  const stateOf = (name: string) => all.find(({ id }) => id === old.get(name)!.id)?.status.state;
  expect([stateOf('proxy.1'), stateOf('probe.1')]).toEqual(['shutdown', 'shutdown']);
});

test('an update of what they share with ends with all beside the new tasks', async () => {
  await up('two');
  await untilConverged(cluster, 'near', convergeMs);
  await expectTogether();
  expect(await inside('proxy.2', 'cat /scratch/x')).toBe('of-two');
});

test('the daemon and the engine may be killed: what runs goes on as it is', async () => {
  const hosts = cluster.hosts.map(({ name }) => name);
  const all = async () => (await Promise.all(hosts.map(containers))).flat().sort(byId);
  const old = await all();
  for (const host of cluster.hosts.slice(1)) {
    await host.kill('agent');
    await host.kill('containerd');
  }
  await nodesReady(cluster.manager, 3);
  await untilConverged(cluster, 'near', convergeMs);
  await expect.poll(all, { timeout: 20_000 }).toEqual(old);
  await expectTogether();
});

test('after its host was off, a group runs together again', async () => {
  const old = await tasks();
  const host = (await hostOf(old.get('db.1')!))!;
  await cluster.reboot(host.name);
  await nodesReady(cluster.manager, 3);
  const isNew = async () => (await tasks()).get('db.1')?.id !== old.get('db.1')!.id;
  await expect.poll(isNew, { timeout: convergeMs }).toBe(true);
  await untilConverged(cluster, 'near', convergeMs);
  await expectTogether();
});

test('scaling keeps the pairs, and refuses what would break them', async () => {
  const alone = await cluster.shoal(['scale', '-p', 'near', 'proxy=3']);
  expect(alone.stderr).toContain(
    'Cannot scale near_proxy: near_db, which it shares with, has 2 replicas, and this one 3',
  );
  expect(await cluster.shoal(['scale', '-p', 'near', 'proxy=3', 'db=3'])).toMatchObject({ exitCode: 0 });
  const all = await tasks();
  expect(all.get('proxy.3')!.nodeId).toBe(all.get('db.3')!.nodeId);
  expect(await cluster.shoal(['scale', '-p', 'near', 'db=2', 'proxy=2'])).toMatchObject({ exitCode: 0 });
  await untilConverged(cluster, 'near', convergeMs);
  await expectTogether();
});

test('down leaves nothing', async () => {
  expect(await cluster.shoal(['down', '-p', 'near'])).toMatchObject({ exitCode: 0 });
  await expect.poll(inventories, { timeout: 20_000 }).toEqual(before);
});
