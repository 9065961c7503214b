import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { questionsPerSecondMax } from '../../agent/network/isolation.ts';
import { systemClock } from '../../src/util/clock.ts';
import type { LineProcess } from './network-rpc.ts';
import { answers, servicePort, virtual, World } from './network-world.ts';

/** What a container reaches of its host, of the other hosts and of the world, for `docs/security.md`. */

const world = new World();
const managerPort = 2377;
/** Of a program of the hosts that Shoal knows nothing of. */
const hostPort = 7_100;
const metadata = '169.254.169.254';
const hostAddress = (index: number) => world.hosts.hosts[index]!.address;
/** Bridges of the hosts, which are their containers' gateways: of `client` on host 0 and of `vault` on host 1. */
const gateway = { client: '10.64.0.1', vault: '10.64.32.2' };

beforeAll(async () => {
  await world.start();
  for (const host of world.onHost) {
    await host.call('serve', { port: managerPort });
    await host.call('serve', { port: hostPort });
  }
  await world.hosts.outside.run('ip', 'address', 'add', `${metadata}/32`, 'dev', 'eth0');
  for (const host of world.hosts.hosts) {
    await host.run('ip', 'route', 'add', `${metadata}/32`, 'via', world.hosts.outside.address);
  }
  // A container that may change its routes is held by the host's rules, and not by a route that it lacks.
  const vault = world.find('vault');
  await world.hosts.hosts[vault.host]!.run(
    'nsenter',
    `--net=/run/netns/shoal-${vault.id}`,
    'ip',
    'route',
    'add',
    'default',
    'via',
    gateway.vault,
  );
});

afterAll(() => world.close());

/** What one attempt comes to. */
async function reached(program: LineProcess, address: string, port: number): Promise<string> {
  return Object.keys(await answers(program, address, port, 1))[0]!;
}

const container = (name: string) => world.programs[name]!;
const ask = (name: string, server: string, question: string) =>
  container(name).call<{ code: number; data: string[] }>('query', { server, name: question });

describe("the managers' port", () => {
  test('is open to hosts and to who else is on their network', async () => {
    expect(await reached(world.onHost[1]!, hostAddress(0), managerPort)).toBe('host 192.0.2.2');
    expect(await reached(world.outside, hostAddress(0), managerPort)).toBe('host 192.0.2.100');
  });

  test.each([
    ['by its gateway', gateway.client],
    ['by the address of its host', '192.0.2.1'],
    ['by the address of another host', '192.0.2.2'],
    ['by an address that no host is known by', metadata],
  ])('is closed to a container %s', async (_, address) => {
    expect(await reached(container('client'), address, managerPort)).toBe('ECONNREFUSED');
  });

  test.each([gateway.vault, '192.0.2.1', '192.0.2.2'])(
    'is closed to a container on an internal network by %s',
    async (address) => {
      const refusals = ['ECONNREFUSED', 'EHOSTUNREACH'];
      expect(refusals).toContain(await reached(container('vault'), address, managerPort));
    },
  );
});

describe('a container on an internal network', () => {
  test.each([
    ['a port published on its host', gateway.vault, 80],
    ['a port published on its host, by its address', '192.0.2.2', 80],
    ['a port published on another host', '192.0.2.1', 80],
    ['the port that its own service publishes', gateway.vault, 81],
    ['a program of its host', gateway.vault, hostPort],
    ['a program of its host, by its address', '192.0.2.2', hostPort],
    ['a task of another network', '10.64.0.12', servicePort],
    ['a virtual IP of another network', virtual.web, servicePort],
    ['the metadata service of the machine', metadata, servicePort],
    ["the bridge of another network's host", '10.64.0.2', hostPort],
  ])('does not reach %s', async (_, address, port) => {
    expect(await reached(container('vault'), address, port)).toMatch(/^(ECONNREFUSED|EHOSTUNREACH)$/u);
  });

  test('has names', async () => {
    expect(await ask('vault', gateway.vault, 'vault')).toMatchObject({ code: 0, data: ['10.64.32.41'] });
  });
});

describe('a container on any other network', () => {
  test('reaches what programs of its host offer, by its gateway', async () => {
    expect(await reached(container('client'), gateway.client, hostPort)).toBe('host 10.64.0.21');
  });

  test('reaches published ports of its host and the world, the metadata service of the machine among it', async () => {
    expect(await reached(container('client'), gateway.client, 80)).toMatch(/^web[12] /u);
    expect(await reached(container('client'), metadata, servicePort)).toBe('outside 192.0.2.1');
  });

  test('does not reach the bridges and the DNS servers of other networks', async () => {
    expect(await reached(container('client'), '10.64.16.1', hostPort)).toBe('ECONNREFUSED');
    expect(await reached(container('client'), '10.64.16.1', 10_053)).toBe('ECONNREFUSED');
  });
});

test('all of it holds again when the rules were flushed and set anew', async () => {
  const host = world.hosts.hosts[0]!;
  await host.run('nft', 'flush', 'ruleset');
  await host.driver.kill();
  await host.startDriver();
  await host.driver.call('apply', world.cluster.assignments(0));
  expect(await ask('client', gateway.client, 'app_web')).toEqual({ code: 0, data: [virtual.web] });
  expect(await reached(container('client'), gateway.client, managerPort)).toBe('ECONNREFUSED');
  expect(await reached(container('client'), '192.0.2.2', managerPort)).toBe('ECONNREFUSED');
});

test('a container that floods its host with questions is answered to a bound, and another one as ever', async () => {
  const before = systemClock.monotonic();
  const flood = await container('client').call<{ sent: number; answered: number }>('flood', {
    server: gateway.client,
    name: 'web',
    count: 6_000,
  });
  const elapsedSeconds = (systemClock.monotonic() - before) / 1000;
  expect(flood.sent).toBe(6_000);
  expect(flood.answered).toBeGreaterThan(0);
  // The burst, and then so many a second.
  expect(flood.answered).toBeLessThanOrEqual(questionsPerSecondMax * (1 + elapsedSeconds));
  expect(await ask('other', gateway.client, 'app_web')).toEqual({ code: 0, data: [virtual.web] });
});
