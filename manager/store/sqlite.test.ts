import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/util/random.ts';
import { describeStore } from './contract.ts';
import { openSqliteStore } from './sqlite.ts';
import type { Store } from './store.ts';

const newFolder = () => mkdtempSync(join(tmpdir(), 'shoal-state-sqlite-'));

describeStore('sqlite', async () => {
  const folder = newFolder();
  const store = await openSqliteStore(join(folder, 'store.db'), { batchesMax: 1_000 });
  const compact = async () => {
    const filler = { compares: [], puts: [{ key: 'task/filler', value: '' }], deletes: [] };
    await Promise.all(Array.from({ length: 1_001 }, () => store.transact(filler)));
  };
  const dispose = async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  };
  return { store, compact, dispose };
});

describe('the sqlite file', () => {
  let folder: string;
  let path: string;
  const opened: Store[] = [];
  const open = async () => {
    const store = await openSqliteStore(path);
    opened.push(store);
    return store;
  };
  const put = (key: string, value: string) => ({ compares: [], puts: [{ key, value }], deletes: [] });

  beforeEach(() => {
    folder = newFolder();
    path = join(folder, 'manager', 'store.db');
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
    rmSync(folder, { recursive: true });
  });

  test('keeps values and the revision across closing and opening, deletions too', async () => {
    const first = await open();
    await first.transact(put('task/a', '1'));
    await first.transact({ ...put('task/b', '2'), deletes: ['task/a'] });
    await first.close();
    const second = await open();
    expect(await second.list('')).toEqual({
      revision: 2,
      values: [{ key: 'task/b', value: '2', revision: 2 }],
    });
    expect(await second.transact(put('task/a', '3'))).toEqual({ committed: true, revision: 3 });
  });

  test('is readable by its owner alone, with its folder and its log', async () => {
    const store = await open();
    await store.transact(put('task/a', '1'));
    const modes = [join(folder, 'manager'), path, `${path}-wal`].map((file) => statSync(file).mode & 0o777);
    expect(modes).toEqual([0o700, 0o600, 0o600]);
  });

  test('is held by one manager alone', async () => {
    const first = await open();
    await expect(openSqliteStore(path, { lockWaitMs: 10 })).rejects.toMatchObject({
      code: 'failed_precondition',
      next: expect.stringContaining('another manager') as string,
    });
    await first.close();
    await (await open()).transact(put('task/a', '1'));
  });

  test('is refused when it is no store', async () => {
    path = join(folder, 'store.db');
    writeFileSync(path, 'this is a letter, not a database. '.repeat(100));
    await expect(open()).rejects.toMatchObject({ code: 'failed_precondition' });
  });

  test('is refused when a newer version wrote it', async () => {
    await (await open()).close();
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expect(open()).rejects.toThrow('a newer Shoal wrote it');
  });

  test('writes all that waits before it closes, and refuses what comes later', async () => {
    const store = await open();
    const written = store.transact(put('task/a', '1'));
    await store.close();
    expect(await written).toEqual({ committed: true, revision: 1 });
    await expect(store.transact(put('task/b', '2'))).rejects.toMatchObject({ code: 'unavailable' });
    expect((await (await open()).get('task/a'))?.value).toBe('1');
  });
});

describe('a deleted secret', () => {
  let folder: string;
  let store: Store;
  const needle = 'very-secret-content';
  const value = (length: number) => needle.repeat(Math.ceil(length / needle.length));
  const put = (key: string, text: string) =>
    store.transact({ compares: [], puts: [{ key, value: text }], deletes: [] });
  const remove = (key: string) => store.transact({ compares: [], puts: [], deletes: [key] });
  const filesWith = (text: string) =>
    readdirSync(folder).filter((name) => readFileSync(join(folder, name)).includes(text));

  beforeEach(async () => {
    folder = newFolder();
    store = await openSqliteStore(join(folder, 'store.db'));
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  test('is in none of the files, nor in what watchers are told, however pages were split and joined', async () => {
    const random = seededRandom(20261130);
    const secrets: string[] = [];
    for (let round = 0; round < 400; round++) {
      const roll = random.next();
      if (roll < 0.4) await put(`task/${random.id()}`, 'x'.repeat(random.next() * 3_000));
      else if (roll < 0.75) {
        const key = `secret/${random.id()}`;
        secrets.push(key);
        await put(key, value(20 + random.next() ** 4 * 40_000));
      } else if (secrets.length > 0) await remove(secrets.splice(random.next() * secrets.length, 1)[0]!);
    }
    expect(filesWith(needle)).not.toEqual([]);
    for (const key of secrets) await remove(key);
    expect(filesWith(needle)).toEqual([]);
    const heard: string[] = [];
    const { revision } = await store.list('');
    for await (const batch of store.watch('', 0, new AbortController().signal)) {
      heard.push(JSON.stringify(batch.events));
      if (batch.revision === revision) break;
    }
    expect(heard.join('')).not.toContain(needle);
  });

  test('that was written and deleted in one commit is in none of the files', async () => {
    await Promise.all([put('secret/a', value(5_000)), put('task/a', '1'), remove('secret/a')]);
    expect(filesWith(needle)).toEqual([]);
    expect((await store.get('task/a'))?.value).toBe('1');
  });
});
