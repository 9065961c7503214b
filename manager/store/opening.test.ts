import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { until } from '../testing.ts';
import { createMemoryStore } from './memory.ts';
import { embeddedTarget, etcdTarget, openClusterStore, type EtcdPlace } from './opening.ts';
import { writePlace } from './place.ts';
import { openSqliteStore } from './sqlite.ts';
import type { Store } from './store.ts';

let folder: string;
/** Stands for etcd, which outlives a store that is closed. */
let etcd: Store;
let opened: EtcdPlace[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-state-opening-'));
  etcd = createMemoryStore();
  etcd.close = () => Promise.resolve();
  opened = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

const place: EtcdPlace = { backend: 'etcd', generation: 'g', endpoints: ['10.0.0.1:2379'], nodeId: 'n' };
const put = (key: string) => ({ compares: [], puts: [{ key, value: '1' }], deletes: [] });
const open = () =>
  openClusterStore(folder, {
    clock: systemClock,
    log: silentLogger,
    openEmbedded: (path) => openSqliteStore(path),
    openEtcd: (named) => {
      opened.push(named);
      return Promise.resolve(etcd);
    },
  });
const names = () => readdirSync(folder).toSorted();
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

test('there and back: each start opens the store that the last move named, and the first one is kept aside', async () => {
  const first = await open();
  await first.transact(put('task/a'));
  await first.moveTo(etcdTarget(folder, place, () => Promise.resolve(etcd)));
  await until(() => names().includes('store.sqlite.before-etcd'));
  await first.close();
  expect(names()).toEqual(['store.json', 'store.sqlite.before-etcd']);

  const second = await open();
  expect([second.backend, opened]).toEqual(['etcd', [place]]);
  await second.transact(put('task/b'));
  await second.moveTo(embeddedTarget(folder, (path) => openSqliteStore(path)));
  await second.close();

  const third = await open();
  const { values } = await third.list('');
  expect([third.backend, values.map(({ key }) => key)]).toEqual(['embedded', ['task/a', 'task/b']]);
  await third.close();
});

test('a copy to etcd that was never finished goes at the next start', async () => {
  mkdirSync(join(folder, 'etcd', 'member'), { recursive: true });
  const store = await open();
  expect([store.backend, names().includes('etcd')]).toEqual(['embedded', false]);
  await store.close();
});

test('after a kill between the word and the renaming the old file is put aside with its log, and a copy on the way back goes', async () => {
  await writePlace(folder, place);
  write('store.sqlite', 'old');
  write('store.sqlite-wal', 'its log');
  await (await open()).close();
  expect(names()).toEqual(['store.json', 'store.sqlite.before-etcd', 'store.sqlite.before-etcd-wal']);
  write('store.sqlite', 'a copy');
  await (await open()).close();
  expect(names()).toEqual(['store.json', 'store.sqlite.before-etcd', 'store.sqlite.before-etcd-wal']);
  expect(readFileSync(join(folder, 'store.sqlite.before-etcd'), 'utf8')).toBe('old');
});

test('a kill between the two renamings keeps both', async () => {
  await writePlace(folder, place);
  write('store.sqlite', 'old');
  write('store.sqlite.before-etcd-wal', 'its log');
  await (await open()).close();
  expect(names()).toEqual(['store.json', 'store.sqlite.before-etcd', 'store.sqlite.before-etcd-wal']);
});

test('a folder that names etcd never opens the embedded store', async () => {
  await writePlace(folder, place);
  etcd.list = () => Promise.reject(new Error('away'));
  const store = await open();
  expect(store.backend).toBe('etcd');
  expect(names()).toEqual(['store.json']);
});
