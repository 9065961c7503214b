import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { sampleService, sampleTask } from '../../test/samples.ts';
import { systemClock } from '../../src/util/clock.ts';
import type { WatchLine } from '../../src/wire/api.ts';
import { openDatabase, type OpenDatabase } from '../store/database.ts';
import { createMemoryStore } from '../store/memory.ts';
import { ApplicationFeeds } from './feeds.ts';

const web = sampleService('web');
const { application } = web.spec;
const store = createMemoryStore();
let database: OpenDatabase;
let feeds: ApplicationFeeds;

beforeEach(async () => {
  database = await openDatabase(store, systemClock);
  feeds = new ApplicationFeeds({ database, clock: systemClock });
  if (database.view.services.size > 0) return;
  await database.write([[{ kind: 'service', action: 'create', object: web }]]);
  const task = sampleTask(web, 1, { desiredState: 'running' });
  await database.write([[{ kind: 'task', action: 'create', object: task }]]);
});
afterEach(() => database.close());

let turn = 0;
/** Something of the application changes. */
async function change(): Promise<string> {
  const [task] = database.view.tasks.values();
  const message = `change ${turn++}`;
  const object = { ...task!, status: { ...task!.status, message } };
  await database.write([[{ kind: 'task', action: 'update', object }]]);
  return message;
}

function follower() {
  const gone = new AbortController();
  onTestFinished(() => gone.abort(new Error('gone')));
  const lines = feeds.follow(application, gone.signal);
  const next = async () => (await lines.next()).value as string;
  return { next, end: () => gone.abort(new Error('gone')) };
}

test('however many watch, a change is looked at once, and all are told it in the same words', async () => {
  const followers = Array.from({ length: 50 }, follower);
  const pictures = await Promise.all(followers.map(({ next }) => next()));
  expect(new Set(pictures).size).toBe(1);
  const tasksOf = vi.spyOn(database.view, 'tasksOfService');
  const told = Promise.all(followers.map(({ next }) => next()));
  const message = await change();
  expect(new Set(await told).size).toBe(1);
  expect((await told)[0]).toContain(message);
  expect(tasksOf.mock.calls.length).toBeLessThan(followers.length);
  vi.restoreAllMocks();
});

test('who begins to watch sees what was written before, though others watch already', async () => {
  const first = follower();
  await first.next();
  for (let count = 0; count < 5; count++) {
    const message = await change();
    const later = await follower().next();
    expect(later).toContain(message);
    expect((JSON.parse(later) as WatchLine).whole?.revision).toBe(database.view.revision);
  }
});

test('one that does not read is ended, and the others go on', async () => {
  feeds = new ApplicationFeeds({ database, clock: systemClock }, 3);
  const slow = follower();
  await slow.next();
  const quick = follower();
  await quick.next();
  for (let count = 0; count < 5; count++) {
    const message = await change();
    expect(await quick.next()).toContain(message);
  }
  await expect(slow.next()).rejects.toMatchObject({ code: 'resource_exhausted' });
  const message = await change();
  expect(await quick.next()).toContain(message);
});

test('nothing is kept of an application that nobody watches any more', async () => {
  const one = follower();
  await one.next();
  one.end();
  await expect(one.next()).rejects.toThrow('gone');
  const looks = vi.spyOn(database.view, 'tasksOfService');
  await change();
  await systemClock.sleep(300);
  expect(looks).not.toHaveBeenCalled();
  looks.mockRestore();
});
