import { expect, test } from 'vitest';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { isTerminal, type Task } from '../../src/spec/task.ts';
import { seededRandom } from '../../src/util/random.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { surplusInAll } from './history.ts';
import { forgetUnconnectedAfterMs, planReaping } from './reaper.ts';
import { countedAttemptsMax } from './restart.ts';
import { planServices } from './services.ts';

const web = sampleService('web', { mode: { kind: 'replicated', replicas: 3 } });

function ended(slot: number, at: number): Task {
  const status = { state: 'failed', at, message: '' } as const;
  return sampleTask(web, slot, { id: `${slot}-${at}`, createdAt: at, desiredState: 'shutdown', status });
}

test('the oldest ended tasks of all go when there are too many, or they are too large together', () => {
  const tasks = [1, 2, 3].flatMap((slot) => [1, 2, 3].map((turn) => ended(slot, turn * 10 + slot)));
  const gone = (limits: { tasksMax: number; bytesMax: number }) =>
    surplusInAll(tasks, limits)
      .map(({ id }) => id)
      .sort((left, right) => left.localeCompare(right));
  expect(gone({ tasksMax: 9, bytesMax: Infinity })).toEqual([]);
  expect(gone({ tasksMax: 7, bytesMax: Infinity })).toEqual(['1-11', '2-12']);
  const each = JSON.stringify(tasks[0]).length;
  expect(gone({ tasksMax: 9, bytesMax: each * 8.5 })).toEqual(['1-11']);
});

test.each([
  [5, 0],
  [500, 0],
  [500, 60_000],
])(
  'with %i attempts (window %i ms) a job that always fails is tried that often, and little is remembered',
  (maxAttempts, windowMs) => {
    const restart = { condition: 'on-failure' as const, delayMs: 0, maxAttempts, windowMs };
    const job = sampleService('job', { task: sampleTemplate({ restart }) });
    const view = viewOf({ nodes: [sampleNode('a')], services: [job] });
    const random = seededRandom(1);
    let failures = 0;
    for (let now = 1_000; now < 1_000 + 600 * 1_000; now += 1_000) {
      applyPlan(view, planServices(view, now, random).plan);
      const task = [...view.tasks.values()].find(({ status }) => !isTerminal(status.state));
      if (task === undefined) break;
      failures++;
      view.put('task', { ...task, nodeId: 'a', status: { ...task.status, state: 'failed', at: now } });
      applyPlan(view, planReaping(view, now).plan);
      expect(view.tasks.size).toBeLessThanOrEqual(countedAttemptsMax + 1);
    }
    expect(failures).toBe(maxAttempts + 1);
  },
);

test('attempts beyond those that are remembered are forgotten with the window, too', () => {
  const restart = { condition: 'on-failure' as const, delayMs: 0, maxAttempts: 50, windowMs: 60_000 };
  const job = sampleService('job', { task: sampleTemplate({ restart }) });
  const failed = (id: string, at: number, changes: Partial<Task>) =>
    sampleTask(job, 1, {
      id,
      nodeId: 'a',
      createdAt: at,
      status: { state: 'failed', at, message: '' },
      ...changes,
    });
  const tasks = [
    failed('before', 1, { desiredState: 'shutdown', attempts: 49 }),
    failed('last', 100_000, { attempts: 50 }),
  ];
  const view = viewOf({ nodes: [sampleNode('a')], services: [job], tasks });
  applyPlan(view, planServices(view, 100_001, seededRandom(1)).plan);
  expect([...view.tasks.values()].find(({ status }) => status.state === 'new')?.attempts).toBe(1);
});

test('a node that joined and never connected is forgotten after an hour; one that connected, and the manager, stay', () => {
  const never = { status: { state: 'unknown' as const, since: 0, message: '' }, description: undefined };
  const nodes = [
    sampleNode('never', never),
    sampleNode('manager', { ...never, role: 'manager' }),
    sampleNode('down', { status: { state: 'down', since: 0, message: '' } }),
  ];
  const view = viewOf({ nodes });
  expect(planReaping(view, forgetUnconnectedAfterMs - 1).plan).toEqual([]);
  applyPlan(view, planReaping(view, forgetUnconnectedAfterMs).plan);
  expect([...view.nodes.keys()].sort()).toEqual(['down', 'manager']);
});
