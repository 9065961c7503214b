import { expect, test } from 'vitest';
import { checkTaskNetwork, parseAssignments } from './parse.ts';
import type { NetworkAssignments, TaskNetwork } from './network.ts';

const injected = '192.0.2.9 self permanent\nfdb add 0a:53:0a:40:00:09 dev shxa dst 203.0.113.1';

function assigned(): NetworkAssignments {
  const networkId = 'front0000000';
  return {
    networks: new Map([
      [
        networkId,
        {
          id: networkId,
          name: 'app_front',
          vni: 4096,
          subnet: '10.64.0.0/20',
          internal: false,
          bridgeAddress: '10.64.0.1',
          peers: [
            { nodeId: 'b', bridgeAddress: '10.64.0.2', hostAddress: injected },
            { nodeId: 'c', bridgeAddress: '10.64.0.3', hostAddress: '192.0.2.3' },
          ],
        },
      ],
    ]),
    peers: new Map([
      ['good', { id: 'good', networkId, address: '10.64.0.9', hostAddress: '192.0.2.2' }],
      ['bad', { id: 'bad', networkId, address: '10.64.0.10', hostAddress: injected }],
    ]),
    services: new Map([
      [
        'web',
        {
          id: 'web',
          name: 'app_web',
          key: 'web',
          application: 'app',
          networks: [{ networkId, virtualAddress: '10.64.8.1 : goto service_1 }\n', aliases: [] }],
          ports: [],
        },
      ],
    ]),
    endpoints: new Map([
      [
        'one',
        {
          id: 'one',
          serviceId: 'web',
          slot: 1,
          nodeId: 'b',
          addresses: { [networkId]: '10.64.0.9, 10.0.0.1' },
        },
      ],
    ]),
  };
}

test('an address that is none costs the host, peer, service or endpoint that has it, and nothing else', () => {
  const { assignments, refused } = parseAssignments(assigned());
  expect(assignments.networks.get('front0000000')!.peers.map(({ nodeId }) => nodeId)).toEqual(['c']);
  expect([...assignments.peers.keys()]).toEqual(['good']);
  expect(assignments.services.size + assignments.endpoints.size).toBe(0);
  expect(refused.map((line) => line.split(':')[0])).toEqual([
    'host "b"',
    'peer "bad"',
    'service "web"',
    'endpoint "one"',
  ]);
});

const task: TaskNetwork = {
  taskId: 'abcdefghijkl',
  serviceId: 'web',
  attachments: [{ networkId: 'front0000000', address: '10.64.0.9', aliases: [], interfaceName: 'lan0' }],
  hostPorts: [{ published: 80, target: 8080, protocol: 'tcp' }],
};

test.each<[string, Partial<TaskNetwork>]>([
  ['an id that leads out of a folder', { taskId: '../../etc/x' }],
  [
    'an interface name with a second command',
    { attachments: [{ ...task.attachments[0]!, interfaceName: 'a\nlink' }] },
  ],
  [
    'an interface name that is an option',
    { attachments: [{ ...task.attachments[0]!, interfaceName: '-force' }] },
  ],
  ['an address with a prefix', { attachments: [{ ...task.attachments[0]!, address: '10.64.0.9/8' }] }],
  ['a network that is no id', { attachments: [{ ...task.attachments[0]!, networkId: 'a b' }] }],
  ['a port that is text', { hostPorts: [{ ...task.hostPorts[0]!, published: '80 }' as unknown as number }] }],
  ['a protocol that is none', { hostPorts: [{ ...task.hostPorts[0]!, protocol: 'tcp . 1' as 'tcp' }] }],
  ['an address of a port that is none', { hostPorts: [{ ...task.hostPorts[0]!, address: '::1' }] }],
])('a task with %s is refused', (_, change) => {
  checkTaskNetwork(task);
  expect(() => checkTaskNetwork({ ...task, ...change })).toThrow(/^Cannot (use|read)/u);
});
