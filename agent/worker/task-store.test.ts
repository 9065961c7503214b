import fc from 'fast-check';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { sampleTemplate } from '../../test/samples.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import type { AssignmentPut } from '../../src/wire/session.ts';
import { assignedTasks, changed, noAssignments } from '../session/assignments.ts';
import { firstSight, type LocalTask } from './step.ts';
import { TaskStore } from './task-store.ts';
import { assignment } from './testing.ts';

let directory: string;
let path: string;
const troubles: (Error | undefined)[] = [];

beforeEach(() => {
  troubles.length = 0;
  directory = mkdtempSync(join(tmpdir(), 'shoal-store-'));
  path = join(directory, 'state.jsonl');
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const open = () =>
  TaskStore.open({
    path,
    clock: systemClock,
    log: silentLogger,
    onTrouble: (error) => void troubles.push(error),
  });

const local = (at: number): LocalTask => firstSight({ state: 'running', at, message: '' }, 0, at);

function put(id: string, slot = 1): AssignmentPut {
  const { template: _, ...task } = assignment(id);
  return { kind: 'task', value: { ...task, slot } };
}

const template = (id: string): AssignmentPut => ({
  kind: 'template',
  value: { id, template: sampleTemplate() },
});

test('TaskStore gives back assignments and tasks after a restart, without secrets', async () => {
  const store = await open();
  const secret: AssignmentPut = { kind: 'secret', value: { id: 's', name: 's', data: 'aGlkZGVu' } };
  store.changeAssignments([put('a'), put('b'), secret], [], true);
  store.changeAssignments([put('a', 2)], [{ kind: 'task', id: 'b' }], false);
  store.putTask('a', local(1));
  store.putTask('b', local(2));
  store.removeTask('b');
  await store.close();
  const again = await open();
  expect(again.assignments()).toEqual([put('a', 2)]);
  expect(again.tasks()).toEqual(new Map([['a', local(1)]]));
  expect(readFileSync(path, 'utf8')).not.toContain('aGlkZGVu');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('TaskStore writes a template once, before the tasks that refer to it, also when the disk refuses for a while', async () => {
  const lost = join(directory, 'lost');
  mkdirSync(lost);
  path = join(lost, 'state.jsonl');
  const store = await open();
  rmSync(lost, { recursive: true });
  store.changeAssignments([put('old')], [], true);
  await vi.waitFor(() => expect(troubles).not.toEqual([]));
  store.changeAssignments([template('of-a'), put('a'), put('b')], [], false);
  store.changeAssignments([], [{ kind: 'task', id: 'old' }], false);
  mkdirSync(lost);
  await vi.waitFor(() => expect(troubles.at(-1)).toBeUndefined(), { timeout: 5_000 });
  await store.close();
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as string[]).slice(0, 2).join('/'))).toEqual([
    'template/of-a',
    'task/a',
    'task/b',
    'task/old',
  ]);
  expect((await open()).assignments()).toEqual([template('of-a'), put('a'), put('b')]);
});

test('TaskStore takes up tasks that an older version has written with their templates', async () => {
  const { templateId: _, ...older } = assignment('a');
  writeFileSync(path, `${JSON.stringify(['task', 'a', older])}\n`);
  const store = await open();
  const assignments = changed(noAssignments(), { replace: true, put: store.assignments(), remove: [] });
  expect(assignedTasks(assignments)).toEqual({
    tasks: new Map([['a', { ...assignment('a'), templateId: 'a' }]]),
    missing: [],
  });
});

test('TaskStore writes nothing for what it is told again', async () => {
  const store = await open();
  store.changeAssignments([put('a'), put('b')], [], true);
  await store.settled();
  const { size } = statSync(path);
  store.changeAssignments([put('a'), put('b')], [], true);
  await store.close();
  expect(statSync(path).size).toBe(size);
});

test('TaskStore stays small however often a task changes', async () => {
  const store = await open();
  for (let at = 0; at < 300; at++) {
    const message = 'm'.repeat(20_000);
    store.putTask('a', firstSight({ state: 'running', at, message }, 0, at));
    if (at % 10 === 0) await store.settled();
  }
  await store.close();
  expect(statSync(path).size).toBeLessThan(1.3 * 1024 * 1024);
  expect((await open()).tasks().get('a')?.status.at).toBe(299);
});

test('TaskStore has whole lines after a kill at any byte, and goes on from there', async () => {
  const store = await open();
  for (let at = 0; at < 5; at++) {
    store.putTask('a', local(at));
    await store.settled();
  }
  await store.close();
  const whole = readFileSync(path);
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length), async (bytes) => {
      writeFileSync(path, whole.subarray(0, bytes));
      const lines = whole.subarray(0, bytes).toString().split('\n').length - 1;
      const cut = await open();
      expect(cut.tasks().get('a')?.status.at).toBe(lines === 0 ? undefined : lines - 1);
      cut.putTask('b', local(7));
      await cut.close();
      const next = await open();
      expect(next.tasks().get('b')?.status.at).toBe(7);
      expect(next.tasks().get('a')).toEqual(cut.tasks().get('a'));
    }),
    { numRuns: 40 },
  );
});

test('TaskStore goes on in memory while it cannot write, keeps nobody waiting, and writes once it can', async () => {
  const store = await TaskStore.open({
    path: join(directory, 'none', 'state.jsonl'),
    clock: systemClock,
    log: silentLogger,
    onTrouble: (error) => void troubles.push(error),
  });
  rmSync(join(directory, 'none'), { recursive: true });
  for (let at = 0; at < 50; at++) store.putTask('a', local(at));
  await store.settled();
  expect(troubles).toMatchObject([{ code: 'ENOENT' }]);
  store.putTask('b', local(1));
  const before = systemClock.now();
  await store.settled();
  expect(systemClock.now() - before).toBeLessThan(500);
  expect(store.tasks().size).toBe(2);
  mkdirSync(join(directory, 'none'));
  await vi.waitFor(() => expect(troubles.at(-1)).toBeUndefined(), { timeout: 5_000 });
  await store.close();
  path = join(directory, 'none', 'state.jsonl');
  expect((await open()).tasks()).toEqual(
    new Map([
      ['a', local(49)],
      ['b', local(1)],
    ]),
  );
});
