import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { underlayNetworksMax } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import {
  addressChange,
  mtuTrouble,
  nodeUnderlay,
  underlayOf,
  UnderlayWatch,
  type Underlay,
} from './underlay.ts';

const row = (ifname: string, local: string, mtu = 1500) => ({
  ifname,
  mtu,
  addr_info: [{ family: 'inet', local }],
});

const eth0 = row('eth0', '192.0.2.5', 1400);
const onLink = { dst: '192.0.2.0/24', dev: 'eth0' };

test('the networks that a host is on are told with its gateways and resolvers, without those of Shoal and the loopback', () => {
  const addresses = [row('lo', '127.0.0.1'), eth0, row('shbfront00000', '10.64.0.1')];
  const routes = [
    { dst: 'default', gateway: '198.51.100.1', dev: 'eth0' },
    onLink,
    { dst: '10.64.0.0/20', dev: 'shbfront00000' },
    { type: 'local', dst: '192.0.2.5', dev: 'eth0' },
    { type: 'broadcast', dst: '192.0.2.255', dev: 'eth0' },
  ];
  expect(underlayOf(addresses, routes, ['192.0.2.53', '10.64.0.53', '127.0.0.53', 'fe80::1'])).toEqual({
    addresses: [{ interfaceName: 'eth0', address: '192.0.2.5', mtuBytes: 1400 }],
    connected: ['192.0.2.0/24', '10.64.0.53/32', '198.51.100.1/32'],
    routed: [],
  });
});

test('what is behind a gateway is told apart, by whichever way it is reached', () => {
  const routes = [
    onLink,
    { dst: '10.3.0.0/24', gateway: '192.0.2.1', dev: 'eth0' },
    { dst: '10.4.0.7', nexthops: [{ gateway: '192.0.2.1', dev: 'eth0' }, { dev: 'tun0' }] },
    { type: 'blackhole', dst: '10.8.0.0/16' },
  ];
  const { connected, routed } = underlayOf([eth0], routes, []);
  expect(connected).toEqual(['192.0.2.0/24', '10.4.0.7/32']);
  expect(routed).toEqual(['10.3.0.0/24', '10.4.0.7/32']);
});

test('a route for nearly everything says nothing of its parts', () => {
  const wide = ['0.0.0.0/1', '128.0.0.0/1', '10.0.0.0/8'].map((dst) => ({ dst, dev: 'tun0' }));
  expect(underlayOf([eth0], [onLink, ...wide], []).connected).toEqual(['192.0.2.0/24']);
});

test('of very many networks the widest are told', () => {
  const many = Array.from({ length: 200 }, (_, index) => ({ dst: `172.20.${index}.0/24`, dev: 'eth1' }));
  const { connected } = underlayOf([eth0], [...many, { dst: '10.90.0.0/16', dev: 'eth1' }], []);
  expect(connected).toHaveLength(underlayNetworksMax);
  expect(connected[0]).toBe('10.90.0.0/16');
});

const underlay = (...addresses: string[]): Underlay => ({
  addresses: addresses.map((address) => ({ interfaceName: 'eth0', address, mtuBytes: 1300 })),
  connected: [],
  routed: [],
});

test('an address that is gone is told with those that are there and what to type', () => {
  expect(addressChange(underlay('192.0.2.5'), '192.0.2.5')).toBeUndefined();
  expect(addressChange(underlay('192.0.2.6'), '192.0.2.5')).toBe(
    'this host does not have the address 192.0.2.5 any more, by which the other hosts reach it; it has 192.0.2.6 (eth0). Give it the old one back, or start its daemon with --advertise 192.0.2.6',
  );
  expect(addressChange(underlay('192.0.2.6', '192.0.2.7'), '192.0.2.5')).toContain(
    '--advertise ADDRESS, one',
  );
  expect(addressChange(underlay(), '192.0.2.5')).toContain('nor any other');
});

test('the MTU is that of the interface with the address, and a careful one while that is gone', () => {
  expect(nodeUnderlay(underlay('192.0.2.5'), '192.0.2.5').mtuBytes).toBe(1300);
  expect(nodeUnderlay(underlay('192.0.2.6'), '192.0.2.5').mtuBytes).toBe(1300);
  expect(nodeUnderlay(underlay(), '192.0.2.5').mtuBytes).toBe(1500);
});

test('an MTU that no other host follows is told with what to do', () => {
  const narrow = {
    ...underlay(),
    addresses: [{ interfaceName: 'eth0', address: '192.0.2.5', mtuBytes: 1_279 }],
  };
  expect(mtuTrouble(narrow, '192.0.2.5')).toContain('MTU of 1279');
  expect(mtuTrouble(underlay('192.0.2.5'), '192.0.2.5')).toBeUndefined();
});

test('the watch reads what this host has, and tells it once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-underlay-'));
  const resolverFile = join(directory, 'resolv.conf');
  await writeFile(resolverFile, 'nameserver 203.0.113.53\n');
  const watch = new UnderlayWatch({ resolverFile, clock: systemClock, log: silentLogger });
  const told: Underlay[] = [];
  try {
    watch.start((each) => told.push(each));
    await vi.waitFor(() => expect(told).toHaveLength(1));
    expect(told[0]!.connected).toContain('203.0.113.53/32');
    expect(await watch.latest()).toBe(told[0]);
  } finally {
    await watch.stop();
    await rm(directory, { recursive: true });
  }
});
