import { expect, test } from 'vitest';
import { watchOwnHost } from './own-host.ts';

test('the network of a host is down when no running interface has the address that one had', () => {
  let addresses = ['127.0.0.1', '192.0.2.1'];
  const interfaces = () => ({ any: addresses.map((address) => ({ address })) });
  const own = watchOwnHost('192.0.2.1', interfaces);
  expect(own()).toEqual({ address: '192.0.2.1', isAttached: true });
  addresses = ['127.0.0.1'];
  expect(own().isAttached).toBe(false);
  addresses = ['127.0.0.1', '192.0.2.1'];
  expect(own().isAttached).toBe(true);
});

test('an address that no interface ever had says nothing', () => {
  expect(watchOwnHost('203.0.113.1', () => ({}))().isAttached).toBe(true);
});
