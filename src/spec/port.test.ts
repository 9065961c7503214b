import { expect, test } from 'vitest';
import { portName, portsClash, type OpenPort } from './port.ts';

const everywhere: OpenPort = { published: 80, protocol: 'tcp' };
const loopback: OpenPort = { ...everywhere, address: '127.0.0.1' };

test('a port is named with its address where it has one', () => {
  expect([everywhere, loopback].map(portName)).toEqual(['80/tcp', '127.0.0.1:80/tcp']);
});

test.each<[OpenPort, OpenPort, boolean]>([
  [everywhere, everywhere, true],
  [everywhere, loopback, true],
  [loopback, loopback, true],
  [loopback, { ...loopback, address: '192.0.2.1' }, false],
  [loopback, { ...loopback, published: 81 }, false],
  [everywhere, { ...everywhere, protocol: 'sctp' }, false],
])('%j and %j clash: %s', (left, right, expected) => {
  expect(portsClash(left, right)).toBe(expected);
  expect(portsClash(right, left)).toBe(expected);
});
