import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  formatAddress,
  formatSubnet,
  macOf,
  parseAddress,
  parseSubnet,
  virtualSubnetOf,
  isUsableAddress,
} from './address.ts';

test('an address is the same after reading what was printed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (value) => {
      expect(parseAddress(formatAddress(value))).toBe(value);
    }),
  );
});

test('parseSubnet() clears host bits and refuses what is no subnet', () => {
  expect(formatSubnet(parseSubnet('10.1.2.3/16'))).toBe('10.1.0.0/16');
  for (const text of ['10.1.0.0', '10.1.0.0/33', '10.1.0/16', '10.256.0.0/16', '010.1.0.0/16', '']) {
    expect(() => parseSubnet(text)).toThrow('Cannot read');
  }
});

test('virtual IPs are in the upper half of the subnet, or where the network says', () => {
  expect(formatSubnet(virtualSubnetOf({ subnet: '10.64.16.0/20' }))).toBe('10.64.24.0/21');
  const network = { subnet: '10.64.16.0/20', virtualSubnet: '10.64.16.0/22' };
  expect(formatSubnet(virtualSubnetOf(network))).toBe('10.64.16.0/22');
});

test('the first and the last address of a subnet are for no interface', () => {
  const usable = ['10.1.0.0', '10.1.0.1', '10.1.0.254', '10.1.0.255', '10.1.1.1'].filter((address) =>
    isUsableAddress(parseSubnet('10.1.0.0/24'), parseAddress(address)),
  );
  expect(usable).toEqual(['10.1.0.1', '10.1.0.254']);
});

test('macOf() is a locally administered unicast address that holds the IP address', () => {
  expect(macOf('10.64.1.255')).toBe('0a:53:0a:40:01:ff');
});
