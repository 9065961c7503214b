import { expect, test } from 'vitest';
import type { Service, ServiceSpec, Sharing } from '../../src/spec/service.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView, type ViewObjects } from '../store/view.ts';
import { planSchedule } from './plan.ts';

const now = 10_000_000;
const gibibyte = 2 ** 30;
const nodes = ['a', 'b', 'c'].map((id) => sampleNode(id)); // 4 GiB each

/** A service beside `db`, whose network it joins unless said otherwise; it reserves so much memory. */
function beside(key: string, memoryGiB: number, sharing: Sharing | 'none' = { network: 'app_db' }): Service {
  const task = sampleTemplate({
    reservations: { memoryBytes: memoryGiB * gibibyte },
    placement: { constraints: [], maxReplicasPerNode: 0, with: 'app_db' },
    ...(sharing !== 'none' && { sharing }),
  });
  return sampleService(key, { task });
}

const leading = (memoryGiB: number, spec: Partial<ServiceSpec> = {}) =>
  sampleService('db', {
    task: sampleTemplate({ reservations: { memoryBytes: memoryGiB * gibibyte } }),
    ...spec,
  });

const pending = (service: Service, slot = 1, changes: Partial<Task> = {}) =>
  sampleTask(service, slot, { status: { state: 'pending', at: 0, message: '' }, ...changes });
const at = (service: Service, nodeId: string, state: TaskState, changes: Partial<Task> = {}) =>
  sampleTask(service, 1, { nodeId, status: { state, at: now, message: '' }, ...changes });

/** Memory taken on a node by somebody else. */
function other(nodeId: string, memoryGiB: number): { service: Service; task: Task } {
  const reservations = { memoryBytes: memoryGiB * gibibyte };
  const service = sampleService(`on-${nodeId}`, { task: sampleTemplate({ reservations }) });
  return { service, task: at(service, nodeId, 'running') };
}

/** The view once nothing is left to plan. */
function scheduled(objects: ViewObjects): MutableView {
  const view = viewOf({ nodes, ...objects });
  for (let passes = 0; passes < 10; passes++) {
    const plan = planSchedule(view, now);
    if (plan.length === 0) return view;
    applyPlan(view, plan);
  }
  throw new Error('does not come to rest');
}

const nodeOf = (view: MutableView, id: string) => view.tasks.get(id)?.nodeId;
const messageOf = (view: MutableView, id: string) => view.tasks.get(id)?.status.message;

test('the one that leads goes where there is room for those beside it as well', () => {
  const [db, proxy, busyA, busyB] = [leading(1), beside('proxy', 2), other('a', 2), other('b', 2)];
  const services = [db, proxy, busyA.service, busyB.service];
  const view = scheduled({ services, tasks: [pending(db), busyA.task, busyB.task] });
  expect(nodeOf(view, 'db-1')).toBe('c');
});

test('it says what is missing when there is no room for all', () => {
  const [db, proxy] = [leading(3), beside('proxy', 2)];
  const view = scheduled({ services: [db, proxy], tasks: [pending(db)] });
  expect(messageOf(view, 'db-1')).toBe(
    'no suitable node: insufficient memory (with app_proxy) on 3 nodes (5 GiB wanted, 4 GiB free on each)',
  );
});

test('it goes where the constraints of those beside it hold', () => {
  const [db, proxy] = [leading(0), beside('proxy', 0)];
  proxy.spec.task.placement.constraints = ['node.id == b'];
  const view = scheduled({ services: [db, proxy], tasks: [pending(db)] });
  expect(nodeOf(view, 'db-1')).toBe('b');
});

test('room for those to come is not given to others, in the same plan or a later one', () => {
  const [db, proxy, web] = [leading(1), beside('proxy', 2), sampleService('web')];
  web.spec.task.reservations = { memoryBytes: 2 * gibibyte };
  const one = [sampleNode('a')];
  const services = [db, proxy, web];
  const waits = 'no suitable node: insufficient memory on 1 node (2 GiB wanted, 1 GiB free)';
  const together = scheduled({
    nodes: one,
    services,
    tasks: [pending(db), pending(web, 1, { createdAt: 1 })],
  });
  expect(messageOf(together, 'web-1')).toBe(waits);
  const later = scheduled({ nodes: one, services, tasks: [at(db, 'a', 'running'), pending(web)] });
  expect(messageOf(later, 'web-1')).toBe(waits);
  const arrived = scheduled({
    nodes: one,
    services,
    tasks: [at(db, 'a', 'running'), pending(proxy), pending(web)],
  });
  expect(arrived.tasks.get('proxy-1')).toMatchObject({ nodeId: 'a', anchors: { app_db: 'db-1' } });
});

test('a task waits until what it shares with runs, and then goes there', () => {
  const [db, proxy] = [leading(0), beside('proxy', 0)];
  const waits = (task: Task | undefined) =>
    messageOf(
      scheduled({ services: [db, proxy], tasks: [pending(proxy), ...(task ? [task] : [])] }),
      'proxy-1',
    );
  expect(waits(undefined)).toBe('waiting for app_db.1 to be placed');
  expect(waits(at(db, 'b', 'starting'))).toBe('waiting for app_db.1 to run');
  expect(waits(at(db, 'b', 'running', { desiredState: 'shutdown' }))).toBe(
    'waiting for app_db.1 to be placed',
  );
  const view = scheduled({ services: [db, proxy], tasks: [pending(proxy), at(db, 'b', 'running')] });
  expect(view.tasks.get('proxy-1')).toMatchObject({ nodeId: 'b', anchors: { app_db: 'db-1' } });
});

test('it goes nowhere else, and says what keeps it from going there', () => {
  const [db, proxy, busy] = [leading(1), beside('proxy', 2), other('b', 2)];
  const services = [db, proxy, busy.service];
  const view = scheduled({ services, tasks: [pending(proxy), at(db, 'b', 'running'), busy.task] });
  expect(messageOf(view, 'proxy-1')).toBe(
    'must run with app_db.1 on b: insufficient memory (2 GiB wanted, 1 GiB free)',
  );
});

test('what does not fit beside the leading one does not keep out what does', () => {
  const [db, large, small] = [leading(1), beside('large', 3.5), beside('small', 1)];
  const tasks = [at(db, 'b', 'running'), pending(large), pending(small)];
  const view = scheduled({ services: [db, large, small], tasks });
  expect(nodeOf(view, 'small-1')).toBe('b');
  expect(messageOf(view, 'large-1')).toBe(
    'must run with app_db.1 on b: insufficient memory (3.5 GiB wanted, 2 GiB free)',
  );
});

test('of several that run, a task shares with the newest', () => {
  const [db, proxy] = [leading(0), beside('proxy', 0)];
  const tasks = [
    at(db, 'a', 'running', { id: 'old', createdAt: 1 }),
    at(db, 'b', 'running', { id: 'new', createdAt: 2 }),
    pending(proxy),
  ];
  const view = scheduled({ services: [db, proxy], tasks });
  expect(view.tasks.get('proxy-1')).toMatchObject({ nodeId: 'b', anchors: { app_db: 'new' } });
});

test('one that has ended, as an agent told of another task, is not shared with again', () => {
  const [db, proxy] = [leading(0), beside('proxy', 0)];
  const status = { state: 'shutdown', at: 0, message: '', endedWith: 'db-1' } as const;
  const gone = at(proxy, 'b', 'shutdown', { id: 'before', status, anchors: { app_db: 'db-1' } });
  const view = scheduled({ services: [db, proxy], tasks: [at(db, 'b', 'running'), gone, pending(proxy)] });
  expect(messageOf(view, 'proxy-1')).toBe('waiting for app_db.1 to run');
});

test('a service that only runs beside another needs it placed, and beyond its replicas goes anywhere', () => {
  const [db, extra] = [leading(0), beside('extra', 0, 'none')];
  const tasks = [at(db, 'c', 'starting'), pending(extra, 1), pending(extra, 2)];
  const view = scheduled({ services: [db, extra], tasks });
  expect(nodeOf(view, 'extra-1')).toBe('c');
  expect(view.tasks.get('extra-1')?.anchors).toBeUndefined();
  expect(view.tasks.get('extra-2')?.status.state).toBe('assigned');
});

test('global services are paired by their nodes', () => {
  const mode = { kind: 'global' } as const;
  const [db, proxy] = [leading(0, { mode }), beside('proxy', 0)];
  proxy.spec.mode = mode;
  const on = (nodeId: string) => ({ id: `proxy-${nodeId}`, nodeId });
  const tasks = [at(db, 'a', 'running', { slot: 0 }), pending(proxy, 0, on('a')), pending(proxy, 0, on('b'))];
  const view = scheduled({ services: [db, proxy], tasks });
  expect(view.tasks.get('proxy-a')?.anchors).toEqual({ app_db: 'db-1' });
  expect(messageOf(view, 'proxy-b')).toBe('waiting for app_db.b to run');
});
