import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { pushGuestbookImages } from '../../samples/guestbook/images.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Service } from '../../src/spec/service.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks, untilConverged } from '../harness/compose.ts';
import { containersOf, inventoryOf } from '../harness/inventory.ts';
import { getJson, Load, type Visit } from '../harness/load.ts';
import { cgroupParent } from '../harness/state.ts';

/** The guestbook on three hosts, from `up` to `down`. The tests build on each other, in order. */

const composeFile = join(import.meta.dirname, '../../samples/guestbook/compose.yaml');
const soon = { timeout: 15_000, interval: 100 };

let cluster: Cluster;
let before: string[][];

const inventories = () =>
  Promise.all(cluster.hosts.map((host) => inventoryOf(host, cgroupParent(cluster.id))));
const urls = (names = ['a', 'b', 'c']) => names.map((name) => `http://${cluster.host(name).address}:8080/`);

async function up(environment: NodeJS.ProcessEnv = {}): Promise<void> {
  const env = { REGISTRY: `${cluster.registry}/library`, ...environment };
  const { exitCode, stderr } = await cluster.shoal(['up', '-f', composeFile], { env });
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
}

async function repliesFrom(hosts: string[], wanted: number): Promise<Set<string>> {
  const replicas = new Set<string>();
  for (let round = 0; round < 60 && replicas.size < wanted; round++) {
    for (const url of urls(hosts)) replicas.add((await getJson<Visit>(url)).replica);
  }
  return replicas;
}

const exec = (service: string, command: string[]) =>
  cluster.shoal(['exec', '-T', '-p', 'guestbook', service, ...command]);

/** What a container of the service learns when it asks for a name; the error's code when it learns nothing. */
async function resolve(service: string, name: string): Promise<string[]> {
  const script = `require('node:dns').resolve4('${name}', (error, found) => console.log(JSON.stringify(found ?? error.code)))`;
  const { exitCode, stdout, stderr } = await exec(service, ['node', '-e', script]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const found = JSON.parse(stdout) as string[] | string;
  return typeof found === 'string' ? [found] : found.sort();
}

async function get<T>(path: string): Promise<T> {
  const client = cluster.client();
  try {
    return await client.request<T>('GET', path);
  } finally {
    client.close();
  }
}

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  await pushGuestbookImages(cluster.registry);
  before = await inventories();
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

test('up runs the guestbook, healthy, with its replicas on different hosts', async () => {
  await up();
  const tasks = await currentTasks(cluster, 'guestbook');
  expect(tasks.map(({ status }) => status.state)).toEqual(Array(5).fill('running'));
  const web = tasks.filter(({ serviceName }) => serviceName === 'guestbook_web');
  expect(new Set(web.map(({ nodeId }) => nodeId)).size).toBe(3);
});

test('up again changes nothing', async () => {
  const tasks = await currentTasks(cluster, 'guestbook');
  await up();
  expect((await currentTasks(cluster, 'guestbook')).map(({ id }) => id)).toEqual(tasks.map(({ id }) => id));
});

test('every host answers on the published port, through every replica', async () => {
  for (const host of ['a', 'b', 'c']) expect((await repliesFrom([host], 3)).size).toBe(3);
});

test('a name resolves to the virtual IP of its network, and tasks.NAME to the replicas', async () => {
  const networks = await get<Network[]>('/networks?application=guestbook');
  const services = await get<Service[]>('/services?application=guestbook');
  const back = networks.find(({ spec }) => spec.name === 'guestbook_back')!.id;
  const virtual = services.find(({ spec }) => spec.key === 'web')!.endpoint!.virtualAddresses[back];
  const tasks = await currentTasks(cluster, 'guestbook');
  const addresses = tasks
    .filter(({ serviceName }) => serviceName === 'guestbook_web')
    .map(({ attachments }) => attachments.find(({ networkId }) => networkId === back)!.address);
  expect(await resolve('worker', 'web')).toEqual([virtual]);
  expect(await resolve('worker', 'guestbook_web')).toEqual([virtual]);
  expect(await resolve('worker', 'tasks.web')).toEqual(addresses.sort());
  expect(await resolve('worker', 'nobody')).toEqual([expect.stringMatching(/^E[A-Z]+$/)]);
});

test('what a visitor writes is filed by the worker', async () => {
  const body = new URLSearchParams({ name: 'Ann', text: 'hello' });
  expect((await fetch(`${urls()[0]}entries`, { method: 'POST', body })).status).toBe(202);
  await vi.waitFor(async () => {
    expect(await getJson(`${urls()[1]}entries`)).toEqual([{ name: 'Ann', text: 'hello' }]);
  }, soon);
});

test('exec passes output and exit code, logs show what was printed', async () => {
  const ended = await exec('worker', ['sh', '-c', 'echo here; exit 7']);
  expect(ended).toEqual({ exitCode: 7, stdout: 'here\n', stderr: '' });
  const logs = await cluster.shoal(['logs', '-p', 'guestbook', 'worker']);
  expect(logs.stdout).toContain('filed an entry');
});

test('scaling to six makes six replicas answer', async () => {
  const { exitCode } = await cluster.shoal(['scale', '-p', 'guestbook', 'web=6']);
  expect(exitCode).toBe(0);
  expect((await repliesFrom(['a', 'b', 'c'], 6)).size).toBe(6);
});

test('a rolling update under load loses no request', async () => {
  const load = new Load(urls(), 4);
  await up({ VERSION: '2', REPLICAS: '6' });
  const result = await load.stop();
  expect(result.failures).toEqual([]);
  expect(result.requests).toBeGreaterThan(100);
  expect([...result.versions.keys()].sort()).toEqual(['1', '2']);
  for (const url of urls()) expect((await getJson<Visit>(url)).version).toBe('2');
});

test('a store that is killed comes back with what it held', async () => {
  const { visits } = await getJson<Visit>(urls()[0]!);
  expect(await exec('store', ['kill', '1'])).toMatchObject({ exitCode: 0 });
  await vi.waitFor(async () => {
    const tasks = await get<{ desiredState: string; status: { state: string } }[]>(
      '/tasks?application=guestbook&service=guestbook_store',
    );
    expect(tasks.length).toBeGreaterThan(1);
    expect((await getJson<Visit>(urls()[0]!)).visits).toBeGreaterThan(visits);
  }, soon);
  await untilConverged(cluster, 'guestbook', 15_000);
});

test('a host that is cut off is replaced, and cleans up when it is back', async () => {
  await cluster.host('c').cut();
  const nodes = await get<{ id: string; description?: { hostname: string } }[]>('/nodes');
  const lost = nodes.find(({ description }) => description?.hostname === 'c')!.id;
  await vi.waitFor(async () => {
    const tasks = await currentTasks(cluster, 'guestbook');
    const web = tasks.filter(({ serviceName }) => serviceName === 'guestbook_web');
    expect(web.map(({ status }) => status.state)).toEqual(Array(6).fill('running'));
    expect(web.filter(({ nodeId }) => nodeId === lost)).toEqual([]);
  }, soon);
  await vi.waitFor(async () => expect((await repliesFrom(['a', 'b'], 6)).size).toBe(6), soon);
  await cluster.host('c').heal();
  await nodesReady(cluster.manager, 3);
  await vi.waitFor(async () => {
    const wanted = (await currentTasks(cluster, 'guestbook')).filter(({ nodeId }) => nodeId === lost);
    const there = await containersOf(cluster.host('c'));
    expect(there.map(({ id }) => id).sort()).toEqual(wanted.map(({ id }) => id).sort());
    expect((await getJson<Visit>(urls(['c'])[0]!)).version).toBe('2');
  }, soon);
});

test('down leaves nothing on any host', async () => {
  const { exitCode } = await cluster.shoal(['down', '-p', 'guestbook']);
  expect(exitCode).toBe(0);
  await vi.waitFor(async () => expect(await inventories()).toEqual(before), soon);
  expect(await get('/applications')).toEqual([]);
});
