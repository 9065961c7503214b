import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { createAllocator } from '../allocator/allocator.ts';
import { openDatabase } from '../store/database.ts';
import type { Database, Plan, View } from '../store/objects.ts';
import { sampleNetwork, sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import { createScheduler } from './scheduler.ts';

let folder: string;
let store: Store;
let database: Database & { close(): Promise<void> };
let loops: { start(): void; stop(): Promise<void> }[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-state-loops-'));
  store = await openSqliteStore(join(folder, 'store.db'));
  database = await openDatabase(store, systemClock);
  const options = { database, clock: systemClock, log: silentLogger };
  loops = [createAllocator(options), createScheduler(options)];
  for (const loop of loops) loop.start();
});
afterEach(async () => {
  for (const loop of loops) await loop.stop();
  await database.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

/** Resolves when the view is as it should be; the test's own time limit ends the wait. */
function until(condition: (view: View) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (!condition(database.view)) return;
      stop();
      resolve();
    };
    const stop = database.onChange(look);
    look();
  });
}

const networks = [{ name: 'app_net', aliases: [] }];
const web = sampleService('web', { task: sampleTemplate({ networks }) });
const create = (replicas: number): Plan => [
  [
    { kind: 'network', action: 'create', object: sampleNetwork('net') },
    { kind: 'service', action: 'create', object: web },
  ],
  Array.from({ length: replicas }, (_, index) => ({
    kind: 'task' as const,
    action: 'create' as const,
    object: sampleTask(web, index + 1),
  })),
];
const states = (view: View) => [...view.tasks.values()].map(({ status }) => status.state);

test('allocator and scheduler take new tasks to nodes, each with an address of its own', async () => {
  await database.write([
    ['a', 'b', 'c'].map((id) => ({ kind: 'node', action: 'create', object: sampleNode(id) })),
  ]);
  await database.write(create(60));
  await until((view) => states(view).every((state) => state === 'assigned') && view.tasks.size === 60);
  const tasks = [...database.view.tasks.values()];
  expect(new Set(tasks.map(({ attachments }) => attachments[0]?.address)).size).toBe(60);
  expect(['a', 'b', 'c'].map((id) => [...database.view.tasksOfNode(id)].length)).toEqual([20, 20, 20]);
});

test('tasks that found no node are placed when one joins', async () => {
  await database.write(create(2));
  const reason = 'no suitable node: the cluster has no nodes';
  await until(
    (view) =>
      view.tasks.size === 2 && [...view.tasks.values()].every(({ status }) => status.message === reason),
  );
  await database.write([[{ kind: 'node', action: 'create', object: sampleNode('late') }]]);
  await until((view) => states(view).every((state) => state === 'assigned'));
  expect([...database.view.tasksOfNode('late')]).toHaveLength(2);
});

test('a conflict with another writer is planned again', async () => {
  await database.write([[{ kind: 'node', action: 'create', object: sampleNode('a') }]]);
  await database.write(create(50));
  // Another writer changes tasks under the loops' hands, as long as it gets between them.
  for (let round = 0; round < 50; round++) {
    const task = database.view.tasks.get(`web-${round + 1}`)!;
    const object = { ...task, startAfter: round };
    const { conflicts } = await database.write([[{ kind: 'task', action: 'update', object }]]);
    if (conflicts > 0) round--;
  }
  await until((view) => states(view).every((state) => state === 'assigned'));
  const tasks = [...database.view.tasks.values()];
  expect(tasks.map(({ startAfter }) => startAfter).sort((left, right) => left! - right!)).toEqual(
    Array.from({ length: 50 }, (_, index) => index),
  );
  expect(new Set(tasks.map(({ attachments }) => attachments[0]?.address)).size).toBe(50);
});
