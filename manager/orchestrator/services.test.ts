import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { isTerminal, isWanted, type Task, type TaskState } from '../../src/spec/task.ts';
import { seededRandom } from '../../src/util/random.ts';
import { sampleNode } from '../../test/samples.ts';
import { plainService } from '../../test/simulation/world.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { planReaping, orphanAfterMs, removeFromDownNodeAfterMs } from './reaper.ts';
import { planRemoval } from './removal.ts';
import { planServices } from './services.ts';

const random = seededRandom(7);
const meta = (id: string) => ({ id, createdAt: 0, updatedAt: 0, revision: 1 });

function node(id: string, state: Node['status']['state'] = 'ready'): Node {
  return {
    ...meta(id),
    role: 'worker',
    availability: 'active',
    labels: {},
    status: { state, since: 0, message: '' },
  };
}

function service(changes: Partial<Service> = {}, spec: Partial<ServiceSpec> = {}): Service {
  return {
    ...meta('web'),
    spec: plainService('web', spec),
    versions: [{ version: 1, cause: 'up', state: 'completed', createdAt: 0 }],
    specVersion: 1,
    dependenciesMet: true,
    removing: false,
    ...changes,
  };
}

function task(slot: number, state: TaskState, changes: Partial<Task> = {}): Task {
  return {
    ...meta(`task${slot}`),
    application: 'sim',
    serviceId: 'web',
    serviceName: 'web',
    slot,
    nodeId: 'n1',
    specVersion: 1,
    template: plainService('web').task,
    desiredState: 'running',
    status: { state, at: 0, message: '' },
    attachments: [],
    ...changes,
  };
}

/** Plans and applies until nothing changes. */
function settle(view: MutableView, now: number): void {
  for (let passes = 0; passes < 10; passes++) {
    const { plan } = planServices(view, now, random);
    if (plan.length === 0) return;
    applyPlan(view, plan);
  }
  throw new Error('does not come to rest');
}

const wantedTasks = (view: MutableView) => [...view.tasks.values()].filter(isWanted);

test('whatever the tasks are, one pass of a replicated service wants as many slots as replicas, and then rests', () => {
  const states = fc.constantFrom<TaskState>(
    'new',
    'pending',
    'assigned',
    'ready',
    'running',
    'failed',
    'shutdown',
  );
  const desired = fc.constantFrom<Task['desiredState']>('ready', 'running', 'shutdown', 'remove');
  const tasks = fc.array(fc.record({ slot: fc.integer({ min: 1, max: 6 }), state: states, desired }), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(tasks, fc.integer({ min: 0, max: 6 }), fc.boolean(), (given, replicas, nodeDown) => {
      const view = viewOf({
        nodes: [node('n1', nodeDown ? 'down' : 'ready'), node('n2')],
        services: [service({}, { mode: { kind: 'replicated', replicas } })],
        tasks: given.map(({ slot, state, desired }, index) =>
          task(slot, state, { id: `t${index}`, createdAt: index, desiredState: desired }),
        ),
      });
      settle(view, 1_000);
      const wanted = wantedTasks(view);
      expect(new Set(wanted.map((each) => each.slot)).size).toBe(replicas);
      expect(wanted.length).toBe(replicas);
      // One that is awaited fills no slot; there is one at most, and only on a node that is down.
      const awaited = [...view.tasks.values()].filter((each) => each.awaited === true);
      expect(new Set(awaited.map((each) => each.slot)).size).toBe(awaited.length);
      if (!nodeDown) expect(awaited).toEqual([]);
    }),
  );
});

test('planning again from the same view and time gives the same wishes', () => {
  const view = viewOf({
    nodes: [node('n1')],
    services: [service({}, { mode: { kind: 'replicated', replicas: 3 } })],
  });
  const wishes = () =>
    planServices(view, 5, seededRandom(1))
      .plan.flat()
      .map((change) => [change.action, change.object]);
  expect(wishes()).toEqual(wishes());
});

test('a pass says when a held task is due, and starts it then', () => {
  const view = viewOf({ nodes: [node('n1')], services: [service()], tasks: [task(1, 'failed')] });
  const first = planServices(view, 10_000, random);
  expect([...first.due.values()]).toEqual([15_000]);
  applyPlan(view, first.plan);
  expect(planServices(view, 14_999, random)).toMatchObject({ plan: [], due: first.due });
  expect(planServices(view, 15_000, random).plan.flat()).toMatchObject([
    { action: 'update', object: { slot: 1, desiredState: 'running' } },
  ]);
});

test('a service whose object is damaged is left as it is, and all others are planned', () => {
  const damaged = { ...service({ id: 'damaged', spec: plainService('damaged') }) };
  damaged.spec = { ...damaged.spec, mode: undefined as never };
  const view = viewOf({ nodes: [node('n1')], services: [damaged, service()] });
  const { plan, faults } = planServices(view, 0, random);
  expect(faults!.of('service', 'damaged')).toBeDefined();
  expect([...faults!].length).toBe(1);
  expect(plan.flat().length).toBeGreaterThan(0);
});

test('an unreadable constraint holds back its own service and nothing else', () => {
  const broken = plainService('broken', { mode: { kind: 'global' } });
  broken.task.placement = { constraints: ['what?'], maxReplicasPerNode: 0 };
  const view = viewOf({ nodes: [node('n1')], services: [service({ id: 'other', spec: broken }), service()] });
  settle(view, 0);
  expect(wantedTasks(view).map((each) => each.serviceId)).toEqual(['web']);
});

test('a group never has more changes than the store takes', () => {
  const view = viewOf({
    nodes: [node('n1')],
    services: [service({}, { mode: { kind: 'replicated', replicas: 999 } })],
  });
  const { plan } = planServices(view, 0, random);
  expect(plan.flat().length).toBe(999);
  expect(Math.max(...plan.map((group) => group.length))).toBeLessThanOrEqual(200);
});

test('a task whose service is gone is told to vanish, and a removing network goes with its last task', () => {
  const template = { ...plainService('web').task, networks: [{ name: 'sim_default', aliases: [] }] };
  const network = {
    ...meta('net'),
    spec: { name: 'sim_default', application: 'sim', labels: {}, internal: false },
    bridgeAddresses: {},
    removing: true,
  };
  const view = viewOf({ networks: [network], tasks: [task(1, 'running', { template })] });
  expect(planRemoval(view).flat()).toMatchObject([{ kind: 'task', object: { desiredState: 'remove' } }]);
  view.remove('task', 'task1');
  expect(planRemoval(view).flat()).toMatchObject([{ kind: 'network', action: 'delete' }]);
});

test('a task that has ended does not hold a network that its service has left', () => {
  const template = { ...plainService('web').task, networks: [{ name: 'sim_old', aliases: [] }] };
  const attachments = [{ networkId: 'net', address: '10.0.0.2', aliases: [] }];
  const network = {
    ...meta('net'),
    spec: { name: 'sim_old', application: 'sim', labels: {}, internal: false },
    bridgeAddresses: {},
    removing: true,
  };
  const left = (state: TaskState) =>
    planRemoval(
      viewOf({
        networks: [network],
        services: [service()],
        tasks: [task(1, state, { template, attachments })],
      }),
    ).flat();
  expect(left('running')).toEqual([]);
  expect(left('shutdown')).toMatchObject([{ kind: 'network', action: 'delete' }]);
});

test('a task nobody has is ended by the manager, and one on a node that is away only after long', () => {
  const tasks = [
    task(1, 'pending', { desiredState: 'shutdown' }),
    task(2, 'running', { desiredState: 'remove' }),
    task(3, 'running', { desiredState: 'shutdown' }),
  ];
  const view = viewOf({ nodes: [node('n1', 'down')], services: [service()], tasks });
  const early = planReaping(view, 1_000);
  expect([...early.due.values()]).toEqual([removeFromDownNodeAfterMs]);
  expect(early.plan.flat()).toMatchObject([{ object: { id: 'task1', status: { state: 'shutdown' } } }]);
  applyPlan(view, early.plan);
  applyPlan(view, planReaping(view, removeFromDownNodeAfterMs).plan);
  expect([...view.tasks.keys()].sort()).toEqual(['task1', 'task3']);
  applyPlan(view, planReaping(view, orphanAfterMs).plan);
  expect(view.tasks.get('task3')!.status.state).toBe('orphaned');
  expect([...view.tasks.values()].every((each) => isTerminal(each.status.state))).toBe(true);
});

test('an update stops no old task for a new one that only waits for another to run the init containers', () => {
  const preStart = [{ command: ['migrate'], environment: {}, perReplica: false }];
  const plain = plainService('web', { mode: { kind: 'replicated', replicas: 2 } });
  const template = {
    ...plain.task,
    reservations: { memoryBytes: 1 },
    container: { ...plain.task.container, preStart },
  };
  const web = service({ specVersion: 2, initialisedVersion: 1 }, { ...plain, task: template });
  const held = task(2, 'pending', { id: 'new2', specVersion: 2, template, desiredState: 'ready' });
  const first = task(1, 'starting', { id: 'new1', specVersion: 2, template, initialises: true });
  const stopped = (tasks: Task[]) => {
    const view = viewOf({ nodes: [node('n1')], services: [web], tasks });
    settle(view, 60_000);
    return view.tasks.get('task2')?.desiredState;
  };
  expect(stopped([task(2, 'running'), held, first])).toBe('running');
  expect(
    stopped([task(2, 'running'), held, { ...first, status: { ...first.status, state: 'failed' } }]),
  ).toBe('shutdown');
});

test('a global service has tasks on those nodes only that have its runtime', () => {
  const { task: plain } = plainService('web');
  const template = { ...plain, container: { ...plain.container, settings: { runtime: 'crun' } } };
  const description = { ...sampleNode('n').description!, runtimes: ['crun'] };
  const able = { ...node('n1'), description };
  const view = viewOf({
    nodes: [able, node('n2')],
    services: [service({}, { mode: { kind: 'global' }, task: template })],
  });
  settle(view, 0);
  expect(wantedTasks(view).map(({ nodeId }) => nodeId)).toEqual(['n1']);
});
