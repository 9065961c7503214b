import { expect, test } from 'vitest';
import { deleteLines, elementCommands, linkCommands, reloadCommands, type LinkCommands } from './commands.ts';
import { bridgeBatch, ipBatch, parseFailures } from './kernel.ts';
import { emptyLinks, type Elements, type LinkState } from './state.ts';

function oneNetwork(change: { mac?: string; vni?: number; mtu?: number } = {}): LinkState {
  const { mac = '0a:53:0a:40:00:01', vni = 4096, mtu = 1450 } = change;
  return {
    bridges: new Map([
      ['shba', { address: '10.64.0.1/21', mac, mtu, virtualSubnet: '10.64.8.0/21', wrong: '' }],
    ]),
    vxlans: new Map([['shxa', { bridge: 'shba', vni, local: '192.0.2.1', port: 4789, mtu, wrong: '' }]]),
    neighbours: new Map([['shba 10.64.0.9', '0a:53:0a:40:00:09']]),
    forwards: new Map([['shxa 0a:53:0a:40:00:09', '192.0.2.2']]),
    ports: new Map(),
  };
}

test('nothing changed, nothing is run', () => {
  expect(linkCommands(oneNetwork(), oneNetwork())).toEqual({ ip: [], bridge: [], bridges: [] });
  const elements: Elements = new Map([['live', new Map([['10.64.0.9', '']])]]);
  expect(elementCommands(elements, elements)).toBe('');
});

test('a peer that moves to another host changes one forwarding entry', () => {
  const moved = { ...oneNetwork(), forwards: new Map([['shxa 0a:53:0a:40:00:09', '192.0.2.3']]) };
  expect(linkCommands(oneNetwork(), moved)).toEqual({
    ip: [],
    bridge: [
      'fdb replace 0a:53:0a:40:00:09 dev shxa dst 192.0.2.3 self permanent',
      'fdb replace 0a:53:0a:40:00:09 dev shxa master static sticky',
    ],
    bridges: [],
  });
});

test('a peer that is gone is taken out of both tables', () => {
  const without = { ...oneNetwork(), forwards: new Map(), neighbours: new Map() };
  const { ip, bridge } = linkCommands(oneNetwork(), without);
  expect(ip).toEqual(['neigh del 10.64.0.9 dev shba']);
  expect(bridge).toEqual([
    'fdb del 0a:53:0a:40:00:09 dev shxa self',
    'fdb del 0a:53:0a:40:00:09 dev shxa master',
  ]);
});

test('a network that is gone takes its links, and its entries go with them', () => {
  expect(linkCommands(oneNetwork(), emptyLinks())).toEqual({
    ip: ['link del shxa', 'link del shba'],
    bridge: [],
    bridges: [],
  });
});

test('a VXLAN port that is made anew gets its entries again', () => {
  const { ip, bridge } = linkCommands(oneNetwork(), oneNetwork({ vni: 4099 }));
  expect(ip[0]).toBe('link del shxa');
  expect(ip[1]).toContain('type vxlan id 4099');
  expect(bridge).toHaveLength(2);
});

test('an MTU is changed in place, and nothing else of the port', () => {
  const to = oneNetwork();
  to.vxlans.get('shxa')!.mtu = 1250;
  expect(linkCommands(oneNetwork(), to)).toEqual({ ip: ['link set shxa mtu 1250'], bridge: [], bridges: [] });
});

function addressModes({ ip }: LinkCommands): string[] {
  return ip.filter((line) => line.includes('addrgenmode'));
}

test('links with less than IPv6 needs are not asked about their IPv6 addresses, of which the kernel knows none', () => {
  const small = oneNetwork({ mtu: 1250 });
  expect(addressModes(linkCommands(emptyLinks(), small))).toEqual([]);
  expect(addressModes(linkCommands(emptyLinks(), oneNetwork()))).toHaveLength(2);
  expect(addressModes(linkCommands(small, oneNetwork()))).toHaveLength(2);
});

test('a bridge that is adopted keeps its MAC address untouched, for setting it loses the neighbours', () => {
  const found = oneNetwork();
  found.bridges.get('shba')!.virtualSubnet = '';
  const { ip } = linkCommands(found, oneNetwork());
  expect(ip.filter((line) => line.includes('address'))).toEqual([]);
  expect(ip.filter((line) => line.startsWith('link add'))).toEqual([]);
  const other = linkCommands(oneNetwork({ mac: '0a:53:0a:40:00:07' }), oneNetwork());
  expect(other.ip.filter((line) => line.startsWith('neigh replace'))).toHaveLength(1);
});

test('a changed map element is replaced within one transaction', () => {
  const slots = (address: string): Elements =>
    new Map([
      [
        'service_slots',
        new Map([
          ['10.64.8.1 . 0', address],
          ['10.64.8.1 . 1', '10.64.0.2'],
        ]),
      ],
    ]);
  expect(elementCommands(slots('10.64.0.1'), slots('10.64.0.3'))).toBe(
    'delete element inet shoal service_slots { 10.64.8.1 . 0 }\n' +
      'add element inet shoal service_slots { 10.64.8.1 . 0 : 10.64.0.3 }\n',
  );
});

test('a reload empties sets and maps by their kind before it fills them', () => {
  const text = reloadCommands(
    new Map([
      ['live', new Map([['10.64.0.9', '']])],
      ['peer_macs', new Map<string, string>()],
    ]),
  );
  expect(text.split('\n')).toEqual([
    'flush set inet shoal live',
    'flush map bridge shoal peer_macs',
    'add element inet shoal live { 10.64.0.9 }',
    '',
  ]);
});

test('links are deleted as one group', () => {
  expect(
    deleteLines(['shva0', 'shvb0'], ['shoal-a']).filter((line) => line.startsWith('link del')),
  ).toHaveLength(1);
  expect(deleteLines([], ['shoal-a'])).toEqual(['netns del shoal-a']);
});

test('failures of a batch are told apart by their line', () => {
  const said =
    'RTNETLINK answers: File exists\nCommand failed -:2\nCannot find device "x"\nCommand failed -:4\n';
  expect([...parseFailures(said, 4)]).toEqual([
    [1, 'RTNETLINK answers: File exists'],
    [3, 'Cannot find device "x"'],
  ]);
  expect([...parseFailures('ip: cannot start\n', 4)]).toEqual([[0, 'ip: cannot start']]);
});

test('text with a second command in it is given to nobody', async () => {
  const line = 'neigh del 10.64.0.9 dev shba\nlink del eth0';
  await expect(ipBatch([line])).rejects.toThrow('a command has to be one line');
  await expect(bridgeBatch([line])).rejects.toThrow('a command has to be one line');
});

test.each(['10.64.0.9 }\nflush ruleset\n', '10.64.0.9, 10.0.0.1', '10.64.0.9; flush ruleset'])(
  'what is more than one element is given to nobody: %j',
  (address) => {
    const to: Elements = new Map([['live', new Map([[address, '']])]]);
    expect(() => elementCommands(new Map(), to)).toThrow('an element has to be one');
  },
);
