import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { FakeClock } from '../../test/simulation/world.ts';
import type { Task } from '../../src/spec/task.ts';
import { planReaping } from '../orchestrator/reaper.ts';
import { groupChangesMax, openDatabase } from './database.ts';
import { createMemoryStore } from './memory.ts';
import type { Change, Database } from './objects.ts';
import type { Store } from './store.ts';

const template = sampleTemplate();
const large = {
  ...template,
  container: { ...template.container, environment: { LARGE: 'x'.repeat(90_000) } },
};
const service = sampleService('web', { task: large });
const created = (slot: number, changes: Partial<Task> = {}): Change => ({
  kind: 'task',
  action: 'create',
  object: { ...sampleTask(service, slot), ...changes },
});

let store: Store;
let database: Database & { close(): Promise<void> };

beforeEach(async () => {
  store = createMemoryStore();
  database = await openDatabase(store, new FakeClock());
});

afterEach(() => database.close());

test('tasks refer to one stored template, and share it in memory, now and after a restart', async () => {
  const group = Array.from({ length: 100 }, (_, index) => created(index + 1));
  expect(await database.write([group])).toEqual({ conflicts: 0 });
  const again = await openDatabase(store, new FakeClock());
  for (const { view } of [database, again]) {
    const templates = new Set([...view.tasks.values()].map((task) => task.template));
    expect([...templates]).toEqual([large]);
    expect(view.tasks.size).toBe(100);
  }
  await again.close();
  const { values } = await store.list('');
  expect(values.filter(({ value }) => value.length > 90_000).map(({ key }) => key.split('/')[0])).toEqual([
    'template',
  ]);
});

test('a template goes after its last task, and not while a task with it is on its way', async () => {
  await database.write([[created(1)]]);
  expect(database.view.unusedTemplates()).toEqual([]);
  const task = database.view.tasks.get('web-1')!;
  await database.write([[{ kind: 'task', action: 'delete', object: task }]]);
  const { plan } = planReaping(database.view, 0);
  expect(plan.flat()).toMatchObject([{ kind: 'template', action: 'delete' }]);
  const [coming, gone] = await Promise.all([database.write([[created(2)]]), database.write(plan)]);
  expect([coming.conflicts, gone.conflicts]).toEqual([0, 1]);
  expect(database.view.tasks.get('web-2')?.template).toEqual(large);
});

test('a task whose template goes in the same moment is planned again', async () => {
  await database.write([[created(1)]]);
  const task = database.view.tasks.get('web-1')!;
  await database.write([[{ kind: 'task', action: 'delete', object: task }]]);
  const { plan } = planReaping(database.view, 0);
  const [gone, coming] = await Promise.all([database.write(plan), database.write([[created(2)]])]);
  expect([gone.conflicts, coming.conflicts]).toEqual([0, 1]);
  expect(await database.write([[created(2)]])).toEqual({ conflicts: 0 });
  expect(database.view.tasks.get('web-2')?.template).toEqual(large);
});

test('a task that an older manager stored with its own template is read as it is', async () => {
  const task = sampleTask(service, 1);
  await store.transact({
    compares: [],
    puts: [{ key: 'task/web-1', value: JSON.stringify(task) }],
    deletes: [],
  });
  const again = await openDatabase(store, new FakeClock());
  expect(again.view.tasks.get('web-1')?.template).toEqual(large);
  const object = { ...again.view.tasks.get('web-1')!, slot: 7 };
  await again.write([[{ kind: 'task', action: 'update', object }]]);
  expect(again.view.tasks.get('web-1')).toMatchObject({ slot: 7, template: large });
  expect(again.view.templates.size).toBe(1);
  await again.close();
});

test('a group that can never be written keeps no other from being written', async () => {
  const huge = Array.from({ length: groupChangesMax + 1 }, (_, index) => created(10 + index));
  const circular = { ...sampleTask(service, 2) } as Task & { self?: unknown };
  circular.self = circular;
  const { refused, conflicts } = await database.writeEach([
    huge,
    [{ kind: 'task', action: 'create', object: circular }],
    [created(1)],
  ]);
  expect([refused.length, conflicts]).toEqual([2, 0]);
  expect([...database.view.tasks.keys()]).toEqual(['web-1']);
});
