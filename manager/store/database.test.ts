import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { groupChangesMax, openDatabase, type OpenDatabase } from './database.ts';
import { createMemoryStore } from './memory.ts';
import type { Change, ViewChange } from './objects.ts';
import { sampleNode, sampleService, sampleTask } from '../../test/samples.ts';
import type { Store } from './store.ts';

let store: Store;
let database: OpenDatabase;
const clock = { ...systemClock, now: () => 1_234 };
const create = (id: string): Change => ({ kind: 'node', action: 'create', object: sampleNode(id) });

beforeEach(async () => {
  store = createMemoryStore({ batchesMax: 10 });
  database = await openDatabase(store, clock);
});
afterEach(async () => {
  await database.close();
  await store.close();
});

test('a write shows in the view when it resolves, with its time and revision', async () => {
  expect(await database.write([[create('a')]])).toEqual({ conflicts: 0 });
  const node = database.view.nodes.get('a');
  expect(node).toEqual({ ...sampleNode('a'), updatedAt: 1_234, revision: database.view.revision });
});

test('a database opened later holds what was written before', async () => {
  await database.write([[create('a')], [create('b')]]);
  const second = await openDatabase(store, clock);
  expect(second.view.nodes).toEqual(database.view.nodes);
  await second.close();
});

test('an update or deletion of an object that somebody else changed is a conflict of its group alone', async () => {
  await database.write([[create('a')], [create('b')]]);
  const [a, b] = ['a', 'b'].map((id) => database.view.nodes.get(id)!);
  await database.write([[{ kind: 'node', action: 'update', object: { ...a!, labels: { by: 'first' } } }]]);
  const result = await database.write([
    [{ kind: 'node', action: 'update', object: { ...a!, labels: { by: 'second' } } }, create('c')],
    [{ kind: 'node', action: 'delete', object: a! }],
    [{ kind: 'node', action: 'update', object: { ...b!, labels: { by: 'second' } } }],
  ]);
  expect(result).toEqual({ conflicts: 2 });
  const labels = [...database.view.nodes.values()].map((node) => `${node.id}: ${node.labels['by']}`);
  expect(labels.toSorted()).toEqual(['a: first', 'b: second']);
});

test('a write that fails for a reason that passes throws, one that never can be written is told of', async () => {
  const failing = (code: 'no_space' | 'unavailable' | 'resource_exhausted') => {
    const error = new ShoalError(code, 'Cannot write');
    store.transact = () => Promise.reject(error);
    return error;
  };
  for (const code of ['no_space', 'unavailable'] as const) {
    const error = failing(code);
    await expect(database.writeEach([[create('a')]])).rejects.toBe(error);
  }
  const error = failing('resource_exhausted');
  expect(await database.writeEach([[create('a')]])).toEqual({ conflicts: 0, refused: [error] });
});

test('creating what exists already is a conflict', async () => {
  await database.write([[create('a')]]);
  expect(await database.write([[create('a')]])).toEqual({ conflicts: 1 });
});

test('who led before writes nothing any more, loops and single writes alike', async () => {
  const { signal } = new AbortController();
  const first = await store.campaign('first', signal);
  const old = database.fenced(first);
  expect(await old.write([[create('a')]])).toEqual({ conflicts: 0 });
  await first.resign();
  const later = database.fenced(await store.campaign('second', signal));
  const refusal = { code: 'unavailable', message: expect.stringContaining('another manager leads') };
  await expect(old.write([[create('b')]])).rejects.toMatchObject(refusal);
  await expect(old.writeEach([[create('b')], [create('c')]])).rejects.toMatchObject(refusal);
  expect(await later.write([[create('d')]])).toEqual({ conflicts: 0 });
  expect([...later.view.nodes.keys()]).toEqual(['a', 'd']);
});

test('an empty plan writes nothing', async () => {
  expect(await database.write([[], []])).toEqual({ conflicts: 0 });
  expect(database.view.revision).toBe(0);
});

test('listeners hear what has changed, until they stop', async () => {
  const heard: ViewChange[] = [];
  const stop = database.onChange((change) => heard.push(change));
  const service = sampleService('web');
  await database.write([
    [
      { kind: 'service', action: 'create', object: service },
      { kind: 'task', action: 'create', object: sampleTask(service, 1) },
    ],
  ]);
  stop();
  await database.write([[create('a')]]);
  const [change] = heard;
  expect(heard).toHaveLength(1);
  expect([...change!.kinds].sort()).toEqual(['service', 'task', 'template']);
  expect(change!.objects).toMatchObject([
    { kind: 'template', before: undefined },
    { kind: 'service', id: 'web', before: undefined, after: { spec: { name: 'app_web' } } },
    { kind: 'task', id: 'web-1', before: undefined, after: { slot: 1 } },
  ]);
});

test('two databases on one store see each other and agree', async () => {
  const second = await openDatabase(store, clock);
  const seen = new Promise<void>((resolve) => second.onChange(() => resolve()));
  await database.write([[create('a')]]);
  await seen;
  expect(second.view.nodes.get('a')).toEqual(database.view.nodes.get('a'));
  await second.close();
});

test('a view that fell behind the kept history catches up from a listing', async () => {
  const kept = database.view;
  // In one turn: the database's watch has no chance to read in between.
  const writes = Array.from({ length: 50 }, (_, index) =>
    store.transact({
      compares: [],
      puts: [{ key: `node/n${index % 20}`, value: JSON.stringify(sampleNode(`n${index % 20}`)) }],
      deletes: [],
    }),
  );
  await Promise.all(writes);
  await database.write([[create('last')]]);
  expect([kept.nodes.size, kept.revision]).toEqual([21, 51]);
});

test('a write after closing is refused instead of waiting for ever', async () => {
  await database.close();
  await expect(database.write([[create('a')]])).rejects.toMatchObject({ code: 'unavailable' });
});

test('a group over the limit is a bug and writes nothing', async () => {
  const group = Array.from({ length: groupChangesMax + 1 }, (_, index) => create(`n${index}`));
  await expect(database.write([group])).rejects.toThrow('at most 1024 changes');
  expect(database.view.nodes.size).toBe(0);
});
