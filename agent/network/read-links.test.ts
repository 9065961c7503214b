import { expect, test } from 'vitest';
import { differencesOf } from './links.ts';
import { linksOf, type KernelRows } from './read-links.ts';
import { emptyLinks, type LinkState } from './state.ts';

const up = ['BROADCAST', 'UP', 'LOWER_UP'];

/** One network with one task elsewhere and one here, as the kernel tells it. */
function rows(): KernelRows {
  return {
    links: [
      { ifname: 'eth0', mtu: 1500, flags: up },
      {
        ifname: 'shba',
        mtu: 1450,
        flags: up,
        address: '0a:53:0a:40:00:01',
        addr_info: [{ family: 'inet', local: '10.64.0.1', prefixlen: 20 }],
        linkinfo: { info_kind: 'bridge', info_data: { nf_call_iptables: 1, mcast_snooping: 0 } },
      },
      {
        ifname: 'shxa',
        mtu: 1450,
        flags: up,
        master: 'shba',
        linkinfo: {
          info_kind: 'vxlan',
          info_data: { id: 4096, local: '192.0.2.1', port: 4789, learning: false },
          info_slave_data: {
            learning: false,
            flood: false,
            mcast_flood: false,
            bcast_flood: false,
            neigh_suppress: true,
          },
        },
      },
      {
        ifname: 'shvt0',
        mtu: 1450,
        flags: up,
        master: 'shba',
        linkinfo: { info_kind: 'veth', info_slave_data: { hairpin: true, learning: false } },
      },
    ],
    neighbours: [{ dst: '10.64.0.9', dev: 'shba', lladdr: '0a:53:0a:40:00:09' }],
    forwards: [
      { mac: '0a:53:0a:40:00:01', ifname: 'shba', master: 'shba', state: 'permanent' },
      { mac: '0a:53:0a:40:00:09', ifname: 'shxa', dst: '192.0.2.2', flags: ['self'], state: 'permanent' },
      { mac: '0a:53:0a:40:00:09', ifname: 'shxa', master: 'shba', flags: ['sticky'], state: 'static' },
      { mac: '0a:53:0a:40:00:15', ifname: 'shvt0', master: 'shba', flags: ['sticky'], state: 'static' },
    ],
    routes: [
      'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask',
      'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000',
      'shba\t0000400A\t00000000\t0001\t0\t0\t0\t00F0FFFF',
      'shba\t0008400A\t00000000\t0001\t0\t0\t0\t00F8FFFF',
      '',
    ].join('\n'),
    switches: new Map([['shba', ['1', '2']]]),
  };
}

const wanted: LinkState = {
  ...emptyLinks(),
  bridges: new Map([
    [
      'shba',
      {
        address: '10.64.0.1/20',
        mac: '0a:53:0a:40:00:01',
        mtu: 1450,
        virtualSubnet: '10.64.8.0/21',
        wrong: '',
      },
    ],
  ]),
  vxlans: new Map([
    ['shxa', { bridge: 'shba', vni: 4096, local: '192.0.2.1', port: 4789, mtu: 1450, wrong: '' }],
  ]),
  neighbours: new Map([['shba 10.64.0.9', '0a:53:0a:40:00:09']]),
  forwards: new Map([['shxa 0a:53:0a:40:00:09', '192.0.2.2']]),
};

const task = { taskId: 't', serviceId: 'web', attachments: [], hostPorts: [] };
const tasks = new Map([
  [
    task,
    [
      {
        hostName: 'shvt0',
        taskName: 'eth0',
        networkId: 'a',
        bridge: 'shba',
        address: '10.64.0.21/20',
        mac: '0a:53:0a:40:00:15',
        mtu: 1450,
        gateway: '10.64.0.1',
        virtualSubnet: '10.64.8.0/21',
        defaultRoute: true,
      },
    ],
  ],
]);

test('what the kernel tells of what was set up is what was wanted', () => {
  expect(differencesOf(linksOf(rows()), wanted, tasks)).toEqual([]);
});

const change = (name: string, to: (row: KernelRows['links'][number]) => void) => (all: KernelRows) => {
  to(all.links.find(({ ifname }) => ifname === name)!);
};
const remove = (index: number) => (all: KernelRows) => void all.forwards.splice(index, 1);

test.each<[string, (all: KernelRows) => void]>([
  ['bridge shba is wrong: not up', change('shba', (row) => (row.flags = []))],
  [
    'bridge shba is wrong: address missing, virtualSubnet 10.64.0.0/20,10.64.8.0/21',
    change('shba', (row) => delete row.addr_info),
  ],
  ['bridge shba is wrong: not rp_filter', (all) => (all.switches = new Map([['shba', ['1', '0']]]))],
  ['bridge shba is gone', (all) => void all.links.splice(1, 1)],
  [
    'VXLAN port shxa is wrong: local 192.0.2.9',
    change('shxa', (row) => (row.linkinfo!.info_data!.local = '192.0.2.9')),
  ],
  [
    'VXLAN port shxa is wrong: bridge missing, learning, flooding, not neigh_suppress',
    change('shxa', (row) => {
      delete row.master;
      delete row.linkinfo!.info_slave_data;
    }),
  ],
  ['port shvt0 is gone', (all) => void all.links.splice(3, 1)],
  [
    'port shvt0 is wrong: shba 0a:53:0a:40:00:15, learning',
    change('shvt0', (row) => (row.linkinfo!.info_slave_data!.learning = true)),
  ],
  ['port shvt0 is wrong: shba no address', remove(3)],
  ['forwarding entry shxa 0a:53:0a:40:00:09 is wrong: 192.0.2.2 without an entry of the bridge', remove(2)],
  ['forwarding entry shxa 0a:53:0a:40:00:09 is wrong: no host', remove(1)],
  [
    'forwarding entry shxa 0a:53:0a:40:00:09 is wrong: 192.0.2.2 movable',
    (all) => (all.forwards[2]!.flags = []),
  ],
  ['neighbour shba 10.64.0.9 is gone', (all) => (all.neighbours = [])],
])('%s', (words, damage) => {
  const all = rows();
  damage(all);
  expect(differencesOf(linksOf(all), wanted, tasks)[0]).toBe(words);
});

test('an entry that nobody asked for is told as not ours', () => {
  const all = rows();
  all.forwards.push({ mac: '00:00:00:00:00:00', ifname: 'shxa', dst: '203.0.113.9', flags: ['self'] });
  expect(differencesOf(linksOf(all), wanted, tasks)).toEqual([
    'forwarding entry shxa 00:00:00:00:00:00 is not ours',
  ]);
});
