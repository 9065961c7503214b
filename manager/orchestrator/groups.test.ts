import { expect, test } from 'vitest';
import type { Service } from '../../src/spec/service.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import { seededRandom } from '../../src/util/random.ts';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { planServices } from './services.ts';
import { unfinishedTasksMax } from './slot.ts';

const now = 1_000_000;
const random = seededRandom(3);
const hour = 3_600_000;
const placement = { constraints: [], maxReplicasPerNode: 0, with: 'app_db' };
const restart = { condition: 'on-failure', delayMs: hour, maxAttempts: 1, windowMs: 0 } as const;
const db = sampleService('db');
const proxy = sampleService('proxy', {
  task: sampleTemplate({ sharing: { pid: 'app_db' }, placement, restart }),
});

const on = (service: Service, slot: number, nodeId: string, state: TaskState, changes: Partial<Task> = {}) =>
  sampleTask(service, slot, { nodeId, status: { state, at: 0, message: '' }, ...changes });
const anchored = (state: TaskState, changes: Partial<Task> = {}) =>
  on(proxy, 1, 'a', state, { anchors: { app_db: 'db-1' }, ...changes });

function planned(services: Service[], tasks: Task[]): MutableView {
  const view = viewOf({ nodes: [sampleNode('a'), sampleNode('b')], services, tasks });
  applyPlan(view, planServices(view, now, random).plan);
  return view;
}

/** The task that is now wanted in the companion's slot. */
const current = (view: MutableView) =>
  [...view.tasksOfService('proxy')].find(
    ({ desiredState }) => desiredState === 'running' || desiredState === 'ready',
  );

test.each([
  ['has ended', on(db, 1, 'a', 'failed')],
  ['is told to stop', on(db, 1, 'a', 'running', { desiredState: 'shutdown' })],
])('a companion whose anchor %s is stopped and made anew without delay', (_, anchor) => {
  const view = planned([db, proxy], [anchor, anchored('running')]);
  expect(view.tasks.get('proxy-1')?.desiredState).toBe('shutdown');
  expect(current(view)).toMatchObject({ desiredState: 'ready', status: { state: 'new' } });
  expect(current(view)?.startAfter).toBeUndefined();
  expect(current(view)?.anchors).toBeUndefined();
});

test.each(['failed', 'complete', 'shutdown'] as const)(
  'a companion that %s is made anew with its anchor, whatever its restart policy says',
  (state) => {
    const view = planned([db, proxy], [on(db, 1, 'a', 'failed'), anchored(state)]);
    expect(current(view)).toMatchObject({ desiredState: 'running', status: { state: 'new' } });
  },
);

test('one that its agent stopped with its anchor waits for no delay, though the anchor’s end is not told yet', () => {
  const status = { state: 'shutdown', at: 0, message: '', endedWith: 'db-1' } as const;
  const view = planned([db, proxy], [on(db, 1, 'a', 'running'), anchored('shutdown', { status })]);
  expect(current(view)).toMatchObject({ desiredState: 'running', status: { state: 'new' } });
});

test('one that runs is not replaced for an anchor that it is said to have ended with', () => {
  const status = { state: 'running', at: 0, message: '', endedWith: 'db-1' } as const;
  const view = planned([db, proxy], [on(db, 1, 'a', 'running'), anchored('running', { status })]);
  expect(current(view)?.id).toBe('proxy-1');
});

test('a slot has only so many tasks that have not ended, and gets the next one once one has', () => {
  const stuck = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      on(db, 1, 'a', 'running', { id: `stuck-${index}`, desiredState: 'shutdown' }),
    );
  const wanted = (tasks: Task[]) =>
    [...planned([db], tasks).tasksOfService('db')].filter(({ status }) => status.state === 'new').length;
  expect(wanted(stuck(unfinishedTasksMax - 1))).toBe(1);
  expect(wanted(stuck(unfinishedTasksMax))).toBe(0);
  const onGone = stuck(unfinishedTasksMax).map((task) => ({ ...task, nodeId: 'removed' }));
  expect(wanted(onGone)).toBe(1);
});

test('one that fails while its anchor runs is restarted by its own policy', () => {
  const view = planned([db, proxy], [on(db, 1, 'a', 'running'), anchored('failed')]);
  expect(current(view)?.startAfter).toBe(now + hour);
});

test('one that only runs beside another follows it to another node, once it is nowhere else', () => {
  const beside = sampleService('proxy', { task: sampleTemplate({ placement }) });
  const task = on(beside, 1, 'a', 'running');
  const moving = [on(db, 1, 'a', 'running'), on(db, 1, 'b', 'ready', { id: 'next' })];
  expect(current(planned([db, beside], [...moving, task]))?.id).toBe('proxy-1');
  const moved = [on(db, 1, 'b', 'running')];
  expect(current(planned([db, beside], [...moved, task]))?.id).not.toBe('proxy-1');
});

test('services whose tasks are paired keep their lowest slots, without gaps', () => {
  const two = { kind: 'replicated', replicas: 2 } as const;
  const services = [db, proxy].map((service) => ({ ...service, spec: { ...service.spec, mode: two } }));
  const view = planned(services, [on(db, 1, 'a', 'running'), on(db, 3, 'b', 'running')]);
  const slots = [...view.tasksOfService('db')].map(({ slot, desiredState }) => `${slot} ${desiredState}`);
  expect(slots.sort()).toEqual(['1 running', '2 running', '3 remove']);
});
