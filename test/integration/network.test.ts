import { systemClock } from '../../src/util/clock.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LineProcess } from './network-rpc.ts';
import { answers, servicePort, taskId, virtual, World } from './network-world.ts';

const world = new World();
const hostAddress = (index: number) => world.hosts.hosts[index]!.address;

beforeAll(() => world.start());
afterAll(() => world.close());

describe('within a network', () => {
  test('tasks on different hosts reach each other by address', async () => {
    expect(await answers(world.programs['client']!, '10.64.0.12', servicePort, 1)).toEqual({
      'web2 10.64.0.21': 1,
    });
  });

  test('a virtual IP is balanced over the endpoints of all hosts, and they see the client', async () => {
    const counts = await answers(world.programs['client']!, virtual.web, servicePort, 24);
    expect(Object.keys(counts).toSorted()).toEqual(['web1 10.64.0.21', 'web2 10.64.0.21']);
  });

  test('a task that is balanced to itself reaches itself', async () => {
    const counts = await answers(world.programs['web1']!, virtual.web, servicePort, 24);
    expect(Object.keys(counts).toSorted()).toEqual(['web1 10.64.0.1', 'web2 10.64.0.11']);
  });

  test('a service without endpoints refuses at once', async () => {
    expect(await answers(world.programs['client']!, virtual.idle, servicePort, 1)).toEqual({
      ECONNREFUSED: 1,
    });
  });

  test('a task on several networks is reached on each', async () => {
    expect(await answers(world.programs['store']!, '10.64.16.11', servicePort, 1)).toEqual({
      'web1 10.64.16.31': 1,
    });
    expect(await answers(world.programs['web1']!, virtual.store, servicePort, 1)).toEqual({
      'store 10.64.16.11': 1,
    });
  });

  test('a task reaches the outside world, which sees its host', async () => {
    expect(await answers(world.programs['client']!, '192.0.2.100', servicePort, 1)).toEqual({
      'outside 192.0.2.1': 1,
    });
  });
});

describe('published ports', () => {
  test.each([0, 1, 2])(
    'host %i serves all replicas to outside clients, whose address they see',
    async (index) => {
      const counts = await answers(world.outside, hostAddress(index), 80, 24);
      expect(Object.keys(counts).toSorted()).toEqual(['web1 192.0.2.100', 'web2 192.0.2.100']);
    },
  );

  test('a host that runs no replica reaches them by 127.0.0.1 and by its own address', async () => {
    for (const host of ['127.0.0.1', hostAddress(2)]) {
      const counts = await answers(world.onHost[2]!, host, 80, 24);
      expect(Object.keys(counts).toSorted()).toEqual(['web1 10.64.0.3', 'web2 10.64.0.3']);
    }
  });

  test('containers reach them on their own host and on others', async () => {
    const own = await answers(world.programs['client']!, hostAddress(0), 80, 24);
    expect(Object.keys(own).toSorted()).toEqual(['web1 10.64.0.1', 'web2 10.64.0.1']);
    const other = await answers(world.programs['client']!, hostAddress(2), 80, 24);
    expect(Object.keys(other).toSorted()).toEqual(['web1 192.0.2.1', 'web2 192.0.2.1']);
    const replica = await answers(world.programs['web1']!, hostAddress(0), 80, 24);
    expect(Object.keys(replica).toSorted()).toEqual(['web1 10.64.0.1', 'web2 10.64.0.1']);
  });

  test('a container on another network only reaches them too', async () => {
    const counts = await answers(world.programs['store']!, hostAddress(2), 80, 24);
    expect(Object.keys(counts).toSorted()).toEqual(['web1 10.64.0.3', 'web2 10.64.0.3']);
  });

  test('a service on an internal network can be published; it sees the host that passed it on', async () => {
    expect(await answers(world.outside, hostAddress(0), 81, 2)).toEqual({ 'vault 10.64.32.1': 2 });
    expect(await answers(world.outside, hostAddress(1), 81, 2)).toEqual({ 'vault 10.64.32.2': 2 });
  });

  test('UDP ports are published as well', async () => {
    const flow = await world.outside.call('openFlow', { host: hostAddress(2), port: 80 });
    const first = await world.outside.call<string>('askFlow', { id: flow });
    expect(first).toMatch(/^web[12] 192\.0\.2\.100$/);
    expect(await world.outside.call('askFlow', { id: flow })).toBe(first);
  });
});

describe('a connection of which the client has closed its side', () => {
  const slowPort = 8_100;

  beforeAll(async () => {
    // The kernel's own times for this, which are one and two minutes, made short.
    for (const host of world.hosts.hosts) {
      await host.run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_timeout_close_wait=1');
      await host.run('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_timeout_fin_wait=1');
    }
    for (const name of ['web1', 'web2']) {
      await world.programs[name]!.call('serveSlowly', { port: slowPort, delayMs: 4_000 });
    }
    const web = world.cluster.services.find(({ name }) => name === 'app_web')!;
    web.ports!.push({ published: slowPort, target: slowPort, protocol: 'tcp' });
    await world.sync();
  });

  test('gets its answer, however long that takes, by a virtual IP and by a published port', async () => {
    const ask = (program: LineProcess, host: string) =>
      program.call('askAndClose', { host, port: slowPort, limitMs: 10_000 });
    const client = world.programs['client']!;
    const asked = [
      ask(client, virtual.web),
      ask(client, virtual.web),
      ...[0, 1, 2].map((index) => ask(world.outside, hostAddress(index))),
      ask(world.onHost[2]!, '127.0.0.1'),
    ];
    expect(await Promise.all(asked)).toEqual(asked.map(() => 'answer to a question'));
  });
});

describe('isolation', () => {
  test('networks do not reach each other, neither by address nor by virtual IP', async () => {
    const [client, store] = [world.programs['client']!, world.programs['store']!];
    expect(await answers(client, '10.64.16.11', servicePort, 1)).toEqual({ EHOSTUNREACH: 1 });
    expect(await answers(client, virtual.store, servicePort, 1)).toEqual({ EHOSTUNREACH: 1 });
    expect(await answers(store, '10.64.0.21', servicePort, 1)).toEqual({ EHOSTUNREACH: 1 });
  });

  test('an internal network has no way out', async () => {
    expect(await answers(world.programs['vault']!, '192.0.2.100', servicePort, 1)).toEqual({
      ENETUNREACH: 1,
    });
  });

  test('nobody outside reaches a task or a bridge by its address', async () => {
    await world.hosts.outside.run('ip', 'route', 'add', '10.64.0.0/16', 'via', hostAddress(0));
    expect(await answers(world.outside, '10.64.0.11', servicePort, 1)).toEqual({ TIMEOUT: 1 });
    await expect(world.outside.call('query', { server: '10.64.0.1', name: 'web' })).rejects.toThrow();
  });

  test("a container does not reach what listens on its host's loopback", async () => {
    await world.onHost[0]!.call('serve', { port: 7_000 });
    expect(await answers(world.onHost[0]!, '127.0.0.1', 7_000, 1)).toEqual({ 'host 127.0.0.1': 1 });
    const client = world.find('client');
    const host = world.hosts.hosts[client.host]!;
    const inside = ['nsenter', `--net=/run/netns/shoal-${client.id}`];
    await host.run(...inside, 'ip', 'route', 'del', 'local', '127.0.0.0/8', 'table', 'local');
    await host.run(...inside, 'ip', 'addr', 'flush', 'dev', 'lo');
    await host.run(...inside, 'ip', 'route', 'add', '127.0.0.1', 'via', '10.64.0.1', 'src', '10.64.0.21');
    expect(await answers(world.programs['client']!, '127.0.0.1', 7_000, 1)).not.toHaveProperty(
      'host 10.64.0.21',
    );
  });
});

describe('changes', () => {
  test('an endpoint that is removed gets no new connection, and keeps those it has', async () => {
    const client = world.programs['other']!;
    const open = [];
    for (let index = 0; index < 12; index++) {
      open.push(
        await client.call<{ id: number; greeting: string }>('open', { host: virtual.web, port: servicePort }),
      );
    }
    const kept = open.find(({ greeting }) => greeting.startsWith('web2'))!;
    world.find('web2').ready = false;
    await world.sync();
    expect(await answers(client, virtual.web, servicePort, 12)).toEqual({ 'web1 10.64.0.51': 12 });
    expect(await answers(world.outside, hostAddress(1), 80, 12)).toEqual({ 'web1 192.0.2.100': 12 });
    expect(await client.call('send', { id: kept.id, text: 'still here' })).toBe('web2 still here');
    world.find('web2').ready = true;
    await world.sync();
  });

  test('a driver that is killed leaves connections alone, and the next one adopts what is there', async () => {
    const client = world.programs['other']!;
    const remote = await client.call<{ id: number }>('open', { host: '10.64.0.12', port: servicePort });
    const balanced = await client.call<{ id: number; greeting: string }>('open', {
      host: virtual.web,
      port: servicePort,
    });
    const host = world.hosts.hosts[0]!;
    await host.run('ip', 'link', 'add', 'shvgone0000000', 'type', 'bridge');
    await host.driver.kill();
    expect(await client.call('send', { id: remote.id, text: 'alone' })).toBe('web2 alone');
    await host.startDriver();
    const onHost = world.cluster.tasks.filter((task) => task.host === 0);
    expect((await host.driver.call<string[]>('list')).toSorted()).toEqual(
      onHost.map(({ id }) => id).toSorted(),
    );
    await host.driver.call('apply', world.cluster.assignments(0));
    for (const each of onHost) await host.attach(world.cluster.attachments(each));
    expect(await client.call('send', { id: remote.id, text: 'adopted' })).toBe('web2 adopted');
    expect(await client.call('send', { id: balanced.id, text: 'adopted' })).toMatch(/^web[12] adopted$/);
    expect(await client.call('query', { server: '10.64.0.1', name: 'app_web' })).toEqual({
      code: 0,
      data: [virtual.web],
    });
    expect(await host.run('ip', '-o', 'link')).not.toContain('shvgone');
  });

  test('when a task is gone its TCP clients are told, and its UDP clients reach another one', async () => {
    const client = world.programs['other']!;
    const flows = [];
    for (let index = 0; index < 12; index++) {
      const id = await client.call<number>('openFlow', { host: virtual.web, port: servicePort });
      flows.push({ id, answer: await client.call<string>('askFlow', { id }) });
    }
    const flow = flows.find(({ answer }) => answer.startsWith('web2'))!;
    const open = [];
    for (let index = 0; index < 12; index++) {
      open.push(
        await client.call<{ id: number; greeting: string }>('open', { host: virtual.web, port: servicePort }),
      );
    }
    const connection = open.find(({ greeting }) => greeting.startsWith('web2'))!;
    const web2 = world.find('web2');
    world.cluster.tasks = world.cluster.tasks.filter((task) => task !== web2);
    await world.sync();
    await world.hosts.hosts[1]!.driver.call('detach', { taskId: web2.id });
    await expect(client.call('send', { id: connection.id, text: 'anyone?' })).rejects.toMatchObject({
      code: 'ECONNRESET',
    });
    // The first packet finds out; the ones after it go elsewhere.
    await expect(client.call('askFlow', { id: flow.id })).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await client.call('askFlow', { id: flow.id })).toBe('web1 10.64.0.51');
    expect(await client.call('askFlow', { id: flow.id })).toBe('web1 10.64.0.51');
    world.cluster.tasks.push(web2);
    await world.sync();
    await world.run(web2);
  });

  test('a port that a program of the host or another task has is refused by name', async () => {
    const host = world.hosts.hosts[2]!;
    const attachment = (name: string, address: string, published: number) =>
      world.cluster.attachments({
        id: taskId(name),
        service: 'app_client',
        host: 2,
        slot: 1,
        ready: true,
        addresses: { front: address },
        hostPorts: [{ target: servicePort, published, protocol: 'tcp' }],
      });
    await world.onHost[2]!.call('serve', { port: 7_001 });
    await expect(host.attach(attachment('taken', '10.64.0.61', 7_001))).rejects.toMatchObject({
      code: 'port_taken',
    });
    await host.attach(attachment('first', '10.64.0.62', 7_002));
    const program = await host.probe('first', taskId('first'));
    await program.call('serve', { port: servicePort });
    expect(await answers(world.outside, hostAddress(2), 7_002, 1)).toEqual({ 'first 192.0.2.100': 1 });
    expect(await answers(world.onHost[2]!, '127.0.0.1', 7_002, 1)).toEqual({ 'first 10.64.0.3': 1 });
    await expect(host.attach(attachment('second', '10.64.0.63', 7_002))).rejects.toMatchObject({
      code: 'port_taken',
    });
    await expect(host.attach(attachment('third', '10.64.0.64', 80))).rejects.toMatchObject({
      code: 'port_taken',
    });
    await host.driver.call('detach', { taskId: taskId('first') });
    expect(await answers(world.outside, hostAddress(2), 7_002, 1)).toEqual({ ECONNREFUSED: 1 });
  });

  test('a driver killed while it attaches leaves nothing that the next one cannot finish or remove', async () => {
    const host = world.hosts.hosts[2]!;
    const linksBefore = await host.run('ip', '-br', 'link');
    const tasks = ['crash1', 'crash2', 'crash3'].map((name, index) =>
      world.cluster.attachments({
        id: taskId(name),
        service: 'app_client',
        host: 2,
        slot: 1,
        ready: true,
        addresses: { front: `10.64.0.7${index}`, back: `10.64.16.7${index}` },
      }),
    );
    for (const delayMs of [0, 5, 10, 15, 25]) {
      const attaching = Promise.allSettled(tasks.map((task) => host.attach(task)));
      await systemClock.sleep(delayMs);
      await host.driver.kill();
      await attaching;
      await host.startDriver();
      await host.driver.call('apply', world.cluster.assignments(2));
      for (const task of tasks) await host.attach(task);
      const program = await host.probe('crash', tasks[2]!.taskId);
      expect(await answers(program, '10.64.16.31', servicePort, 1)).toEqual({ 'store 10.64.16.72': 1 });
      await Promise.all(tasks.map(({ taskId }) => host.driver.call('detach', { taskId })));
      expect(await host.run('ip', '-br', 'link')).toBe(linksBefore);
      expect(await host.driver.call('list')).toEqual([taskId('store')]);
    }
  });

  test('a port that a program of a host has stays its own there', async () => {
    await world.onHost[2]!.call('serve', { port: 8_081 });
    const web = world.cluster.services.find(({ name }) => name === 'app_web')!;
    web.ports!.push({ published: 8_081, target: servicePort, protocol: 'tcp' });
    await world.sync();
    expect(await answers(world.outside, hostAddress(2), 8_081, 2)).toEqual({ 'host 192.0.2.100': 2 });
    const { 'host 192.0.2.100': own, ...replicas } = await answers(world.outside, hostAddress(1), 8_081, 2);
    expect(own).toBeUndefined();
    expect(Object.keys(replicas).join()).toMatch(/^web/);
  });

  test('purge leaves nothing in the kernel', async () => {
    const host = world.hosts.hosts[2]!;
    await host.driver.call('purge');
    const links = (await host.run('ip', '-o', 'link')).split('\n').map((line) => line.split(': ')[1] ?? '');
    expect(links.filter((name) => name.startsWith('sh'))).toEqual([]);
    expect(await host.run('nft', 'list', 'ruleset')).toBe('');
    expect(await host.run('ls', '/run/netns')).toBe('');
    expect((await host.run('ip', 'rule')).split('\n').filter(Boolean)).toHaveLength(3);
  });
});
