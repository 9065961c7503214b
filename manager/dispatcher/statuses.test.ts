import { expect, test } from 'vitest';
import type { TaskStatus } from '../../src/spec/task.ts';
import { sampleNode, sampleService, sampleTask } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { parseAgentMessage } from './parse.ts';
import { planStatuses } from './statuses.ts';

const status = (state: TaskStatus['state'], message = ''): TaskStatus => ({ state, at: 1, message });
const view = viewOf({
  tasks: [sampleTask(sampleService('web'), 1, { nodeId: 'a', status: status('preparing', 'pulling') })],
});
const report = (reported: TaskStatus, nodeId = 'a') => ({ nodeId, taskId: 'web-1', status: reported });

test('several reports of one task make one change', () => {
  const { plan } = planStatuses(view, [report(status('ready')), report(status('running'))]);
  expect(plan).toHaveLength(1);
  expect(plan[0]).toMatchObject([{ object: { status: { state: 'running' } } }]);
});

test('the same state again refreshes the message, and writes nothing when nothing is new', () => {
  const { plan } = planStatuses(view, [report(status('preparing', 'half'))]);
  expect(plan[0]).toMatchObject([{ object: { status: { message: 'half' } } }]);
  const same = planStatuses(view, [report(status('preparing', 'pulling'))]);
  expect(same).toEqual({ plan: [], ignored: [] });
});

test('a report that goes back in time, or of a task of another node, is ignored', () => {
  const reports = [report(status('accepted')), report(status('running'), 'b'), report(status('orphaned'))];
  expect(planStatuses(view, reports)).toEqual({ plan: [], ignored: reports });
});

test('a host may say which runtimes and devices it has, as lists of names', () => {
  const hello = (more: object) =>
    parseAgentMessage(
      JSON.stringify({ type: 'hello', description: { ...sampleNode('a').description, ...more } }),
    );
  expect(hello({})).toBeDefined();
  expect(hello({ runtimes: ['runc'], cdiDevices: ['a.b/c=d'] })).toBeDefined();
  expect(hello({ runtimes: 'runc' })).toBeUndefined();
  expect(hello({ cdiDevices: [5] })).toBeUndefined();
  expect(hello({ cdiDevices: Array.from({ length: 1_001 }, String) })).toBeUndefined();
});

test.each([
  '',
  'null',
  '{"type":"unknown"}',
  '{"type":"applied","sequence":-1}',
  '{"type":"status","batch":1,"tasks":[{"taskId":"x","status":{"state":"flying","at":1,"message":""}}]}',
  '{"type":"hello","description":{}}',
])('%s is no session message', (text) => {
  expect(parseAgentMessage(text)).toBeUndefined();
});
