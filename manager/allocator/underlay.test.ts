import { describe, expect, test } from 'vitest';
import { sampleNetwork, sampleNode } from '../../test/samples.ts';
import type { Network } from '../../src/spec/network.ts';
import type { NodeUnderlay } from '../../src/spec/node.ts';
import { parseSubnet } from '../../src/spec/address.ts';
import { applyPlan, viewOf, type ViewObjects } from '../store/view.ts';
import { allocate } from './plan.ts';
import { HostNetworks, leastOverlayMtu } from './underlay.ts';

const hostOn = (id: string, underlay: Partial<NodeUnderlay>) => {
  const { description, ...node } = sampleNode(id);
  return {
    ...node,
    description: { ...description!, underlay: { mtuBytes: 1500, connected: [], routed: [], ...underlay } },
  };
};

describe('the MTU of overlay networks', () => {
  test('is what the host with the least carries, without what VXLAN adds', () => {
    expect(leastOverlayMtu([hostOn('a', {}), hostOn('b', { mtuBytes: 1300 })])).toBe(1250);
  });

  test('is not known before a host has told', () => {
    expect(leastOverlayMtu([sampleNode('a')])).toBeUndefined();
    expect(leastOverlayMtu([sampleNode('a'), hostOn('b', { mtuBytes: 9000 })])).toBe(8950);
  });

  test('does not follow a host below what every link carries', () => {
    const broken = hostOn('a', { mtuBytes: 1_279 });
    expect(leastOverlayMtu([broken])).toBeUndefined();
    expect(leastOverlayMtu([broken, hostOn('b', { mtuBytes: 1_500 })])).toBe(1_450);
    expect(leastOverlayMtu([hostOn('a', { mtuBytes: 1_280 }), hostOn('b', {})])).toBe(1_230);
  });
});

const pool = parseSubnet('10.64.0.0/10');

describe('networks that hosts are on', () => {
  const hosts = new HostNetworks(
    [
      hostOn('a', { connected: ['10.70.0.0/16'], routed: ['10.80.0.0/24'] }),
      hostOn('b', { connected: ['10.70.0.0/16', '10.90.0.1/32'] }),
      sampleNode('c'),
    ],
    pool,
  );

  test('are named with a node that is on them', () => {
    expect(hosts.whyNot(parseSubnet('10.70.16.0/20'))).toBe('10.70.0.0/16, which node a is on');
    expect(hosts.whyNot(parseSubnet('10.90.0.0/20'))).toBe('10.90.0.1/32, which node b is on');
    expect(hosts.whyNot(parseSubnet('10.71.0.0/16'))).toBeUndefined();
  });

  test('are told from what they reach through a gateway', () => {
    expect(hosts.whyNot(parseSubnet('10.80.0.0/20'))).toBeUndefined();
    expect(hosts.isRouted(parseSubnet('10.80.0.0/20'))).toBe(true);
  });
});

describe('what one worker takes from all others', () => {
  const whole = ['10.64.0.0/12', '10.80.0.0/12', '10.96.0.0/12', '10.112.0.0/12'];
  const taken = (hosts: HostNetworks, texts: string[]) =>
    texts.filter((text) => hosts.whyNot(parseSubnet(text)) !== undefined);

  test('is no default route, and nothing else that is as wide', () => {
    const hosts = new HostNetworks([hostOn('a', { connected: ['0.0.0.0/0', '10.64.0.0/11'] })], pool);
    expect(taken(hosts, [...whole, '192.168.77.0/24'])).toEqual([]);
  });

  test('is a quarter of the pool, and a /12 beside it; the narrowest networks count first', () => {
    const beside = ['172.16.0.0/12', '192.168.0.0/16'];
    const hosts = new HostNetworks([hostOn('a', { connected: [...whole, '10.64.3.0/24', ...beside] })], pool);
    expect(taken(hosts, ['10.64.3.0/24', '10.80.0.0/20', '10.112.0.0/20', ...beside])).toEqual([
      '10.64.3.0/24',
      '192.168.0.0/16',
    ]);
    const exact = new HostNetworks([hostOn('a', { connected: whole })], pool);
    expect(taken(exact, whole)).toEqual(['10.64.0.0/12']);
  });

  test("is not counted where a manager's host is on the same", () => {
    const manager = { ...hostOn('m', { connected: whole }), role: 'manager' as const };
    expect(taken(new HostNetworks([hostOn('a', { connected: whole }), manager], pool), whole)).toEqual(whole);
  });
});

/** What the networks are like once there is nothing left to plan. */
function networksOf(objects: ViewObjects) {
  const view = viewOf(objects);
  for (let cursors = new Map<string, number>(); ;) {
    const next = allocate(view, 0, cursors);
    if (next.plan.length === 0) return view.networks;
    cursors = next.cursors;
    applyPlan(view, next.plan);
  }
}

describe('the subnets of networks', () => {
  const onPool = hostOn('a', { connected: ['10.64.0.0/18'], routed: ['10.64.64.0/20'] });

  test('are none that a host is on, nor, while there is a choice, any that it reaches through a gateway', () => {
    const networks = networksOf({ nodes: [onPool], networks: [sampleNetwork('net')] });
    expect(networks.get('net')?.subnet).toBe('10.64.80.0/20');
  });

  test('are what is reached through a gateway when nothing else is left', () => {
    const routed = hostOn('a', { routed: ['10.64.0.0/12', '10.80.0.0/12', '10.96.0.0/12', '10.112.0.0/12'] });
    const networks = networksOf({ nodes: [routed], networks: [sampleNetwork('net')] });
    expect(networks.get('net')?.subnet).toBe('10.64.0.0/20');
  });

  test('are refused in words when they were asked for and a host is on them', () => {
    const networks = networksOf({ nodes: [onPool], networks: [sampleNetwork('net', '10.64.1.0/24')] });
    expect(networks.get('net')?.allocationError).toBe(
      'subnet 10.64.1.0/24 overlaps 10.64.0.0/18, which node a is on; ask for another one',
    );
  });

  test('are missing in words when hosts have the whole pool', () => {
    const connected = ['10.64.0.0/12', '10.80.0.0/12', '10.96.0.0/12', '10.112.0.0/12'];
    const full = { ...hostOn('a', { connected }), role: 'manager' as const };
    const networks = networksOf({ nodes: [full], networks: [sampleNetwork('net')] });
    expect(networks.get('net')?.allocationError).toBe(
      "the cluster's address pool 10.64.0.0/10 has no free /20; of it 10.64.0.0/12, which node a is on",
    );
  });
});

test('a network follows the MTU of the hosts, as far as it asks for no less', () => {
  const asks = sampleNetwork('asks');
  asks.spec.mtuBytes = 1_200;
  const after = (mtuBytes: number, networks: Network[]) =>
    [...networksOf({ nodes: [hostOn('a', { mtuBytes })], networks }).values()].toSorted((left, right) =>
      left.id < right.id ? -1 : 1,
    );
  const first = after(1_500, [asks, sampleNetwork('net')]);
  expect(first.map(({ mtuBytes }) => mtuBytes)).toEqual([1_200, 1_450]);
  expect(after(1_300, first).map(({ mtuBytes }) => mtuBytes)).toEqual([1_200, 1_250]);
});
