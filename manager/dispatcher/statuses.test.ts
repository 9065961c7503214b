import { expect, test } from 'vitest';
import type { TaskStatus } from '../../src/spec/task.ts';
import { sampleService, sampleTask } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { planStatuses, receivedStatus } from './statuses.ts';

const status = (state: TaskStatus['state'], message = ''): TaskStatus => ({ state, at: 1, message });
const view = viewOf({
  tasks: [sampleTask(sampleService('web'), 1, { nodeId: 'a', status: status('preparing', 'pulling') })],
});
const report = (reported: TaskStatus, nodeId = 'a') => ({ nodeId, taskId: 'web-1', status: reported });

test('several reports of one task make one change', () => {
  const { plan } = planStatuses(view, [report(status('ready')), report(status('running'))], 9);
  expect(plan).toHaveLength(1);
  expect(plan[0]).toMatchObject([{ object: { status: { state: 'running' } } }]);
});

test('the same state again refreshes the message, and writes nothing when nothing is new', () => {
  const { plan } = planStatuses(view, [report(status('preparing', 'half'))], 9);
  expect(plan[0]).toMatchObject([{ object: { status: { message: 'half' } } }]);
  const same = planStatuses(view, [report(status('preparing', 'pulling'))], 9);
  expect(same).toEqual({ plan: [], ignored: [] });
});

test('a report that goes back in time, or of a task of another node, is ignored', () => {
  const reports = [report(status('accepted')), report(status('running'), 'b'), report(status('orphaned'))];
  expect(planStatuses(view, reports, 9)).toEqual({ plan: [], ignored: reports });
});

test('an anchor is believed to be the reason only of an end, and only when it is the task’s own', () => {
  const proxy = sampleTask(sampleService('proxy'), 1, {
    status: status('starting'),
    anchors: { db: 'db-1' },
  });
  const received = (state: TaskStatus['state'], endedWith: string) =>
    receivedStatus(proxy, { ...status(state), endedWith }, 9)?.endedWith;
  expect(received('shutdown', 'db-1')).toBe('db-1');
  expect(received('shutdown', 'zz')).toBeUndefined();
  expect(received('running', 'db-1')).toBeUndefined();
});

const hourMs = 3_600_000;

test.each([hourMs, -hourMs])('a host whose clock is %i ms off changes no time stamp of a task', (offMs) => {
  const web = sampleTask(sampleService('web'), 1, {
    nodeId: 'a',
    createdAt: 100,
    status: status('starting'),
  });
  const at = 200 + offMs;
  const running = receivedStatus(web, { state: 'running', at, startedAt: at, message: '' }, 201)!;
  expect(running).toEqual({ state: 'running', at: 201, startedAt: 201, message: '' });
  const ended = { state: 'failed', at: at + 50, startedAt: at, message: '' } as const;
  expect(receivedStatus({ ...web, status: running }, ended, 252)).toMatchObject({ at: 252, startedAt: 201 });
});

test('how long a task ran that was heard of only at its end is taken from its host, and is never longer than it exists', () => {
  const web = sampleTask(sampleService('web'), 1, {
    nodeId: 'a',
    createdAt: 100,
    status: status('starting'),
  });
  const ended = (ranMs: number) =>
    receivedStatus(web, { state: 'failed', at: 7 + ranMs, startedAt: 7, message: '' }, 1_000);
  expect(ended(300)).toMatchObject({ at: 1_000, startedAt: 700 });
  expect(ended(hourMs)).toMatchObject({ at: 1_000, startedAt: 100 });
  // Its host's clock was set back while it ran.
  expect(ended(-hourMs)).toMatchObject({ at: 1_000, startedAt: 1_000 });
  expect(receivedStatus(web, { state: 'failed', at: 7, message: '' }, 1_000)).not.toHaveProperty('startedAt');
});

test('a task that its host has run again by itself counts as started then', () => {
  const running = { state: 'running', at: 10, startedAt: 10, message: '' } as const;
  const web = sampleTask(sampleService('web'), 1, { nodeId: 'a', status: running });
  const again = { ...running, at: 60, startedAt: 60, restarts: 1 };
  expect(receivedStatus(web, again, 1_000)).toMatchObject({ at: 10, startedAt: 1_000, restarts: 1 });
  expect(receivedStatus(web, running, 1_000)).toEqual(running);
});
