import { expect, test } from 'vitest';
import type { Volume } from '../../src/spec/resource.ts';
import type { Mount, Service, ServiceSpec, TaskTemplate } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import {
  sampleContainer,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
  sampleVolume,
} from '../../test/samples.ts';
import type { View } from '../store/objects.ts';
import { applyPlan, viewOf, type MutableView, type ViewObjects } from '../store/view.ts';
import { planSchedule } from './plan.ts';

const now = 10_000_000;
const three = ['a', 'b', 'c'].map((id) => sampleNode(id));
const data = sampleVolume('data');

const volumeMount = (name: string): Mount => ({
  type: 'volume',
  source: `app_${name}`,
  target: `/${name}`,
  readOnly: false,
});

function withVolumes(names: string[], changes: Partial<TaskTemplate> = {}): TaskTemplate {
  return sampleTemplate({ container: sampleContainer({ mounts: names.map(volumeMount) }), ...changes });
}

function storing(name: string, volumes = ['data'], changes: Partial<ServiceSpec> = {}): Service {
  return sampleService(name, { task: withVolumes(volumes), ...changes });
}

const store = storing('store');
const home = (nodeId: string) => ({ nodeId, hostname: nodeId });

function pending(service: Service, slot: number, changes: Partial<Task> = {}): Task {
  return sampleTask(service, slot, { status: { state: 'pending', at: 0, message: '' }, ...changes });
}

/** The view once nothing is left to plan. */
function scheduled(objects: ViewObjects): MutableView {
  const view = viewOf(objects);
  for (let pass = 0; pass < 20; pass++) {
    const plan = planSchedule(view, now);
    if (plan.length === 0) return view;
    applyPlan(view, plan);
  }
  throw new Error('the scheduler does not come to rest');
}

const nodesOf = (view: View, ...ids: string[]) => ids.map((id) => view.tasks.get(id)?.nodeId);
const reasonOf = (view: View, id: string) => view.tasks.get(id)?.status.message;

/** Why a task of the service waits, its volumes being as given. */
function reasonFor(volumes: Volume[], nodes = three, service = store): string | undefined {
  return reasonOf(
    scheduled({ nodes, services: [service], volumes, tasks: [pending(service, 1)] }),
    `${service.id}-1`,
  );
}

test('the first task settles where a volume is, and all others with it go there', () => {
  const reader = storing('reader', ['data', 'index']);
  const tasks = [pending(store, 1), pending(store, 2), pending(reader, 1), pending(reader, 2)];
  const index = sampleVolume('index');
  const view = scheduled({ nodes: three, services: [store, reader], volumes: [data, index], tasks });
  expect(nodesOf(view, 'store-1', 'store-2', 'reader-1', 'reader-2')).toEqual(['a', 'a', 'a', 'a']);
  expect(view.volumes.get('data')).toMatchObject({ home: home('a'), nodeIds: ['a'] });
  expect(view.volumes.get('index')).toMatchObject({ home: home('a'), nodeIds: ['a'] });
});

test('a volume is settled in one group with the tasks that rely on it, and others are guarded by it', () => {
  const view = viewOf({ nodes: three, services: [store], volumes: [data], tasks: [pending(store, 1)] });
  const words = (plan: ReturnType<typeof planSchedule>) =>
    plan.map((group) => group.map(({ kind, action, object }) => `${action} ${kind} ${object.id}`));
  const plan = planSchedule(view, now);
  expect(words(plan)).toEqual([['update task store-1', 'update volume data']]);
  applyPlan(view, plan);
  view.put('task', pending(store, 2));
  expect(words(planSchedule(view, now))).toEqual([['update task store-2', 'check volume data']]);
});

test('services whose volumes are chained by a third settle all of them on one node', () => {
  const services = [storing('left', ['one']), storing('right', ['two']), storing('both', ['one', 'two'])];
  const volumes = ['one', 'two'].map((name) => sampleVolume(name));
  const [left, right, both] = services as [Service, Service, Service];
  const tasks = [
    pending(both, 1, { createdAt: 1 }),
    pending(left, 1, { createdAt: 2 }),
    pending(right, 1, { createdAt: 3 }),
  ];
  const view = scheduled({ nodes: three, services, volumes, tasks });
  expect(new Set(nodesOf(view, 'left-1', 'right-1', 'both-1')).size).toBe(1);
});

test('a task whose volumes are on two nodes waits, and says which is where', () => {
  const volumes = [sampleVolume('one', { home: home('a') }), sampleVolume('two', { home: home('b') })];
  expect(reasonFor(volumes, three, storing('both', ['one', 'two']))).toBe(
    'its volumes are on several nodes: app_one is on a, app_two is on b',
  );
});

test.each([
  [
    'drained',
    { availability: 'drain' },
    'volume app_data is on a, which is drained: activate a, or `shoal volume move app_data b`',
  ],
  [
    'paused',
    { availability: 'pause' },
    'volume app_data is on a, which is paused: activate a, or `shoal volume move app_data b`',
  ],
  [
    'away',
    { status: { state: 'down', since: 0, message: '' } },
    'volume app_data is on a, which is not ready',
  ],
  [
    'full',
    { conditions: [{ type: 'DiskFull', since: 0, message: '' }] },
    'volume app_data is on a: DiskFull',
  ],
] as const)('a task waits for the node of its volume while that is %s', (_, change, reason) => {
  const nodes = [sampleNode('a', change as never), ...three.slice(1)];
  expect(reasonFor([sampleVolume('data', { home: home('a'), nodeIds: ['a'] })], nodes)).toBe(reason);
});

test('when the node of a volume has been removed, its task says so and does not begin with an empty one', () => {
  const gone = sampleVolume('data', { home: { nodeId: 'x', hostname: 'old' }, nodeIds: ['x'] });
  expect(reasonFor([gone])).toBe(
    'volume app_data was on old, which has been removed: restore a backup, or see `shoal volume use`',
  );
});

test('nothing is placed while a volume is about to be on another node', () => {
  expect(reasonFor([sampleVolume('data', { held: true })])).toBe(
    'volume app_data is about to be on another node',
  );
});

test('a volume that is damaged or not there keeps its task waiting', () => {
  expect(reasonFor([])).toBe('volume app_data does not exist');
  const damaged = sampleVolume('data', { home: { nodeId: 5, hostname: 'a' } as never });
  expect(reasonFor([damaged])).toContain('volume app_data: home.nodeId is not a text');
});

test('a replacement does not begin beside one that was taken for lost and still runs', () => {
  const lost = sampleTask(store, 1, {
    id: 'lost',
    nodeId: 'a',
    desiredState: 'shutdown',
    status: { state: 'running', at: 1, message: '', startedAt: 1 },
  });
  const volumes = [sampleVolume('data', { home: home('a'), nodeIds: ['a'] })];
  const objects = { nodes: three, services: [store], volumes };
  const view = scheduled({ ...objects, tasks: [lost, pending(store, 1)] });
  expect(reasonOf(view, 'store-1')).toBe(
    'waiting for another app_store.1 to end on a, where volume app_data is',
  );
  view.put('task', { ...lost, status: { ...lost.status, state: 'shutdown' } });
  applyPlan(view, planSchedule(view, now));
  expect(nodesOf(view, 'store-1')).toEqual(['a']);
});

test('tasks of a global service have the copies of their nodes, and settle nothing', () => {
  const everywhere = storing('store', ['data'], { mode: { kind: 'global' } });
  const tasks = ['a', 'b'].map((nodeId) => pending(everywhere, 0, { id: `on-${nodeId}`, nodeId }));
  const view = scheduled({ nodes: three, services: [everywhere], volumes: [data], tasks });
  expect(nodesOf(view, 'on-a', 'on-b')).toEqual(['a', 'b']);
  expect(view.volumes.get('data')?.home).toBeUndefined();
  expect(view.volumes.get('data')?.nodeIds?.toSorted()).toEqual(['a', 'b']);
});

test('with a copy for each node, tasks are spread, and each returns to the node of the one before it in its slot', () => {
  const each = sampleVolume('data', { spec: { ...data.spec, perNode: true } });
  const before = (slot: number, nodeId: string, createdAt: number) =>
    sampleTask(store, slot, {
      id: `old-${slot}-${createdAt}`,
      nodeId,
      createdAt,
      status: { state: 'failed', at: now, message: '', startedAt: 1 },
    });
  const old = [before(1, 'a', 1), before(1, 'c', 2), before(2, 'b', 3)];
  const objects = { services: [store], volumes: [each] };
  const tasks = [...old, pending(store, 1, { createdAt: 4 }), pending(store, 2, { createdAt: 4 })];
  const view = scheduled({ ...objects, nodes: three, tasks });
  expect(nodesOf(view, 'store-1', 'store-2')).toEqual(['c', 'b']);
  expect(view.volumes.get('data')?.home).toBeUndefined();
  const nodes = [...three.slice(0, 2), sampleNode('c', { availability: 'drain' })];
  const without = scheduled({ ...objects, nodes, tasks: [...old, pending(store, 1, { createdAt: 4 })] });
  expect(nodesOf(without, 'store-1')).toEqual(['a']);
});

test('what runs beside others settles its volumes with the one that leads', () => {
  const leader = sampleService('leader');
  const beside = sampleService('beside', {
    task: withVolumes(['data'], {
      placement: { constraints: [], maxReplicasPerNode: 0, with: 'app_leader' },
    }),
  });
  const tasks = [pending(leader, 1), pending(store, 1, { createdAt: 1 })];
  const services = [leader, beside, store];
  const nodes = [sampleNode('a', { availability: 'pause' }), ...three.slice(1)];
  const view = scheduled({ nodes, services, volumes: [data], tasks });
  expect(nodesOf(view, 'leader-1', 'store-1')).toEqual(['b', 'b']);
  view.put('task', pending(beside, 1));
  applyPlan(view, planSchedule(view, now));
  expect(nodesOf(view, 'beside-1')).toEqual(['b']);
});

test('a volume with options is where they say, and ties no task to a node', () => {
  const driverOptions = { type: 'nfs', o: 'addr=192.0.2.9', device: ':/v' };
  const mounts = [{ ...volumeMount('data'), driverOptions } as Mount];
  const shared = sampleService('store', { task: sampleTemplate({ container: sampleContainer({ mounts }) }) });
  const volumes = [sampleVolume('data', { spec: { ...data.spec, driverOptions } })];
  const tasks = [pending(shared, 1), pending(shared, 2)];
  const view = scheduled({ nodes: three, services: [shared], volumes, tasks });
  expect(nodesOf(view, 'store-1', 'store-2')).toEqual(['a', 'b']);
  expect(view.volumes.get('data')).toEqual(volumes[0]);
});

test('thousands of replicas with one volume are placed, some hundred at a time', () => {
  const slots = Array.from({ length: 2_000 }, (_, index) => index + 1);
  const tasks = slots.map((slot) => pending(store, slot));
  const view = scheduled({ nodes: three, services: [store], volumes: [data], tasks });
  expect(new Set(view.tasks.values().map(({ nodeId }) => nodeId))).toEqual(new Set(['a']));
  const plan = planSchedule(viewOf({ nodes: three, services: [store], volumes: [data], tasks }), now);
  for (const group of plan) expect(group.length).toBeLessThanOrEqual(1_000);
});
