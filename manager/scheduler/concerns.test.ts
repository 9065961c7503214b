import { expect, test } from 'vitest';
import { sampleService, sampleTask } from '../../test/samples.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import { AllocatorConcerns } from '../allocator/concerns.ts';
import { MutableView } from '../store/view.ts';
import type { ObjectChange } from '../store/objects.ts';
import { SchedulerConcerns } from './concerns.ts';

const web = sampleService('web');
const taskIn = (state: TaskState, changes: Partial<Task> = {}) =>
  sampleTask(web, 1, { status: { state, at: 0, message: '' }, ...changes });
const other = (state: TaskState) => ({ ...taskIn(state), id: 'other' });

function concerns() {
  const view = new MutableView();
  view.put('service', web);
  const scheduler = new SchedulerConcerns(view);
  const allocator = new AllocatorConcerns(view);
  const ask = (change: ObjectChange) => {
    const of = { kinds: new Set([change.kind]), objects: [change] };
    return { scheduler: scheduler.concern(of), allocator: allocator.concern(of) };
  };
  return { view, ask, put: (task: Task) => ask(view.put('task', task)) };
}

test('tasks that run and end concern neither scheduler nor allocator while nothing waits', () => {
  const { put, ask, view } = concerns();
  expect(put(taskIn('starting'))).toEqual({ scheduler: false, allocator: false });
  expect(put(taskIn('running'))).toEqual({ scheduler: false, allocator: false });
  expect(ask(view.remove('task', 'web-1'))).toEqual({ scheduler: false, allocator: false });
});

test('a task that is to be placed concerns the scheduler, and so does every other until it is', () => {
  const { put } = concerns();
  expect(put(other('new'))).toEqual({ scheduler: false, allocator: true });
  expect(put(other('pending'))).toEqual({ scheduler: true, allocator: false });
  expect(put(taskIn('failed'))).toMatchObject({ scheduler: true });
  expect(put(other('assigned'))).toMatchObject({ scheduler: false });
  expect(put(taskIn('running'))).toMatchObject({ scheduler: false });
});

test('a task that waits for an address concerns the allocator with every task that may give one back', () => {
  const { put } = concerns();
  put(other('new'));
  expect(put(taskIn('failed'))).toMatchObject({ allocator: true });
  put(other('pending'));
  expect(put(taskIn('failed'))).toMatchObject({ allocator: false });
});

test('while a service waits for others every task concerns the scheduler', () => {
  const { view, ask, put } = concerns();
  ask(view.put('service', sampleService('late', {}, { dependenciesMet: false })));
  expect(put(taskIn('running'))).toMatchObject({ scheduler: true });
  ask(view.put('service', sampleService('late')));
  expect(put(taskIn('running'))).toMatchObject({ scheduler: false });
});
