import { expect, test } from 'vitest';
import type { NetworkAssignment, ServiceAssignment } from '../../src/wire/session.ts';
import type { NetworkAssignments } from './network.ts';
import { planAssignments, planLocal, planTask, vethName, type HostFacts } from './plan.ts';

const facts: HostFacts = {
  hostAddress: '192.0.2.1',
  underlayMtu: 1500,
  vxlanPort: 4789,
  foreignPorts: new Set(),
};

const front: NetworkAssignment = {
  id: 'front0000000',
  name: 'app_front',
  vni: 4096,
  subnet: '10.64.0.0/20',
  internal: false,
  bridgeAddress: '10.64.0.1',
  peers: [{ nodeId: 'b', bridgeAddress: '10.64.0.2', hostAddress: '192.0.2.2' }],
};
const inner: NetworkAssignment = {
  ...front,
  id: 'inner0000000',
  vni: 4097,
  subnet: '10.64.16.0/20',
  internal: true,
  bridgeAddress: '10.64.16.1',
  peers: [],
};
const web: ServiceAssignment = {
  id: 'web',
  name: 'app_web',
  key: 'web',
  application: 'app',
  networks: [{ networkId: front.id, virtualAddress: '10.64.8.1', aliases: [] }],
  ports: [{ published: 80, target: 8080, protocol: 'tcp' }],
  ingressNetworkId: front.id,
};

function assigned(endpointCount: number, change: Partial<NetworkAssignments> = {}): NetworkAssignments {
  const endpoints = Array.from({ length: endpointCount }, (_, index) => ({
    id: `task${index}`,
    serviceId: 'web',
    slot: index + 1,
    nodeId: 'b',
    addresses: { [front.id]: `10.64.${1 + Math.floor(index / 250)}.${(index % 250) + 1}` },
  }));
  return {
    networks: new Map([
      [front.id, front],
      [inner.id, inner],
    ]),
    peers: new Map(),
    services: new Map([['web', web]]),
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
    ...change,
  };
}

test('a network becomes a bridge, a VXLAN port, and an entry for each other bridge', () => {
  const { links, elements } = planAssignments(assigned(0), facts);
  expect(links.bridges.get('shbfront00000')).toEqual({
    address: '10.64.0.1/20',
    mac: '0a:53:0a:40:00:01',
    mtu: 1450,
    virtualSubnet: '10.64.8.0/21',
    wrong: '',
  });
  expect(links.vxlans.get('shxfront00000')).toMatchObject({ vni: 4096, local: '192.0.2.1', mtu: 1450 });
  expect([...links.neighbours]).toEqual([['shbfront00000 10.64.0.2', '0a:53:0a:40:00:02']]);
  expect([...links.forwards]).toEqual([['shxfront00000 0a:53:0a:40:00:02', '192.0.2.2']]);
  expect([...elements.get('virtual')!.keys()]).toEqual(['10.64.8.0/21', '10.64.24.0/21']);
  expect([...elements.get('internal')!.keys()]).toEqual(['"shbinner00000"']);
  expect([...elements.get('peer_macs')!]).toEqual([['0x0a400002', '0a:53:0a:40:00:02']]);
});

test('a task elsewhere gets an entry, one on this host or an unknown network does not', () => {
  const peer = (address: string, hostAddress: string, networkId = front.id) => ({
    id: `${networkId}/${address}`,
    networkId,
    address,
    hostAddress,
  });
  const peers = [
    peer('10.64.0.9', '192.0.2.2'),
    peer('10.64.0.10', '192.0.2.1'),
    peer('10.99.0.1', '192.0.2.2', 'unknown'),
  ];
  const { links, elements } = planAssignments(
    assigned(0, { peers: new Map(peers.map((each) => [each.id, each])) }),
    facts,
  );
  expect(links.neighbours.get('shbfront00000 10.64.0.9')).toBe('0a:53:0a:40:00:09');
  expect(links.neighbours.size).toBe(2);
  expect([...elements.get('live')!.keys()]).toEqual(['10.64.0.9']);
});

test('while a service is updated each endpoint has the ports of its own version', () => {
  const { endpoints } = assigned(3);
  const [first, second, third] = [...endpoints.values()];
  const service = {
    ...web,
    ports: [
      { published: 80, target: 9090, protocol: 'tcp' as const },
      { published: 81, target: 9090, protocol: 'tcp' as const },
    ],
    former: [
      {
        upTo: 1,
        ports: [{ published: 80, target: 8080, protocol: 'tcp' as const }],
        ingressNetworkId: front.id,
      },
    ],
  };
  const { elements } = planAssignments(
    assigned(0, {
      services: new Map([['web', service]]),
      endpoints: new Map([
        ['task0', { ...first!, specVersion: 1 }],
        ['task1', { ...second!, specVersion: 2 }],
        ['task2', third!],
      ]),
    }),
    facts,
  );
  expect(Object.fromEntries(elements.get('port_slots')!)).toEqual({
    'tcp . 80 . 0': '10.64.1.1 . 8080',
    'tcp . 80 . 1': '10.64.1.2 . 9090',
    'tcp . 80 . 2': '10.64.1.3 . 9090',
    'tcp . 81 . 0': '10.64.1.2 . 9090',
    'tcp . 81 . 1': '10.64.1.3 . 9090',
  });
});

test('a service without endpoints has no size class, so that it is refused', () => {
  const { elements } = planAssignments(assigned(0), facts);
  expect(elements.get('service_size')!.size).toBe(0);
  expect(elements.get('port_size')!.size).toBe(0);
});

test.each([1, 3, 64])('%i endpoints fill exactly as many slots, one each', (count) => {
  const { elements } = planAssignments(assigned(count), facts);
  expect(elements.get('service_size')!.get('10.64.8.1')).toBe(`goto service_${count}`);
  expect(new Set(elements.get('service_slots')!.values()).size).toBe(count);
  expect(elements.get('service_slots')!.size).toBe(count);
  expect(elements.get('port_slots')!.get('tcp . 80 . 0')).toBe('10.64.1.1 . 8080');
});

test.each([65, 300, 1024])('%i endpoints share slots within a quarter of evenly', (count) => {
  const { elements } = planAssignments(assigned(count), facts);
  const shares = Map.groupBy(elements.get('service_slots')!.values(), (address) => address);
  const sizes = [...shares.values()].map((slots) => slots.length);
  expect(shares.size).toBe(count);
  expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThanOrEqual(1.25);
});

test('a port that is open on one address has that in its key', () => {
  const ports = [{ published: 80, target: 8080, protocol: 'tcp', address: '127.0.0.1' } as const];
  const services = new Map([['web', { ...web, ports }]]);
  const { elements } = planAssignments(assigned(2, { services }), facts);
  expect(elements.get('port_size')!.size).toBe(0);
  expect([...elements.get('address_port_size')!]).toEqual([['127.0.0.1 . tcp . 80', 'goto address_port_2']]);
  expect([...elements.get('address_port_slots')!]).toEqual([
    ['127.0.0.1 . tcp . 80 . 0', '10.64.1.1 . 8080'],
    ['127.0.0.1 . tcp . 80 . 1', '10.64.1.2 . 8080'],
  ]);
});

test('a published port that a program of the host holds is left to it', () => {
  const plan = planAssignments(assigned(2), { ...facts, foreignPorts: new Set(['80/tcp']) });
  expect(plan.elements.get('port_size')!.size).toBe(0);
});

test('the default route is the first attachment whose network is not internal', () => {
  const task = {
    taskId: 'abcdefghijkl',
    serviceId: 'web',
    hostPorts: [],
    attachments: [
      { networkId: inner.id, address: '10.64.16.9', aliases: [] },
      { networkId: front.id, address: '10.64.0.9', aliases: [] },
    ],
  };
  const interfaces = planTask(task, assigned(0).networks, 1500);
  expect(interfaces.map((each) => [each.taskName, each.defaultRoute, each.address, each.mtu])).toEqual([
    ['eth0', false, '10.64.16.9/20', 1450],
    ['eth1', true, '10.64.0.9/20', 1450],
  ]);
  expect(() => planTask(task, new Map(), 1500)).toThrow(/^Cannot attach task abcdefghijkl/);
});

test('the network with the highest priority has the default route, and interfaces have the names they are given', () => {
  const other = { ...front, id: 'other0000000', subnet: '10.64.32.0/20', bridgeAddress: '10.64.32.1' };
  const at = (network: NetworkAssignment, address: string) => ({
    networkId: network.id,
    address,
    aliases: [],
  });
  const task = {
    taskId: 'abcdefghijkl',
    serviceId: 'web',
    hostPorts: [],
    attachments: [
      { ...at(inner, '10.64.16.9'), gatewayPriority: 9, interfaceName: 'eth1' },
      at(front, '10.64.0.9'),
      { ...at(other, '10.64.32.9'), gatewayPriority: 1 },
    ],
  };
  const networks = new Map([...assigned(0).networks, [other.id, other]]);
  const interfaces = planTask(task, networks, 1500);
  expect(interfaces.map((each) => [each.taskName, each.defaultRoute])).toEqual([
    ['eth1', false],
    ['eth0', false],
    ['eth2', true],
  ]);
});

test('a network has its virtual IPs where it says, and the MTU that it asks for where the host carries that', () => {
  const small = { ...front, virtualSubnet: '10.64.0.0/22', mtuBytes: 1280 };
  const { links, elements } = planAssignments(assigned(0, { networks: new Map([[front.id, small]]) }), facts);
  expect(links.bridges.get('shbfront00000')).toMatchObject({ mtu: 1280, virtualSubnet: '10.64.0.0/22' });
  expect(links.vxlans.get('shxfront00000')).toMatchObject({ mtu: 1280 });
  expect([...elements.get('virtual')!.keys()]).toEqual(['10.64.0.0/22']);
  const attachments = [{ networkId: front.id, address: '10.64.9.9', aliases: [] }];
  const task = { taskId: 'abcdefghijkl', serviceId: 'web', hostPorts: [], attachments };
  expect(planTask(task, new Map([[front.id, small]]), 1500)).toMatchObject([
    { mtu: 1280, virtualSubnet: '10.64.0.0/22', address: '10.64.9.9/20' },
  ]);
  expect(planTask(task, new Map([[front.id, { ...small, mtuBytes: 9000 }]]), 1500)).toMatchObject([
    { mtu: 1450 },
  ]);
});

test('interface names are distinct for each attachment and fit the kernel', () => {
  const names = [0, 1, 12].map((index) => vethName('abcdefghijkl', index));
  expect(new Set(names).size).toBe(3);
  expect(Math.max(...names.map((name) => name.length))).toBeLessThanOrEqual(15);
});

test('tasks here are known to answer, to reach themselves, and by their host ports', () => {
  const elements = planLocal(
    [
      {
        taskId: 'abcdefghijkl',
        serviceId: 'web',
        attachments: [{ networkId: front.id, address: '10.64.0.9', aliases: [] }],
        hostPorts: [
          { published: 53, target: 5353, protocol: 'udp' },
          { published: 54, target: 5354, protocol: 'sctp', address: '127.0.0.1' },
        ],
      },
    ],
    new Map([['10.64.0.1', 10_053]]),
  );
  expect(Object.fromEntries([...elements].map(([name, entries]) => [name, [...entries]]))).toEqual({
    local: [['10.64.0.9', '']],
    hairpin: [['10.64.0.9 . 10.64.0.9', '']],
    host_ports: [['udp . 53', '10.64.0.9 . 5353']],
    address_host_ports: [['127.0.0.1 . sctp . 54', '10.64.0.9 . 5354']],
    dns: [['10.64.0.1', '10053']],
    sources: [['"shvabcdefghij0" . 0a:53:0a:40:00:09 . 10.64.0.9', '']],
  });
});
