import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLogger } from '../../src/util/log.ts';
import { PacketFilter } from './filter.ts';
import type { Elements } from './state.ts';

/** What the packet filter of this "host" holds. Whoever flushes it does so between our writing and our reading. */
const kernel = vi.hoisted(() => ({ isLoaded: false, flushes: 0, loads: 0, rule: 'accept' }));

vi.mock('./kernel.ts', () => ({
  nft: () => {
    kernel.loads++;
    kernel.isLoaded = kernel.flushes-- <= 0;
    return Promise.resolve();
  },
  listChains: () =>
    Promise.resolve(kernel.isLoaded ? 'table inet shoal {\n\tchain services {\n\t}\n}\n' : ''),
  listTables: () =>
    Promise.resolve(
      kernel.isLoaded
        ? `table inet shoal {\n\tset live {\n\t\ttype ipv4_addr\n\t\telements = { 10.64.0.12 }\n\t}\n\n\tchain services {\n\t\t${kernel.rule}\n\t}\n}\n`
        : '',
    ),
  dropRuleset: () => Promise.resolve(),
}));

const folder = mkdtempSync(join(tmpdir(), 'shoal-filter-'));
const wanted: Elements = new Map([['live', new Map([['10.64.0.12', '']])]]);
let filter: PacketFilter;

function start(): PacketFilter {
  const ports = { vxlanPort: 4789, managerPorts: [2377] };
  return new PacketFilter({ ports, file: join(folder, 'rules'), log: silentLogger });
}

beforeEach(() => {
  Object.assign(kernel, { isLoaded: false, flushes: 0, loads: 0, rule: 'accept' });
  filter = start();
});
afterEach(() => rmSync(join(folder, 'rules'), { force: true }));

test('rules that read the same twice are how this nft writes them, which the next process knows', async () => {
  await filter.apply(wanted, new Map());
  expect(kernel.loads).toBe(2);
  expect(await filter.differences(true)).toEqual([]);
  filter = start();
  await filter.apply(wanted, new Map());
  expect(kernel.loads).toBe(3);
});

test('a packet filter that somebody flushes while it is loaded is not taken for a whole one', async () => {
  kernel.flushes = 1;
  await filter.apply(wanted, new Map());
  expect(kernel.loads).toBe(3);
  expect(await filter.differences(false)).toEqual([]);
  kernel.isLoaded = false;
  expect(await filter.differences(false)).toEqual(['chains of the packet filter are gone or changed']);
});

test('one that is flushed each time is told, and loaded again the next time', async () => {
  kernel.flushes = 3;
  await expect(filter.apply(wanted, new Map())).rejects.toMatchObject({ code: 'network_failed' });
  expect(filter.isKnown).toBe(false);
  await filter.apply(wanted, new Map());
  expect(await filter.differences(true)).toEqual([]);
});

test('elements that somebody took away while they were loaded are told', async () => {
  const more: Elements = new Map([
    [
      'live',
      new Map([
        ['10.64.0.12', ''],
        ['10.64.0.13', ''],
      ]),
    ],
  ]);
  await expect(filter.apply(more, new Map())).rejects.toThrow('changed by somebody else');
});

test('a rule that was changed is seen, and loaded anew', async () => {
  await filter.apply(wanted, new Map());
  kernel.rule = 'drop';
  expect(await filter.differences(true)).toEqual(['rules of the packet filter are gone or changed']);
  kernel.rule = 'accept';
  filter.forget();
  await filter.apply(wanted, new Map());
  expect(await filter.differences(true)).toEqual([]);
});
