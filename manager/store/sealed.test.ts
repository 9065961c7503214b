import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../test/manual-clock.ts';
import { sampleNode } from '../../test/samples.ts';
import { createSealingKeys, Sealer } from '../sealing/sealer.ts';
import { openDatabase } from './database.ts';
import { createMemoryStore } from './memory.ts';
import type { Change } from './objects.ts';
import type { Store } from './store.ts';

const content = Buffer.from('hunter2').toString('base64');
const create = (id: string): Change => ({
  kind: 'secret',
  action: 'create',
  object: {
    id,
    createdAt: 0,
    updatedAt: 0,
    revision: 0,
    spec: { name: `app_${id}`, application: 'app', labels: {}, data: content },
  },
});

let store: Store;
beforeEach(() => {
  store = createMemoryStore();
});
afterEach(() => store.close());

/** What the store has under the key, or under all keys. */
const stored = async () => (await store.list('')).values.map(({ value }) => value).join('\n');

test('secrets are sealed in the store, other objects are not, and a view that has the keys shows all', async () => {
  const sealer = new Sealer(createSealingKeys());
  const database = await openDatabase(store, new ManualClock(), { sealer });
  await database.write([[create('a'), { kind: 'node', action: 'create', object: sampleNode('n') }]]);
  expect(database.view.secrets.get('a')).toMatchObject({ spec: { data: content } });
  const text = await stored();
  expect(text).not.toContain(content);
  expect(text).not.toContain('app_a');
  expect(text).toContain(sampleNode('n').description!.hostname);
  expect(database.unsealed()).toEqual([]);
  await database.close();
  await expect(openDatabase(store, new ManualClock())).rejects.toThrow('Cannot open secret/a: the key');
  const again = await openDatabase(store, new ManualClock(), { sealer });
  expect(again.view.secrets.get('a')).toMatchObject({ spec: { data: content } });
  await again.close();
});

test('what a store of before has in clear, or sealed with an older key, is sealed when it is written once more', async () => {
  const plain = await openDatabase(store, new ManualClock());
  await plain.write([[create('a')]]);
  await plain.close();
  const older = createSealingKeys();
  let keys = older;
  for (let round = 0; round < 2; round++) {
    const database = await openDatabase(store, new ManualClock(), { sealer: new Sealer(keys) });
    expect(database.unsealed()).toMatchObject([[{ kind: 'secret', action: 'update', object: { id: 'a' } }]]);
    expect(await database.write(database.unsealed())).toEqual({ conflicts: 0 });
    expect(database.unsealed()).toEqual([]);
    expect(await stored()).not.toContain(content);
    expect(await stored()).toContain(keys.current);
    await database.close();
    const newer = createSealingKeys();
    keys = { current: newer.current, keys: { ...older.keys, ...newer.keys } };
  }
});
