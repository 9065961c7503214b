import { expect, test } from 'vitest';
import { infoOf } from '../../test/cli-samples.ts';
import { sampleService, sampleTask } from '../../test/samples.ts';
import type { TaskState } from '../spec/task.ts';
import { pickTask } from './commands/exec.ts';

const service = sampleService('web');

function tasksIn(...states: TaskState[]) {
  return states.map((state, index) =>
    infoOf(sampleTask(service, index + 1, { id: `task${index + 1}`, status: { state, at: 0, message: '' } })),
  );
}

const { name, application } = service.spec;
const pick = (wanted: string, ...states: TaskState[]) =>
  pickTask(tasksIn(...states), [service], application, wanted).id;

test('commands run in a task that starts and is not healthy yet, but rather in one that runs', () => {
  expect(pick('web', 'failed', 'starting')).toBe('task2');
  expect(pick('web', 'starting', 'running', 'running')).toBe('task2');
  expect(pick('web.1', 'starting', 'running')).toBe('task1');
  expect(pick(`${name}.1`, 'starting', 'running')).toBe('task1');
  expect(() => pick('web', 'failed', 'preparing', 'ready')).toThrow('none of its tasks is running');
});
