import { describe, expect, test } from 'vitest';
import type { PublishedPort } from '../../src/spec/service.ts';
import type { View } from '../store/objects.ts';
import { sampleNetwork, sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView, type ViewObjects } from '../store/view.ts';
import { allocate, planAllocation } from './plan.ts';

const now = 1_000;
const onNet = sampleTemplate({ networks: [{ name: 'app_net', aliases: ['alias'] }] });
const port = (published: PublishedPort['published'], target = 80): PublishedPort => ({
  target,
  published,
  protocol: 'tcp',
  mode: 'ingress',
});

/** Plans until there is nothing left, with cursors kept as the loop does. */
function settle(view: MutableView, cursors = new Map<string, number>()): Map<string, number> {
  for (let round = 0; round < 4; round++) {
    const next = allocate(view, now, cursors);
    if (next.plan.length === 0) return cursors;
    cursors = next.cursors;
    applyPlan(view, next.plan);
  }
  throw new Error('no fixed point');
}

function settled(objects: ViewObjects): MutableView {
  const view = viewOf(objects);
  settle(view);
  return view;
}

function addressesOf(view: View, id: string): string[] | undefined {
  return view.tasks.get(id)?.attachments.map(({ address }) => address);
}

function publishedOf(view: View, id: string): number[] | undefined {
  return view.services.get(id)?.endpoint?.ports.map(({ published }) => published);
}

describe('networks', () => {
  test('get a VNI, a subnet of the pool and a bridge address for every node', () => {
    const view = settled({
      nodes: [sampleNode('n1'), sampleNode('n2')],
      networks: [sampleNetwork('net'), sampleNetwork('other')],
    });
    expect(view.networks.get('net')).toMatchObject({
      vni: 4096,
      subnet: '10.64.0.0/20',
      bridgeAddresses: { n1: '10.64.0.1', n2: '10.64.0.2' },
    });
    expect(view.networks.get('other')).toMatchObject({ vni: 4097, subnet: '10.64.16.0/20' });
  });

  test('get the subnet that was asked for, with its host bits cleared', () => {
    const view = settled({ networks: [sampleNetwork('net', '10.9.1.7/24')] });
    expect(view.networks.get('net')?.subnet).toBe('10.9.1.0/24');
  });

  test('the pool goes around what was asked for, and around the hosts themselves', () => {
    const host = sampleNode('n1');
    host.description!.address = '10.64.16.9';
    const view = settled({
      nodes: [host],
      networks: [sampleNetwork('a', '10.64.2.0/24'), sampleNetwork('b'), sampleNetwork('c')],
    });
    expect([...view.networks.values()].map(({ subnet }) => subnet)).toEqual([
      '10.64.2.0/24',
      '10.64.32.0/20',
      '10.64.48.0/20',
    ]);
  });

  test.each([
    ['10.1.0.0/16', 'subnet 10.1.0.0/16 overlaps 10.1.2.0/24 of network app_first'],
    ['10.5.0.0/30', 'subnet 10.5.0.0/30 is too small: it must be a /28 at least'],
    ['192.0.2.0/24', 'subnet 192.0.2.0/24 contains the address of node n1'],
    ['10.5/16', 'Cannot read "10.5" as an IPv4 address'],
  ])('a subnet %s that cannot be had is an error in words', (subnet, reason) => {
    const first = sampleNetwork('first', '10.1.2.0/24');
    const view = settled({
      nodes: [sampleNode('n1')],
      networks: [first, sampleNetwork('second', subnet, { createdAt: 1 })],
    });
    expect(view.networks.get('second')).toMatchObject({ allocationError: reason });
    expect(view.networks.get('second')?.subnet).toBeUndefined();
  });

  test('an overlap heals when the other network is gone', () => {
    const view = settled({
      networks: [sampleNetwork('a', '10.1.0.0/24'), sampleNetwork('b', '10.1.0.0/24', { createdAt: 1 })],
    });
    expect(view.networks.get('b')?.allocationError).toContain('overlaps');
    view.remove('network', 'a');
    settle(view);
    expect(view.networks.get('b')).toMatchObject({ subnet: '10.1.0.0/24', allocationError: undefined });
  });

  test('nodes that join get a bridge address, and those of deleted nodes are free', () => {
    const view = settled({ nodes: [sampleNode('n1')], networks: [sampleNetwork('net')] });
    view.remove('node', 'n1');
    view.put('node', sampleNode('n2'));
    settle(view);
    expect(Object.keys(view.networks.get('net')!.bridgeAddresses)).toEqual(['n2']);
  });

  test('a subnet too small for all nodes says so, and still serves those it can', () => {
    const nodes = Array.from({ length: 8 }, (_, index) => sampleNode(`n${index}`));
    const view = settled({ nodes, networks: [sampleNetwork('net', '10.9.0.0/28')] });
    const network = view.networks.get('net')!;
    expect(network.allocationError).toBe('subnet 10.9.0.0/28 has no free address for every node');
    expect(Object.keys(network.bridgeAddresses)).toHaveLength(7);
    for (const node of ['n0', 'n7']) view.remove('node', node);
    settle(view);
    expect(view.networks.get('net')?.allocationError).toBeUndefined();
  });
});

describe('services', () => {
  test('get a virtual IP of the upper half of each network, and none with dnsrr', () => {
    const view = settled({
      networks: [sampleNetwork('net', '10.9.0.0/24')],
      services: [
        sampleService('web', { task: onNet }),
        sampleService('rr', { task: onNet, endpointMode: 'dnsrr' }),
      ],
    });
    expect(view.services.get('web')?.endpoint?.virtualAddresses).toEqual({ net: '10.9.0.129' });
    expect(view.services.get('rr')?.endpoint).toEqual({ virtualAddresses: {}, ports: [] });
  });

  test('get fixed ports, free ones of a range, and dynamic ones', () => {
    const view = settled({
      services: [
        sampleService('a', { ports: [port(8080), port({ first: 8080, last: 8082 }), port(undefined)] }),
        sampleService('b', { ports: [port({ first: 8080, last: 8082 }), port(undefined)] }),
      ],
    });
    expect(publishedOf(view, 'a')).toEqual([8080, 8081, 30_000]);
    expect(publishedOf(view, 'b')).toEqual([8082, 30_001]);
  });

  test('a range leaves a port alone that the same service asks for by number', () => {
    const view = settled({
      services: [sampleService('a', { ports: [port({ first: 80, last: 81 }), port(80)] })],
    });
    expect(publishedOf(view, 'a')).toEqual([81, 80]);
    const service = view.services.get('a')!;
    const ports = [port({ first: 80, last: 81 }), port(81)];
    view.put('service', { ...service, spec: { ...service.spec, ports } });
    expect(planAllocation(view, now)).toEqual([]);
  });

  test('one port serves tcp and udp', () => {
    const view = settled({
      services: [sampleService('dns', { ports: [port(53), { ...port(53), protocol: 'udp' }] })],
    });
    expect(publishedOf(view, 'dns')).toEqual([53, 53]);
  });

  test('a port that is taken is an error that names the holder, kept off the tasks too', () => {
    const other = sampleService('b', { ports: [port(8080)], task: onNet }, { createdAt: 1 });
    const view = settled({
      networks: [sampleNetwork('net')],
      services: [sampleService('a', { ports: [port(8080)] }), other],
      tasks: [sampleTask(other, 1)],
    });
    const reason = 'port 8080/tcp is already published by service app_a';
    expect(view.services.get('b')).toMatchObject({ allocationError: reason, endpoint: undefined });
    expect(view.tasks.get('b-1')?.status).toEqual({ state: 'new', at: 0, message: reason });
    view.remove('service', 'a');
    settle(view);
    expect(view.services.get('b')?.allocationError).toBeUndefined();
    expect(view.tasks.get('b-1')?.status.state).toBe('pending');
  });

  test('a port that another service opens on its hosts is taken, one own host port is not', () => {
    const hostPorts = [{ ...port(53), mode: 'host' as const }];
    const view = settled({
      services: [
        sampleService('a', { task: sampleTemplate({ hostPorts }) }),
        sampleService('b', { ports: [port(53)] }),
      ],
    });
    expect(view.services.get('b')?.allocationError).toBe('port 53/tcp is already published by service app_a');
  });

  test('a port of one address is no trouble to that of another, and one of all addresses is to both', () => {
    const at = (address: string) => ({ ...port(80), address });
    const view = settled({
      services: [
        sampleService('a', { ports: [at('127.0.0.1'), at('192.0.2.1')] }),
        sampleService('b', { ports: [at('192.0.2.2')] }, { createdAt: 1 }),
        sampleService('c', { ports: [at('127.0.0.1')] }, { createdAt: 2 }),
        sampleService('d', { ports: [port(80)] }, { createdAt: 3 }),
      ],
    });
    expect(view.services.get('a')?.endpoint?.ports).toEqual([
      { target: 80, published: 80, protocol: 'tcp', address: '127.0.0.1' },
      { target: 80, published: 80, protocol: 'tcp', address: '192.0.2.1' },
    ]);
    expect(publishedOf(view, 'b')).toEqual([80]);
    const errors = ['c', 'd'].map((id) => view.services.get(id)?.allocationError);
    expect(errors).toEqual([
      'port 127.0.0.1:80/tcp is already published by service app_a',
      'port 80/tcp is already published by service app_a',
    ]);
    const service = view.services.get('b')!;
    view.put('service', { ...service, spec: { ...service.spec, ports: [at('192.0.2.3')] } });
    settle(view);
    expect(view.services.get('b')?.endpoint?.ports).toMatchObject([{ address: '192.0.2.3' }]);
  });

  test.each([
    [[port(80), port(80, 81)], 'port 80/tcp is published twice by this service'],
    [
      [port({ first: 80, last: 81 }), port({ first: 80, last: 81 }), port({ first: 80, last: 81 })],
      'no port of 80-81/tcp is free',
    ],
  ])('ports that contradict each other are an error in words', (ports, reason) => {
    const view = settled({ services: [sampleService('a', { ports })] });
    expect(view.services.get('a')?.allocationError).toBe(reason);
  });

  test('the endpoint follows the spec and keeps what stays', () => {
    const view = settled({
      networks: [sampleNetwork('net'), sampleNetwork('two')],
      services: [sampleService('web', { task: onNet, ports: [port(undefined), port(8080)] })],
    });
    const before = view.services.get('web')!;
    const networks = [...onNet.networks, { name: 'app_two', aliases: [] }];
    const spec = { ...before.spec, task: { ...onNet, networks }, ports: [port(9090), port(undefined)] };
    view.put('service', { ...before, spec });
    settle(view);
    expect(publishedOf(view, 'web')).toEqual([9090, 30_000]);
    expect(view.services.get('web')?.endpoint?.virtualAddresses).toEqual({
      ...before.endpoint?.virtualAddresses,
      two: '10.64.24.1',
    });
    view.put('service', { ...before, spec: { ...before.spec, task: sampleTemplate() } });
    settle(view);
    expect(view.services.get('web')?.endpoint?.virtualAddresses).toEqual({});
  });

  test('a port moves from one service to another in one plan, whichever is older', () => {
    const view = settled({ services: [sampleService('b', { ports: [port(8080)] }, { createdAt: 1 })] });
    const holder = view.services.get('b')!;
    view.put('service', { ...holder, spec: { ...holder.spec, ports: [] } });
    view.put('service', sampleService('a', { ports: [port(8080)] }));
    applyPlan(view, planAllocation(view, now));
    expect([publishedOf(view, 'a'), publishedOf(view, 'b')]).toEqual([[8080], []]);
  });

  test('an update that cannot be had keeps what the service has', () => {
    const view = settled({
      services: [sampleService('a', { ports: [port(1)] }), sampleService('b', { ports: [port(2)] })],
    });
    const service = view.services.get('b')!;
    view.put('service', { ...service, spec: { ...service.spec, ports: [port(2), port(1)] } });
    settle(view);
    expect(view.services.get('b')?.allocationError).toContain('app_a');
    expect(publishedOf(view, 'b')).toEqual([2]);
  });

  test('a service on its way out keeps its ports until it is gone', () => {
    const view = settled({ services: [sampleService('a', { ports: [port(80)] })] });
    view.put('service', { ...view.services.get('a')!, removing: true });
    view.put('service', sampleService('b', { ports: [port(80)] }));
    settle(view);
    expect(view.services.get('b')?.allocationError).toContain('app_a');
  });
});

describe('tasks', () => {
  const web = sampleService('web', { task: onNet });

  test('become pending with an address of the lower half and their aliases on every network, in order', () => {
    const networks = [{ name: 'app_two', aliases: [] }, ...onNet.networks];
    const service = sampleService('web', { task: sampleTemplate({ networks }) });
    const view = settled({
      nodes: [sampleNode('n1')],
      networks: [sampleNetwork('net', '10.1.0.0/24'), sampleNetwork('two', '10.2.0.0/24')],
      services: [service],
      tasks: [sampleTask(service, 1)],
    });
    expect(view.tasks.get('web-1')).toMatchObject({
      status: { state: 'pending', at: now },
      attachments: [
        { networkId: 'two', address: '10.2.0.2', aliases: [] },
        { networkId: 'net', address: '10.1.0.2', aliases: ['alias'] },
      ],
    });
  });

  test('that nobody wants to run any more are left alone', () => {
    const view = viewOf({ services: [web], tasks: [sampleTask(web, 1, { desiredState: 'shutdown' })] });
    settle(view);
    expect(view.tasks.get('web-1')?.status.state).toBe('new');
  });

  test('wait with the reason of a network that has no subnet', () => {
    const view = settled({
      networks: [sampleNetwork('net', '10.0.0.0/31')],
      services: [web],
      tasks: [sampleTask(web, 1)],
    });
    const reason = 'network app_net: subnet 10.0.0.0/31 is too small: it must be a /28 at least';
    expect(view.tasks.get('web-1')?.status).toMatchObject({ state: 'new', message: reason });
  });

  test('an address is not given out again before all others were, with cursors and without', () => {
    const view = settled({ networks: [sampleNetwork('net', '10.9.0.0/28')], services: [web] });
    const given: (string | undefined)[] = [];
    let cursors = new Map<string, number>();
    for (let slot = 1; slot <= 8; slot++) {
      view.put('task', sampleTask(web, slot, { createdAt: slot }));
      if (slot === 4) cursors = new Map();
      cursors = settle(view, cursors);
      given.push(...(addressesOf(view, `web-${slot}`) ?? []));
      const task = view.tasks.get(`web-${slot}`)!;
      view.put('task', { ...task, status: { ...task.status, state: 'failed' } });
    }
    expect(given.map((address) => address?.split('.')[3])).toEqual(['1', '2', '3', '4', '5', '6', '7', '1']);
  });

  test('wait for an address when the network is full, and get it when one is free', () => {
    const tasks = Array.from({ length: 8 }, (_, index) => sampleTask(web, index + 1, { createdAt: index }));
    const view = settled({ networks: [sampleNetwork('net', '10.9.0.0/28')], services: [web], tasks });
    expect(view.tasks.get('web-8')?.status).toMatchObject({
      state: 'new',
      message:
        'network app_net has no free address: its subnet 10.9.0.0/28 has 7 for tasks and hosts; give it a larger subnet, or use several networks',
    });
    view.remove('task', 'web-3');
    settle(view);
    expect(addressesOf(view, 'web-8')).toEqual(['10.9.0.3']);
  });
});

describe('a fixed address', () => {
  const fixed = (id: string, address: string, createdAt = 0) =>
    sampleService(
      id,
      { task: sampleTemplate({ networks: [{ name: 'app_net', aliases: [], address }] }) },
      { createdAt },
    );
  const db = fixed('db', '10.9.0.2');
  const web = sampleService('web', { task: onNet });

  test('is given to its task and to nobody else, bridges and older tasks among them', () => {
    const view = settled({
      nodes: [sampleNode('n1'), sampleNode('n2')],
      networks: [sampleNetwork('net', '10.9.0.0/28')],
      services: [web, db],
      tasks: [sampleTask(web, 1), sampleTask(db, 1, { createdAt: 1 })],
    });
    expect(view.networks.get('net')?.bridgeAddresses).toEqual({ n1: '10.9.0.1', n2: '10.9.0.3' });
    expect(addressesOf(view, 'web-1')).toEqual(['10.9.0.4']);
    expect(addressesOf(view, 'db-1')).toEqual(['10.9.0.2']);
  });

  test.each([
    ['10.9.0.0/24', '10.9.0.200', '10.9.0.0/25'],
    ['10.9.0.0/24', '10.9.0.20', undefined],
    ['10.9.0.0/28', '10.9.0.14', '10.9.0.0/29'],
  ])('in %s at %s moves the virtual IPs to %s', (subnet, address, virtualSubnet) => {
    const service = fixed('db', address);
    const view = settled({
      networks: [sampleNetwork('net', subnet)],
      services: [service],
      tasks: [sampleTask(service, 1)],
    });
    expect(view.networks.get('net')?.virtualSubnet).toBe(virtualSubnet);
    expect(addressesOf(view, 'db-1')).toEqual([address]);
  });

  test('on both sides of the subnet leaves the virtual IPs a smaller part of it', () => {
    const services = [fixed('a', '10.9.0.10'), fixed('b', '10.9.0.240'), fixed('c', '10.9.0.140')];
    const view = settled({ networks: [sampleNetwork('net', '10.9.0.0/24')], services });
    expect(view.networks.get('net')?.virtualSubnet).toBe('10.9.0.64/26');
    expect(view.services.get('a')?.endpoint?.virtualAddresses).toEqual({ net: '10.9.0.65' });
  });

  test.each([
    ['10.9.0.3', 'address 10.9.0.3 of network app_net is in use by task app_web.1'],
    ['10.9.0.1', 'address 10.9.0.1 of network app_net is in use by the bridge of a host'],
    ['10.9.0.9', 'address 10.9.0.9 of network app_net is one of its virtual IPs, which are 10.9.0.8/29'],
    ['10.9.1.1', 'network app_net has no address 10.9.1.1: its subnet is 10.9.0.0/28'],
  ])('%s that comes too late waits with the reason', (address, message) => {
    const view = settled({
      nodes: [sampleNode('n1'), sampleNode('n2')],
      networks: [sampleNetwork('net', '10.9.0.0/28')],
      services: [web],
      tasks: [sampleTask(web, 1)],
    });
    const late = fixed('late', address);
    view.put('service', late);
    view.put('task', sampleTask(late, 1));
    settle(view);
    expect(view.tasks.get('late-1')?.status).toMatchObject({ state: 'new', message });
  });

  test('goes to the successor once the task has ended, or is lost with its host and not wanted any more', () => {
    const view = settled({
      nodes: [sampleNode('n1')],
      networks: [sampleNetwork('net', '10.9.0.0/24')],
      services: [db],
      tasks: [sampleTask(db, 1, { nodeId: 'n1' })],
    });
    const old = view.tasks.get('db-1')!;
    view.put('task', { ...old, desiredState: 'shutdown', status: { ...old.status, state: 'running' } });
    view.put('task', sampleTask(db, 1, { id: 'next', createdAt: 1 }));
    settle(view);
    expect(view.tasks.get('next')?.status.message).toContain('is in use by task app_db.1');
    const lost = viewOf({
      nodes: [sampleNode('n1', { status: { state: 'down', since: 0, message: '' } })],
      networks: [...view.networks.values()],
      services: [db],
      tasks: [...view.tasks.values()],
    });
    settle(lost);
    expect(addressesOf(lost, 'next')).toEqual(['10.9.0.2']);
    view.put('task', { ...view.tasks.get('db-1')!, status: { ...old.status, state: 'shutdown' } });
    settle(view);
    expect(addressesOf(view, 'next')).toEqual(['10.9.0.2']);
  });

  test('and the range of a network leave each other alone, and reserved addresses are given to nothing', () => {
    const network = sampleNetwork('net', '10.9.0.0/16');
    network.spec = { ...network.spec, range: '10.9.5.0/28', reserved: ['10.9.5.1', '10.9.0.1'] };
    const far = fixed('far', '10.9.200.7');
    const view = settled({
      nodes: [sampleNode('n1')],
      networks: [network],
      services: [web, far],
      tasks: [sampleTask(web, 1), sampleTask(far, 1)],
    });
    expect(view.networks.get('net')).toMatchObject({
      bridgeAddresses: { n1: '10.9.5.0' },
      virtualSubnet: '10.9.5.8/29',
    });
    expect(addressesOf(view, 'web-1')).toEqual(['10.9.5.2']);
    expect(addressesOf(view, 'far-1')).toEqual(['10.9.200.7']);
    expect(view.services.get('far')?.endpoint?.virtualAddresses).toEqual({ net: '10.9.5.9' });
  });
});
