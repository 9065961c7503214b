import { expect, test } from 'vitest';
import { parseTables, tableDifferences } from './read-filter.ts';
import type { Elements } from './state.ts';

const listed = `table inet shoal {
\tset live {
\t\ttype ipv4_addr
\t\telements = { 10.64.0.12, 10.64.0.21,
\t\t\t     10.64.0.22 }
\t}

\tset vnis {
\t\ttypeof @th,96,24
\t\telements = { 0x1000 }
\t}

\tmap port_slots {
\t\ttypeof meta l4proto . th dport . numgen random mod 4 : ip daddr . th dport
\t\telements = { tcp . 80 . 0 : 10.64.0.21 . 8000 }
\t}

\tmap renewed {
\t\ttypeof ip saddr . ip daddr . meta l4proto . @th,0,32 : ct zone
\t\tsize 65535
\t\tflags dynamic,timeout
\t\telements = { 10.0.0.1 . 10.0.0.2 . udp . 0x50 timeout 1d expires 23h : 1 }
\t}

\tchain services {
\t\tip daddr vmap @service_size
\t}
}
table bridge shoal {
\tmap peer_macs {
\t\ttype mark : ether_addr
\t\telements = { 0x0a400002 : 0a:53:0a:40:00:02 }
\t}
}
`;

const wanted: Elements = new Map([
  ['live', new Map(['10.64.0.21', '10.64.0.12', '10.64.0.22'].map((each) => [each, '']))],
  ['vnis', new Map([['4096', '']])],
  ['port_slots', new Map([['tcp . 80 . 0', '10.64.0.21 . 8000']])],
  ['peer_macs', new Map([['0x0a400002', '0a:53:0a:40:00:02']])],
]);

test('elements are read from whatever way nft writes them', () => {
  const { elements } = parseTables(listed);
  expect(tableDifferences(elements, wanted, true)).toEqual([]);
  const numeric = parseTables(listed.replace('tcp . 80', '6 . 80').replace('0x1000', '4096'));
  expect(tableDifferences(numeric.elements, wanted, true)).toEqual([]);
});

test('rules are the same whatever elements there are', () => {
  const other = listed
    .replace(', 10.64.0.21,\n\t\t\t     10.64.0.22', '')
    .replace('expires 23h', 'expires 1h');
  expect(parseTables(other).rules).toBe(parseTables(listed).rules);
  expect(parseTables(listed.replace('vmap @service_size', 'accept')).rules).not.toBe(
    parseTables(listed).rules,
  );
});

test.each([
  ['set live lacks 1 and has 0 others, first 10.64.0.12', ' 10.64.0.12,', ''],
  ['set live lacks 0 and has 1 others, first 10.99.0.1', '10.64.0.12,', '10.64.0.12, 10.99.0.1,'],
  ['map port_slots lacks 1 and has 1 others, first 6 . 80 . 0', '10.64.0.21 . 8000', '10.64.0.99 . 8000'],
])('%s', (words, from, to) => {
  const { elements } = parseTables(listed.replace(from, to));
  expect(tableDifferences(elements, wanted, true)).toEqual([words]);
});

test('where elements cannot be compared their numbers are', () => {
  const { elements } = parseTables(listed.replace('10.64.0.12', '10.64.0.13'));
  expect(tableDifferences(elements, wanted, false)).toEqual([]);
  expect(tableDifferences(parseTables('').elements, wanted, false)).toHaveLength(4);
});
