import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { macOf } from '../../src/spec/address.ts';
import { arpReply, broadcast, receivedBy, sendFrames, udpFrame, vxlanPayload } from './network-frames.ts';
import { answers, servicePort, World } from './network-world.ts';

const world = new World();

beforeAll(() => world.start());
afterAll(() => world.close());

const address = {
  attacker: '10.64.0.21',
  neighbour: '10.64.0.51',
  local: '10.64.0.11',
  remote: '10.64.0.12',
  bridge: '10.64.0.1',
};
const own = macOf(address.attacker);

/** Sends from the task `client` on the first host. */
async function attack(...frames: string[]): Promise<void> {
  const client = world.find('client');
  await sendFrames(world.hosts.hosts[0]!, client.id, [...frames, ...frames, ...frames]);
}

/** How many frames sent by the attacker another task receives. */
async function arrivals(name: string, ...frames: string[]): Promise<number> {
  const { id, host } = world.find(name);
  const receiver = world.hosts.hosts[host]!;
  const before = await receivedBy(receiver, id);
  await sendFrames(world.hosts.hosts[0]!, world.find('client').id, frames);
  return (await receivedBy(receiver, id)) - before;
}

const toService = { address: address.local, port: servicePort };
const toNeighbour = { from: own, to: macOf(address.local) };

describe('a task that sends with the address of another', () => {
  test('reaches others with its own, which shows that these frames arrive', async () => {
    const datagram = udpFrame(toNeighbour, address.attacker, toService);
    expect(await arrivals('web1', datagram)).toBeGreaterThan(0);
    const reply = arpReply(toNeighbour, { address: address.attacker, mac: own }, address.local);
    expect(await arrivals('web1', reply)).toBeGreaterThan(0);
  });

  test.each(['local', 'remote', 'bridge'] as const)(
    'does not get the traffic of a %s one',
    async (victim) => {
      const from = macOf(address[victim]);
      await attack(
        udpFrame({ from, to: broadcast }, address[victim], { address: '10.64.15.255', port: 9 }),
        udpFrame({ from, to: broadcast }, address.attacker, { address: '10.64.15.255', port: 9 }),
        arpReply({ from, to: broadcast }, { address: address[victim], mac: from }, address.neighbour),
        arpReply(
          { from, to: macOf(address.bridge) },
          { address: address[victim], mac: from },
          address.bridge,
        ),
      );
      const entry = await world.hosts.hosts[0]!.run('bridge', 'fdb', 'show');
      expect(
        entry.split('\n').filter((line) => line.startsWith(from) && line.includes(' dev shv')),
      ).toHaveLength(victim === 'local' ? 1 : 0);
      const [target, port] = victim === 'bridge' ? ['192.0.2.1', 80] : [address[victim], servicePort];
      const seen = Object.keys(await answers(world.programs['other']!, target, port, 2));
      const programs = { local: /^web1 /u, remote: /^web2 /u, bridge: /^web[12] /u };
      expect(seen.filter((answer) => !programs[victim].test(answer))).toEqual([]);
    },
  );

  test('does not tell others by ARP that it has their address, neither alone nor asked', async () => {
    const neighbour = world.find('other');
    for (const victim of [address.local, address.remote, address.bridge]) {
      await answers(world.programs['other']!, victim, servicePort, 1);
      await attack(
        arpReply({ from: own, to: broadcast }, { address: victim, mac: own }, victim),
        arpReply(
          { from: own, to: macOf(address.neighbour) },
          { address: victim, mac: own },
          address.neighbour,
        ),
      );
      const known = await world.hosts.hosts[0]!.run(
        'nsenter',
        `--net=/run/netns/shoal-${neighbour.id}`,
        'ip',
        'neigh',
        'show',
        victim,
      );
      expect(known).toContain(macOf(victim));
    }
  });

  test.each([
    ['a foreign IP address', udpFrame(toNeighbour, address.neighbour, toService)],
    [
      'a foreign MAC address',
      udpFrame({ ...toNeighbour, from: '02:00:00:00:00:01' }, address.attacker, toService),
    ],
    ['a VLAN tag', udpFrame(toNeighbour, address.neighbour, toService, '00', 0)],
    ['a VLAN tag and its own addresses', udpFrame(toNeighbour, address.attacker, toService, '00', 7)],
    ['IPv6', `${macOf(address.local).replaceAll(':', '')}${own.replaceAll(':', '')}86dd6${'0'.repeat(79)}`],
  ])('does not reach its neighbour with %s', async (_, frame) => {
    expect(await arrivals('web1', frame)).toBe(0);
  });

  test('does not put frames into the networks of other hosts', async () => {
    const inner = udpFrame({ from: macOf(address.bridge), to: macOf(address.remote) }, address.bridge, {
      address: address.remote,
      port: servicePort,
    });
    const outer = udpFrame(
      { from: own, to: macOf(address.bridge) },
      address.attacker,
      { address: world.hosts.hosts[1]!.address, port: 4789 },
      vxlanPayload(4096, inner),
    );
    expect(await arrivals('web2', outer)).toBe(0);
  });
});
