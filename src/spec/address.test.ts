import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  formatAddress,
  formatSubnet,
  macOf,
  parseAddress,
  parseSubnet,
  splitSubnet,
  subnetContains,
  subnetsOverlap,
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

test('splitSubnet() gives two halves that do not overlap and fill the whole', () => {
  const { tasks, virtual } = splitSubnet(parseSubnet('10.64.16.0/20'));
  expect([formatSubnet(tasks), formatSubnet(virtual)]).toEqual(['10.64.16.0/21', '10.64.24.0/21']);
  expect(subnetsOverlap(tasks, virtual)).toBe(false);
  expect(subnetContains(virtual, parseAddress('10.64.31.255'))).toBe(true);
});

test('macOf() is a locally administered unicast address that holds the IP address', () => {
  expect(macOf('10.64.1.255')).toBe('0a:53:0a:40:01:ff');
});
