import { describe, expect, test } from 'vitest';
import type { Service } from '../../src/spec/service.ts';
import type { Task, TaskState, TaskStatus } from '../../src/spec/task.ts';
import {
  sampleContainer,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { planSchedule } from './plan.ts';

const now = 10_000_000;
const nodes = ['a', 'b', 'c'].map((id) => sampleNode(id));
const preStart = [{ command: ['migrate'], environment: {}, perReplica: false }];
const task = sampleTemplate({ container: sampleContainer({ preStart }) });
const web = sampleService('web', { task });

function pending(service: Service, slot: number, changes: Partial<Task> = {}): Task {
  return sampleTask(service, slot, { status: { state: 'pending', at: 0, message: '' }, ...changes });
}

function scheduled(tasks: Task[], service: Service = web, more = nodes): MutableView {
  const view = viewOf({ nodes: more, services: [service], tasks });
  applyPlan(view, planSchedule(view, now));
  expect(planSchedule(view, now)).toEqual([]);
  return view;
}

function after(
  view: MutableView,
  id: string,
  state: TaskState,
  status: Partial<TaskStatus> = {},
): MutableView {
  const [service] = [...view.services.values()];
  const tasks = [...view.tasks.values()].map((one) =>
    one.id === id ? { ...one, status: { ...one.status, state, ...status } } : one,
  );
  return scheduled(tasks, service, [...view.nodes.values()]);
}

const three = [1, 2, 3].map((slot) => pending(web, slot));
const placed = (view: MutableView) =>
  [...view.tasks.values()].filter(({ nodeId }) => nodeId !== undefined).map(({ id }) => id);
const chosen = (view: MutableView) =>
  [...view.tasks.values()].filter(({ initialises }) => initialises).map(({ id }) => id);

describe('init containers that run once', () => {
  test('are given to one task, and the others wait and say for whom', () => {
    const view = scheduled(three);
    expect(placed(view)).toEqual(['web-1']);
    expect(chosen(view)).toEqual(['web-1']);
    expect(view.tasks.get('web-2')?.status.message).toBe('waiting for app_web.1 to run pre_start');
  });

  test('let the others go once they have ended well, before the first one runs', () => {
    const view = after(scheduled(three), 'web-1', 'starting', { initialised: true });
    expect(placed(view)).toEqual(['web-1', 'web-2', 'web-3']);
    expect(chosen(view)).toEqual(['web-1']);
    expect(view.services.get('web')?.initialisedVersion).toBe(1);
  });

  test('are given to the next task when the first has failed', () => {
    const view = after(scheduled(three), 'web-1', 'failed');
    expect(chosen(view)).toEqual(['web-1', 'web-2']);
    expect(placed(view)).toEqual(['web-1', 'web-2']);
  });

  test('are given to the next task when the host of the first is lost', () => {
    const first = scheduled(three);
    const down = [...first.nodes.values()].map((node) =>
      node.id === first.tasks.get('web-1')?.nodeId
        ? sampleNode(node.id, { status: { state: 'down', since: 0, message: '' } })
        : node,
    );
    expect(chosen(scheduled([...first.tasks.values()], web, down))).toEqual(['web-1', 'web-2']);
  });

  test('do not run again for a restart or for more replicas', () => {
    const service = { ...web, initialisedVersion: 1 };
    const view = scheduled(three, service);
    expect(placed(view)).toEqual(['web-1', 'web-2', 'web-3']);
    expect(chosen(view)).toEqual([]);
  });

  test('run once more for a new version, and not for what is left of the old one', () => {
    const service = { ...web, specVersion: 2, initialisedVersion: 1 };
    const view = scheduled(
      [pending(service, 1), pending(service, 2), pending(service, 3, { specVersion: 1 })],
      service,
    );
    expect(chosen(view)).toEqual(['web-1']);
    expect(placed(view)).toEqual(['web-1', 'web-3']);
  });

  test('do not run for a version whose template tasks of an older one have already', () => {
    const running = pending(web, 1, { nodeId: 'a', status: { state: 'running', at: 0, message: '' } });
    const view = scheduled([running, pending(web, 2)]);
    expect(placed(view)).toEqual(['web-1', 'web-2']);
    expect(chosen(view)).toEqual([]);
  });

  test('hold nobody back while the first of them finds no node', () => {
    const view = scheduled(three, web, []);
    expect(view.tasks.get('web-3')?.status.message).toBe('no suitable node: the cluster has no nodes');
  });
});

test('init containers of each replica hold nobody back', () => {
  const container = sampleContainer({ preStart: [{ ...preStart[0]!, perReplica: true }] });
  const service = sampleService('web', { task: sampleTemplate({ container }) });
  const view = scheduled(
    [1, 2].map((slot) => pending(service, slot)),
    service,
  );
  expect(placed(view)).toHaveLength(2);
  expect(chosen(view)).toEqual([]);
});
