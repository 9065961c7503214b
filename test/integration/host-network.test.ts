import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Service } from '../../src/spec/service.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { currentTasks, runInside, untilConverged, writeComposeFile } from '../harness/compose.ts';
import { busyboxImage } from '../harness/image.ts';
import { containersOf } from '../harness/inventory.ts';
import { paths } from '../harness/state.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

/** What becomes of containers when the network of their host changes or breaks. The tests build on each other, in order. */

const soon = { timeout: 40_000, interval: 250 };
const bytes = 3_000_000;

let cluster: Cluster;

/** A large answer on host b, and those who ask for it on host c. */
const composeText = (image: string) => `
services:
  web:
    image: ${image}
    command: [sh, -c, "mkdir -p /w; head -c ${bytes} /dev/zero > /w/big; exec httpd -f -p 80 -h /w"]
    ports: ["18083:80"]
    deploy: { placement: { constraints: [node.hostname == b] } }
  client:
    image: ${image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    deploy: { placement: { constraints: [node.hostname == c] }, restart_policy: { delay: 100ms } }
`;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const path = await writeComposeFile(cluster, 'net', composeText(image));
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

async function get<T>(path: string): Promise<T> {
  const client = cluster.client();
  try {
    return await client.request<T>('GET', path);
  } finally {
    client.close();
  }
}

/** What is wrong with the host as the manager knows it, by type. */
async function conditionsOf(name: string): Promise<Record<string, string>> {
  const nodes = await get<Node[]>('/nodes');
  const { conditions = [] } = nodes.find(({ description }) => description?.hostname === name)!;
  return Object.fromEntries(conditions.map(({ type, message }) => [type, message]));
}

async function taskOf(key: string): Promise<TaskInfo> {
  return (await currentTasks(cluster, 'net')).find(({ serviceName }) => serviceName === `net_${key}`)!;
}

/** How much of the large answer a container on host c gets, through the service's virtual IP. */
async function received(): Promise<string> {
  const services = await get<Service[]>('/services?application=net');
  const [address] = Object.values(
    services.find(({ spec }) => spec.key === 'web')!.endpoint!.virtualAddresses,
  );
  return await runInside(
    cluster,
    'net',
    'client',
    `timeout 5 wget -qO /big http://${address}/big && wc -c < /big`,
  );
}

async function restartAgent(name: string): Promise<void> {
  const host = cluster.host(name);
  const before = await host.part('agent');
  await host.kill('agent');
  await vi.waitFor(async () => {
    const now = await host.part('agent');
    expect(now).toBeDefined();
    expect(now!.pid).not.toBe(before!.pid);
  }, soon);
  await nodesReady(cluster.manager, 3);
}

/** The MTU inside the first container of host c. */
const insideMtu = () => runInside(cluster, 'net', 'client', 'cat /sys/class/net/eth0/mtu');

test('another MTU of one host reaches the networks of all, with what runs on them', async () => {
  const before = await containersOf(cluster.host('c'));
  expect(await insideMtu()).toBe('1450');
  const setMtu = (name: string, mtu: number) =>
    cluster.host(name).run(['ip', 'link', 'set', 'eth0', 'mtu', String(mtu)]);
  await setMtu('b', 1300);
  await vi.waitFor(async () => {
    for (const name of ['b', 'c']) {
      const links = JSON.parse(await cluster.host(name).run(['ip', '-j', 'link'])) as {
        ifname: string;
        mtu: number;
      }[];
      const ours = links.filter(({ ifname }) => /^sh[bxv](?!probe)/.test(ifname));
      expect(ours.map(({ ifname, mtu }) => `${ifname.slice(0, 3)} ${mtu}`).toSorted()).toEqual([
        'shb 1250',
        'shv 1250',
        'shx 1250',
      ]);
    }
    expect(await insideMtu()).toBe('1250');
  }, soon);
  await setMtu('c', 1300);
  for (const { address } of cluster.hosts) {
    const answer = await cluster.manager.run(['wget', '-T', '5', '-qO-', `http://${address}:18083/big`]);
    expect(answer).toHaveLength(bytes);
  }
  expect(await received()).toBe(String(bytes));
  await restartAgent('b');
  expect(await received()).toBe(String(bytes));
  await setMtu('b', 1500);
  await setMtu('c', 1500);
  await vi.waitFor(async () => expect(await insideMtu()).toBe('1450'), soon);
  expect(await received()).toBe(String(bytes));
  expect(await containersOf(cluster.host('c'))).toEqual(before);
});

test('networks keep clear of what their hosts are on', async () => {
  const host = cluster.host('c');
  // A bridge stands for a second card.
  const card = ['link add card up type bridge', 'address add 10.64.16.7/22 dev card'];
  await host.run(['ip', '-batch', '-'], { input: card.join('\n') });
  await vi.waitFor(async () => {
    const nodes = await get<Node[]>('/nodes');
    const { description } = nodes.find((node) => node.description?.hostname === 'c')!;
    expect(description!.underlay!.connected).toContain('10.64.16.0/22');
  }, soon);
  const made = await cluster.shoal(['network', 'create', 'second']);
  expect(made).toMatchObject({ exitCode: 0, stderr: '' });
  await vi.waitFor(async () => {
    const second = (await get<Network[]>('/networks')).find(({ spec }) => spec.name === 'second');
    expect(second?.subnet).toBe('10.64.32.0/20');
  }, soon);
  await cluster.shoal(['network', 'create', '--subnet', '10.64.17.0/24', 'third']);
  await vi.waitFor(async () => {
    const third = (await get<Network[]>('/networks')).find(({ spec }) => spec.name === 'third');
    expect(third?.allocationError).toBe(
      'subnet 10.64.17.0/24 overlaps 10.64.16.0/22, which node c is on; ask for another one',
    );
  }, soon);
  await cluster.shoal(['network', 'rm', 'second', 'third']);
  await host.run(['ip', 'link', 'del', 'card']);
});

test('with a network that cannot be set up, an agent that comes back still supervises what runs', async () => {
  const host = cluster.host('c');
  const [container] = await containersOf(host);
  const task = await taskOf('client');
  await host.run(['sh', '-c', 'mount --bind /bin/false "$(command -v nft)"']);
  await restartAgent('c');
  await vi.waitFor(async () => expect(await conditionsOf('c')).toHaveProperty('NetworkBroken'), soon);
  await host.run(['kill', '-9', container!.process.split(' ')[0]!]);
  await vi.waitFor(async () => {
    const { status } = (await get<TaskInfo[]>('/tasks')).find(({ id }) => id === task.id)!;
    // Stopped rather than failed when the agent was slow to come back, and the manager has given its host up.
    expect(['failed', 'shutdown']).toContain(status.state);
    expect(status.exitCode).toBe(137);
    expect((await taskOf('client')).status.message).toContain('NetworkBroken on 1');
  }, soon);
  await host.run(['sh', '-c', 'umount -l "$(command -v nft)"']);
  await untilConverged(cluster, 'net', 40_000);
  await vi.waitFor(async () => expect(await conditionsOf('c')).toEqual({}), soon);
  await vi.waitFor(async () => expect(await received()).toBe(String(bytes)), soon);
});

test('a host whose address has changed says so, keeps what it runs, and heals when it has the address again', async () => {
  const host = cluster.host('c');
  const before = await containersOf(host);
  const other = host.address.replace(/\d+$/, '99');
  const swap = async (from: string, to: string) => {
    await host.run(['ip', 'address', 'add', `${to}/24`, 'dev', 'eth0']);
    await host.run(['ip', 'address', 'del', `${from}/24`, 'dev', 'eth0']);
    // the other address goes with the first of its subnet
    await host.exec(['ip', 'address', 'add', `${to}/24`, 'dev', 'eth0']);
  };
  await swap(host.address, other);
  await vi.waitFor(async () => {
    expect((await conditionsOf('c'))['AddressChanged']).toBe(
      `this host does not have the address ${host.address} any more, by which the other hosts reach it; it has ${other} (eth0). Give it the old one back, or start its daemon with --advertise ${other}`,
    );
  }, soon);
  await restartAgent('c');
  await vi.waitFor(async () => expect(await conditionsOf('c')).toHaveProperty('AddressChanged'), soon);
  const listed = await cluster.shoal(['node', 'ls']);
  expect(listed.stdout.split('\n').find((line) => line.includes(' c '))).toContain('AddressChanged');
  expect(await containersOf(host)).toEqual(before);
  const { stdout } = await cluster.shoal(['exec', '-T', '-p', 'net', 'client', 'echo', 'still', 'here']);
  expect(stdout.trim()).toBe('still here');
  await swap(other, host.address);
  await vi.waitFor(async () => expect(await conditionsOf('c')).toEqual({}), soon);
  expect(await containersOf(host)).toEqual(before);
  await vi.waitFor(async () => expect(await received()).toBe(String(bytes)), soon);
});
