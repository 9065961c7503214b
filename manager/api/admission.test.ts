import { expect, test } from 'vitest';
import { silentLogger } from '../../src/util/log.ts';
import { FakeClock } from '../../test/simulation/world.ts';
import {
  Admission,
  connectionsOfCallerMax,
  strangerMsMax,
  strangersMax,
  strangersOfAddressMax,
} from './admission.ts';
import { connectionRate } from '../../src/wire/session.ts';

/** An admission, a clock to wind on, and the keys of the connections that it has closed. */
function setUp() {
  const clock = new FakeClock();
  const admission = new Admission(clock, silentLogger);
  const closed: string[] = [];
  const connect = (key: string, address: string) =>
    admission.admit(key, address, { destroy: () => closed.push(key) });
  return { clock, admission, closed, connect };
}

test('one address has only so many unknown connections, and the oldest makes room', () => {
  const { closed, connect, admission } = setUp();
  for (let index = 0; index < strangersOfAddressMax + 2; index++) connect(`a ${index}`, 'a');
  expect(closed).toEqual(['a 0', 'a 1']);
  expect(admission.strangers).toBe(strangersOfAddressMax);
});

test('when there are too many in all, the address that has most makes room for others', () => {
  const { closed, connect } = setUp();
  for (let index = 0; index < strangersOfAddressMax; index++) connect(`a ${index}`, 'a');
  for (let index = strangersOfAddressMax; index < strangersMax; index++) connect(`b ${index}`, `b${index}`);
  expect(closed).toEqual([]);
  connect('c', 'c');
  expect(closed).toEqual(['a 0']);
});

test('whoever is recognised is not closed for strangers, nor after a time', () => {
  const { admission, clock, closed, connect } = setUp();
  connect('known', 'a');
  expect(admission.recognise('known', 'node x')).toBe(true);
  for (let index = 0; index < strangersOfAddressMax; index++) connect(`a ${index}`, 'a');
  expect(closed).toEqual([]);
  clock.advance(strangerMsMax + 1);
  expect(closed).toHaveLength(strangersOfAddressMax);
  expect(closed).not.toContain('known');
  expect(admission.strangers).toBe(0);
});

test('one caller has only so many connections at a time', () => {
  const { admission, clock, connect } = setUp();
  const open = (index: number) => {
    clock.advance(100);
    connect(`a ${index}`, 'a');
    return admission.recognise(`a ${index}`, 'node x');
  };
  for (let index = 0; index < connectionsOfCallerMax; index++) expect(open(index)).toBe(true);
  expect(open(connectionsOfCallerMax)).toBe(false);
  admission.release('node x');
  expect(open(connectionsOfCallerMax + 1)).toBe(true);
});

test('an address that connects too often is refused, and others are not', () => {
  const { clock, connect } = setUp();
  for (let index = 0; index < connectionRate.burst; index++) expect(connect(`a ${index}`, 'a')).toBe(true);
  expect(connect('a more', 'a')).toBe(false);
  expect(connect('b', 'b')).toBe(true);
  clock.advance(1_000);
  expect(connect('a later', 'a')).toBe(true);
});

test('an address whose connections had to be closed opens fewer for a while, and others as many as before', () => {
  const { admission, clock, connect } = setUp();
  const opened = (name: string) =>
    Array.from({ length: connectionRate.burst }, (_, index) => connect(`${name} ${index}`, name)).filter(
      Boolean,
    ).length;
  for (let count = 0; count < 1_000; count++) admission.misused('a');
  expect(opened('a')).toBe(0);
  expect(opened('b')).toBe(connectionRate.burst);
  // what it is charged for does not pile up
  clock.advance((connectionRate.burst / connectionRate.perSecond) * 1_000 + 1_000);
  expect(opened('a')).toBeGreaterThan(0);
});
