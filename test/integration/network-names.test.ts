import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answers, servicePort, taskId, virtual, World } from './network-world.ts';

const world = new World();
function hostAddress(index: number): string {
  return world.hosts.hosts[index]!.address;
}

beforeAll(() => world.start());
afterAll(() => world.close());

describe('a port that is published on one address of the hosts', () => {
  beforeAll(async () => {
    const web = world.cluster.services.find(({ name }) => name === 'app_web')!;
    const open = (published: number, address: string) => ({
      published,
      target: servicePort,
      protocol: 'tcp' as const,
      address,
    });
    web.ports!.push(
      open(7_100, '127.0.0.1'),
      { ...open(7_100, '127.0.0.1'), protocol: 'udp' },
      open(7_101, hostAddress(2)),
      open(7_102, hostAddress(0)),
      open(7_102, hostAddress(1)),
    );
    await world.sync();
  });

  test.each([0, 1, 2])('127.0.0.1 is reached by programs of host %i, and by nobody else', async (index) => {
    const own = await answers(world.onHost[index]!, '127.0.0.1', 7_100, 24);
    expect(new Set(Object.keys(own).map((answer) => answer.split(' ')[0]))).toEqual(
      new Set(['web1', 'web2']),
    );
    expect(await answers(world.onHost[index]!, hostAddress(index), 7_100, 1)).toEqual({ ECONNREFUSED: 1 });
    expect(await answers(world.outside, hostAddress(index), 7_100, 1)).toEqual({ ECONNREFUSED: 1 });
    expect(await answers(world.programs['client']!, hostAddress(index), 7_100, 1)).toEqual({
      ECONNREFUSED: 1,
    });
  });

  test('127.0.0.1 is reached over UDP as well', async () => {
    const flow = await world.onHost[2]!.call('openFlow', { host: '127.0.0.1', port: 7_100 });
    expect(await world.onHost[2]!.call<string>('askFlow', { id: flow })).toMatch(/^web[12] 10\.64\.0\.3$/);
  });

  test('127.0.0.1 is not reached by a neighbour that sends to it by the way of the host', async () => {
    const { outside } = world.hosts;
    await outside.run('sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1');
    await outside.run('ip', 'route', 'del', 'local', '127.0.0.0/8', 'table', 'local');
    await outside.run('ip', 'addr', 'flush', 'dev', 'lo');
    await outside.run('ip', 'route', 'add', '127.0.0.1', 'via', hostAddress(0), 'src', outside.address);
    expect(await answers(world.outside, '127.0.0.1', 7_100, 1)).toEqual({ TIMEOUT: 1 });
    await outside.run('ip', 'route', 'del', '127.0.0.1');
  });

  test('a host that has the address serves it to everyone, and others do not have the port', async () => {
    const counts = await answers(world.outside, hostAddress(2), 7_101, 24);
    expect(Object.keys(counts).toSorted()).toEqual(['web1 192.0.2.100', 'web2 192.0.2.100']);
    expect(await answers(world.outside, hostAddress(0), 7_101, 1)).toEqual({ ECONNREFUSED: 1 });
    expect(await answers(world.onHost[2]!, '127.0.0.1', 7_101, 1)).toEqual({ ECONNREFUSED: 1 });
  });

  test('one port is open on two addresses, and not on a third', async () => {
    for (const index of [0, 1]) {
      const [answer] = Object.keys(await answers(world.outside, hostAddress(index), 7_102, 1));
      expect(answer).toMatch(/^web[12] 192\.0\.2\.100$/);
    }
    expect(await answers(world.outside, hostAddress(2), 7_102, 1)).toEqual({ ECONNREFUSED: 1 });
  });

  test('of a single replica it is open on that address of its host only', async () => {
    const host = world.hosts.hosts[2]!;
    const attach = (name: string, address: string, open: string) =>
      host.attach(
        world.cluster.attachments({
          id: taskId(name),
          service: 'app_client',
          host: 2,
          slot: 1,
          ready: true,
          addresses: { front: address },
          hostPorts: [{ target: servicePort, published: 7_103, protocol: 'tcp', address: open }],
        }),
      );
    await attach('inner', '10.64.0.62', '127.0.0.1');
    const program = await host.probe('inner', taskId('inner'));
    await program.call('serve', { port: servicePort });
    expect(await answers(world.onHost[2]!, '127.0.0.1', 7_103, 1)).toEqual({ 'inner 10.64.0.3': 1 });
    expect(await answers(world.outside, hostAddress(2), 7_103, 1)).toEqual({ ECONNREFUSED: 1 });
    await expect(attach('twin', '10.64.0.63', '127.0.0.1')).rejects.toMatchObject({ code: 'port_taken' });
    await attach('twin', '10.64.0.63', hostAddress(2));
  });

  test('a program of the host on another address does not keep it away', async () => {
    const web = world.cluster.services.find(({ name }) => name === 'app_web')!;
    await world.onHost[1]!.call('serve', { port: 7_104, address: '127.0.0.1' });
    const port = { published: 7_104, target: servicePort, protocol: 'tcp' as const };
    web.ports!.push({ ...port, address: hostAddress(1) });
    await world.sync();
    expect(await answers(world.onHost[1]!, '127.0.0.1', 7_104, 1)).toEqual({ 'host 127.0.0.1': 1 });
    const [answer] = Object.keys(await answers(world.outside, hostAddress(1), 7_104, 1));
    expect(answer).toMatch(/^web[12] 192\.0\.2\.100$/);
  });
});

/** What the kernel lists is all that is seen of SCTP: many kernels have no sockets of it. */
test('ports of SCTP are in the same maps', async () => {
  const web = world.cluster.services.find(({ name }) => name === 'app_web')!;
  const port = { target: servicePort, protocol: 'sctp' as const };
  web.ports!.push({ ...port, published: 7_200 }, { ...port, published: 7_201, address: hostAddress(0) });
  await world.sync();
  const list = (map: string) => world.hosts.hosts[0]!.run('nft', 'list', 'map', 'inet', 'shoal', map);
  expect(await list('port_size')).toContain('sctp . 7200 : goto port_2');
  expect(await list('address_port_slots')).toContain('192.0.2.1 . sctp . 7201 . 1 : 10.64.0.12 . 8000');
});

test('a link is a name of another service for the linking service alone', async () => {
  const client = world.cluster.services.find(({ name }) => name === 'app_client')!;
  client.links = [{ alias: 'page', service: 'app_web' }];
  await world.sync();
  const ask = (program: string) =>
    world.programs[program]!.call('query', { server: '10.64.0.1', name: 'page' });
  expect(await ask('client')).toEqual({ code: 0, data: [virtual.web] });
  expect(await ask('other')).toMatchObject({ code: 3 });
  expect(await answers(world.programs['client']!, virtual.web, servicePort, 1)).not.toEqual({});
});
