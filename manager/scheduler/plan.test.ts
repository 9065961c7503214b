import { describe, expect, test } from 'vitest';
import { missingHostPath } from '../../src/spec/host-path.ts';
import type { NodeConditionType } from '../../src/spec/node.ts';
import type { Service, TaskTemplate } from '../../src/spec/service.ts';
import type { ContainerSettings } from '../../src/spec/settings.ts';
import type { Task, TaskState } from '../../src/spec/task.ts';
import type { View } from '../store/objects.ts';
import {
  sampleContainer,
  sampleNetwork,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView, type ViewObjects } from '../store/view.ts';
import { planSchedule } from './plan.ts';

const now = 10_000_000;
const gibibyte = 2 ** 30;

function pending(service: Service, slot: number, changes: Partial<Task> = {}): Task {
  return sampleTask(service, slot, { status: { state: 'pending', at: 0, message: '' }, ...changes });
}

function at(
  service: Service,
  slot: number,
  nodeId: string,
  state: TaskState,
  changes: Partial<Task> = {},
): Task {
  return sampleTask(service, slot, { nodeId, status: { state, at: now, message: '' }, ...changes });
}

/** The view after one plan; there must be nothing left to plan. */
function scheduled(objects: ViewObjects): MutableView {
  const view = viewOf(objects);
  applyPlan(view, planSchedule(view, now));
  expect(planSchedule(view, now)).toEqual([]);
  return view;
}

const nodeOf = (view: View, id: string) => view.tasks.get(id)?.nodeId;
const messageOf = (view: View, id: string) => view.tasks.get(id)?.status.message;
const three = ['a', 'b', 'c'].map((id) => sampleNode(id));
const web = sampleService('web');

/** What is said of a task with this template on these nodes. */
function reasonFor(template: Partial<TaskTemplate>, objects: ViewObjects): string | undefined {
  const service = sampleService('web', { task: sampleTemplate(template) });
  const services = [service, ...(objects.services ?? [])];
  const tasks = [pending(service, 1), ...(objects.tasks ?? [])];
  return messageOf(scheduled({ ...objects, services, tasks }), 'web-1');
}

describe('spread over labels', () => {
  const node = (id: string, zone?: string, rack?: string) =>
    sampleNode(id, { labels: { ...(zone && { zone }), ...(rack && { rack }) } });

  /** On which node each of the service's so many tasks comes, in order of slots. */
  function placed(spread: string[], objects: ViewObjects, count: number): (string | undefined)[] {
    const placement = { constraints: [], maxReplicasPerNode: 0, spread };
    const service = sampleService('web', { task: sampleTemplate({ placement }) });
    const slots = Array.from({ length: count }, (_, index) => index + 1);
    const tasks = [...(objects.tasks ?? []), ...slots.map((slot) => pending(service, slot))];
    const view = scheduled({ ...objects, services: [service], tasks });
    return slots.map((slot) => nodeOf(view, `web-${slot}`));
  }

  test('each value gets as many tasks, however many nodes have it', () => {
    const nodes = [node('a', 'east'), node('b', 'east'), node('c', 'east'), node('d', 'west')];
    const where = placed(['node.labels.zone'], { nodes }, 6);
    expect(where.filter((id) => id === 'd')).toHaveLength(3);
    expect(new Set(where)).toEqual(new Set(['a', 'b', 'c', 'd']));
  });

  test('nodes without the label are one value', () => {
    const nodes = [node('a', 'east'), node('b'), node('c')];
    expect(placed(['node.labels.zone'], { nodes }, 4).filter((id) => id === 'a')).toHaveLength(2);
  });

  test('within a value the second label spreads', () => {
    const nodes = [
      node('a', 'east', '1'),
      node('b', 'east', '1'),
      node('c', 'east', '2'),
      node('d', 'west', '1'),
    ];
    const where = placed(['node.labels.zone', 'node.labels.rack'], { nodes }, 8);
    expect(where.filter((id) => id === 'd')).toHaveLength(4);
    expect(where.filter((id) => id === 'c')).toHaveLength(2);
    expect(where.filter((id) => id === 'a' || id === 'b')).toHaveLength(2);
  });

  test('tasks that run already count, and a value without room is passed by', () => {
    const nodes = [
      node('a', 'east'),
      node('b', 'west'),
      { ...node('c', 'north'), availability: 'drain' as const },
    ];
    const running = at(sampleService('web'), 9, 'a', 'running');
    expect(placed(['node.labels.zone'], { nodes, tasks: [running] }, 3)).toEqual(['b', 'a', 'b']);
  });
});

describe('ranking', () => {
  test('a pending task is assigned, and says where', () => {
    const view = scheduled({ nodes: [sampleNode('a')], services: [web], tasks: [pending(web, 1)] });
    expect(view.tasks.get('web-1')).toMatchObject({
      nodeId: 'a',
      status: { state: 'assigned', at: now, message: 'assigned to a' },
    });
  });

  test('tasks of a service are spread, and nodes with fewer tasks in all come first', () => {
    const other = sampleService('other');
    const view = scheduled({
      nodes: three,
      services: [web, other],
      tasks: [
        at(other, 1, 'a', 'running'),
        at(web, 9, 'c', 'running'),
        ...[1, 2, 3].map((slot) => pending(web, slot)),
      ],
    });
    expect([1, 2, 3].map((slot) => nodeOf(view, `web-${slot}`))).toEqual(['b', 'a', 'b']);
  });

  test('tasks on their way out and tasks that ended do not count when tasks are spread', () => {
    const view = scheduled({
      nodes: [sampleNode('a'), sampleNode('b')],
      services: [web],
      tasks: [
        at(web, 8, 'a', 'running', { desiredState: 'shutdown' }),
        at(web, 9, 'a', 'complete'),
        at(web, 7, 'b', 'running'),
        pending(web, 1),
      ],
    });
    expect(nodeOf(view, 'web-1')).toBe('a');
  });

  test('of equal nodes the one where this version failed less comes first', () => {
    const view = scheduled({
      nodes: three,
      services: [web],
      tasks: [at(web, 8, 'a', 'failed'), at(web, 9, 'c', 'failed', { specVersion: 0 }), pending(web, 1)],
    });
    expect(nodeOf(view, 'web-1')).toBe('b');
  });

  test('a node where this version failed five times within five minutes comes last', () => {
    const nodes = [sampleNode('a'), sampleNode('b')];
    const place = (failures: number, agoMs: number) => {
      const failed = Array.from({ length: failures }, (_, index) =>
        at(web, 1, 'a', 'failed', {
          id: `f${index}`,
          status: { state: 'failed', at: now - agoMs, message: '' },
        }),
      );
      const tasks = [...failed, at(web, 2, 'b', 'running'), pending(web, 1)];
      return nodeOf(scheduled({ nodes, services: [web], tasks }), 'web-1');
    };
    expect([place(4, 0), place(5, 0), place(5, 5 * 60_000)]).toEqual(['a', 'b', 'a']);
  });
});

describe('filters', () => {
  test('without nodes the reason says so', () => {
    expect(reasonFor({}, {})).toBe('no suitable node: the cluster has no nodes');
  });

  test('the reason counts nodes by the first filter that each fails, the most frequent first', () => {
    const constraints = ['node.labels.disk==ssd'];
    const labels = { disk: 'ssd' };
    const nodes = [sampleNode('a'), sampleNode('b', { labels }), sampleNode('c', { labels })];
    expect(
      reasonFor(
        { placement: { constraints, maxReplicasPerNode: 0 }, reservations: { memoryBytes: 5 * gibibyte } },
        { nodes },
      ),
    ).toBe(
      'no suitable node: insufficient memory on 2 nodes (5 GiB wanted, 4 GiB free on each), constraint node.labels.disk == ssd on 1',
    );
  });

  test('nodes that are not ready, drained or paused get nothing', () => {
    const nodes = [
      sampleNode('a', { status: { state: 'down', since: 0, message: '' } }),
      sampleNode('b', { status: { state: 'unknown', since: 0, message: '' } }),
      sampleNode('c', { availability: 'drain' }),
      sampleNode('d', { availability: 'pause' }),
    ];
    expect(reasonFor({}, { nodes })).toBe(
      'no suitable node: not ready on 2 nodes, drained on 1, paused on 1',
    );
  });

  test('nodes with a condition that keeps tasks away get nothing; other conditions are no reason', () => {
    const having = (type: NodeConditionType) => ({ conditions: [{ type, since: 0, message: 'why' }] });
    const nodes = [sampleNode('a', having('DiskFull')), sampleNode('b', having('EngineSlow'))];
    expect(reasonFor({}, { nodes })).toBe('no suitable node: DiskFull on 1 node, EngineSlow on 1');
    const task = pending(web, 1);
    const skewed = { nodes: [sampleNode('a', having('ClockSkewed'))], services: [web], tasks: [task] };
    expect(nodeOf(scheduled(skewed), task.id)).toBe('a');
  });

  test.each([
    'DiskFull',
    'NetworkBroken',
    'EngineSlow',
    'ForeignFirewall',
    'AddressChanged',
    'AgentStalled',
    'Unreachable',
  ] as const)('a node with the condition %s gets nothing', (type) => {
    const nodes = [sampleNode('a', { conditions: [{ type, since: 0, message: 'why' }] })];
    expect(reasonFor({}, { nodes })).toBe(`no suitable node: ${type} on 1 node`);
  });

  test('a node that is itself on a network with the same addresses gets nothing', () => {
    const node = sampleNode('a');
    node.description!.underlay = { mtuBytes: 1500, connected: ['10.64.0.0/22'], routed: [] };
    const network = sampleNetwork('net', '10.64.0.0/20', {
      subnet: '10.64.0.0/20',
      bridgeAddresses: { a: '10.64.0.1' },
    });
    expect(
      reasonFor({ networks: [{ name: 'app_net', aliases: [] }] }, { nodes: [node], networks: [network] }),
    ).toBe('no suitable node: subnet 10.64.0.0/20 of network app_net in use by the host itself on 1 node');
  });

  test('a constraint that cannot be read is the reason', () => {
    const placement = { constraints: ['disk = ssd'], maxReplicasPerNode: 0 };
    expect(reasonFor({ placement }, { nodes: three })).toContain('Cannot read the placement constraint');
  });

  test('a task keeps away from nodes that have just lacked a source of its bind mounts, which are named', () => {
    const mounts = [
      { type: 'bind', source: '/srv/app', target: '/app', readOnly: true, createHostPath: false } as const,
    ];
    const service = sampleService('web', {
      task: sampleTemplate({ container: sampleContainer({ mounts }) }),
    });
    const missing = (nodeId: string, agoMs = 0) =>
      at(service, 1, nodeId, 'rejected', {
        id: `on-${nodeId}`,
        status: {
          state: 'rejected',
          at: now - agoMs,
          message: '',
          error: { code: 'failed_precondition', message: missingHostPath('/srv/app') },
        },
      });
    const place = (...tasks: Task[]) =>
      scheduled({ nodes: three, services: [service], tasks: [...tasks, pending(service, 1)] });
    expect(nodeOf(place(missing('a'), missing('b')), 'web-1')).toBe('c');
    const nowhere = place(missing('a'), missing('b'), missing('c'));
    expect(messageOf(nowhere, 'web-1')).toBe('no suitable node: no /srv/app on 3 nodes (a, b, c)');
    expect(nodeOf(place(missing('a', 60_000), missing('b'), missing('c')), 'web-1')).toBe('a');
  });

  test('a node that lacks the runtime or a device is none', () => {
    const nodes = ['a', 'b'].map((id) =>
      sampleNode(id, {
        description: { ...sampleNode(id).description!, runtimes: ['runc'], cdiDevices: ['a.b/c=d'] },
      }),
    );
    const asking = (settings: ContainerSettings) =>
      reasonFor({ container: { ...sampleTemplate().container, settings } }, { nodes });
    expect(asking({ runtime: 'crun' })).toBe('no suitable node: no runtime crun on 2 nodes');
    expect(asking({ cdi: [{ device: 'a.b/c=e' }] })).toBe('no suitable node: no device a.b/c=e on 2 nodes');
    expect(asking({ cdi: [{ device: 'a.b/c=d' }], runtime: 'runc' })).toBe('assigned to a');
  });

  test('reservations of tasks that have not ended are in use, also of those on their way out', () => {
    const half = sampleTemplate({ reservations: { memoryBytes: 3 * gibibyte, nanoCpus: 1e9 } });
    const other = sampleService('other', { task: half });
    const objects = (state: TaskState) => ({
      nodes: [sampleNode('a')],
      services: [other],
      tasks: [at(other, 1, 'a', state, { desiredState: 'shutdown' })],
    });
    expect(reasonFor(half, objects('running'))).toBe(
      'no suitable node: insufficient memory on 1 node (3 GiB wanted, 1 GiB free)',
    );
    expect(reasonFor({ reservations: { nanoCpus: 1.5e9 } }, objects('running'))).toContain(
      'insufficient CPU',
    );
    expect(reasonFor(half, objects('shutdown'))).toBe('assigned to a');
  });

  test('one port is opened once on a host, be it by a task or by a service on every host', () => {
    const hostPorts = [{ target: 80, published: 8080, protocol: 'tcp' as const, mode: 'host' as const }];
    const other = sampleService('other', { task: sampleTemplate({ hostPorts }) });
    const nodes = [sampleNode('a')];
    const reason = 'no suitable node: port 8080/tcp in use on 1 node';
    expect(
      reasonFor({ hostPorts }, { nodes, services: [other], tasks: [at(other, 1, 'a', 'running')] }),
    ).toBe(reason);
    const endpoint = {
      virtualAddresses: {},
      ports: [{ target: 80, published: 8080, protocol: 'tcp' as const }],
    };
    const ingress = sampleService('ingress', {}, { endpoint });
    expect(reasonFor({ hostPorts }, { nodes, services: [ingress] })).toBe(reason);
  });

  test('a port of one address of a host leaves those of others free', () => {
    const port = { target: 80, published: 8080, protocol: 'tcp', mode: 'host' } as const;
    const [loopback, outer] = [[{ ...port, address: '127.0.0.1' }], [{ ...port, address: '192.0.2.1' }]];
    const other = sampleService('other', { task: sampleTemplate({ hostPorts: loopback }) });
    const objects = { nodes: [sampleNode('a')], services: [other], tasks: [at(other, 1, 'a', 'running')] };
    expect(reasonFor({ hostPorts: outer }, objects)).toBe('assigned to a');
    expect(reasonFor({ hostPorts: loopback }, objects)).toBe(
      'no suitable node: port 127.0.0.1:8080/tcp in use on 1 node',
    );
  });

  test('no node gets more replicas than it may', () => {
    const placement = { constraints: [], maxReplicasPerNode: 1 };
    const service = sampleService('web', { task: sampleTemplate({ placement }) });
    const tasks = [1, 2, 3].map((slot) => pending(service, slot));
    const view = scheduled({ nodes: three.slice(0, 2), services: [service], tasks });
    expect([1, 2, 3].map((slot) => nodeOf(view, `web-${slot}`))).toEqual(['a', 'b', undefined]);
    expect(messageOf(view, 'web-3')).toBe('no suitable node: max replicas per node (1) reached on 2 nodes');
  });

  test('a node without a bridge on the network of the task waits for the allocator', () => {
    const networks = [{ name: 'app_net', aliases: [] }];
    const network = sampleNetwork('net', undefined, { bridgeAddresses: { b: '10.64.0.1' } });
    const objects = { nodes: three.slice(0, 1), networks: [network] };
    expect(reasonFor({ networks }, objects)).toContain('no bridge address for network app_net on 1 node');
    expect(reasonFor({ networks }, { ...objects, nodes: three })).toBe('assigned to b');
  });

  test('the task of a global service is only checked on its own node', () => {
    const global = sampleService('agent', { mode: { kind: 'global' } });
    const tasks = [
      pending(global, 0, { id: 'here', nodeId: 'b' }),
      pending(global, 0, { id: 'there', nodeId: 'd' }),
      pending(global, 0, { id: 'gone', nodeId: 'x' }),
    ];
    const nodes = [...three, sampleNode('d', { availability: 'pause' })];
    const view = scheduled({ nodes, services: [global], tasks });
    expect(nodeOf(view, 'here')).toBe('b');
    expect(view.tasks.get('here')?.status.state).toBe('assigned');
    expect(messageOf(view, 'there')).toBe('no suitable node: paused on d');
    expect(messageOf(view, 'gone')).toBe('no suitable node: its node is gone');
  });

  test('a waiting task is placed once a node returns', () => {
    const down = sampleNode('a', { status: { state: 'down', since: 0, message: '' } });
    const view = scheduled({ nodes: [down], services: [web], tasks: [pending(web, 1)] });
    expect(messageOf(view, 'web-1')).toBe('no suitable node: not ready on 1 node');
    view.put('node', sampleNode('a'));
    applyPlan(view, planSchedule(view, now));
    expect(nodeOf(view, 'web-1')).toBe('a');
  });
});

describe('what holds tasks back', () => {
  const endpoint = { virtualAddresses: {}, ports: [] };

  test('tasks that nobody wants to run, or that are not allocated, are left alone', () => {
    const tasks = [pending(web, 1, { desiredState: 'remove' }), sampleTask(web, 2)];
    expect(planSchedule(viewOf({ nodes: three, services: [web], tasks }), now)).toEqual([]);
  });

  test('an allocation error of the service is the reason on its pending tasks', () => {
    const failed = sampleService(
      'web',
      {},
      { allocationError: 'port 80/tcp is already published by service x' },
    );
    const view = scheduled({ nodes: three, services: [failed], tasks: [pending(failed, 1)] });
    expect(messageOf(view, 'web-1')).toBe('port 80/tcp is already published by service x');
  });

  test.each([
    ['started', 'starting', 'waiting for app_store to start'],
    ['started', 'running', undefined],
    ['started', 'complete', undefined],
    ['healthy', 'starting', 'waiting for app_store to be healthy'],
    ['healthy', 'running', undefined],
    ['healthy', 'complete', 'waiting for app_store to be healthy'],
    ['completed', 'running', 'waiting for app_store to complete'],
    ['completed', 'failed', 'waiting for app_store to complete'],
    ['completed', 'complete', undefined],
  ] as const)('a dependency %s while the other task is %s', (condition, state, reason) => {
    const store = sampleService('store');
    const dependsOn = [{ service: 'app_store', condition }];
    const service = sampleService('web', { dependsOn }, { dependenciesMet: false, endpoint });
    const view = scheduled({
      nodes: three,
      services: [store, service],
      tasks: [at(store, 1, 'a', state), pending(service, 1)],
    });
    expect(view.services.get('web')?.dependenciesMet).toBe(reason === undefined);
    expect(messageOf(view, 'web-1')).toMatch(reason ?? /^assigned to/);
  });

  test('a service is left to the allocator first', () => {
    const service = sampleService('web', {}, { dependenciesMet: false });
    expect(planSchedule(viewOf({ nodes: three, services: [service] }), now)).toEqual([]);
    const view = scheduled({ nodes: three, services: [{ ...service, endpoint }] });
    expect(view.services.get('web')?.dependenciesMet).toBe(true);
  });

  test('all dependencies that do not hold are named, and one that held once is not looked at again', () => {
    const dependsOn = [
      { service: 'app_store', condition: 'healthy' as const },
      { service: 'app_job', condition: 'completed' as const },
    ];
    const service = sampleService('web', { dependsOn }, { dependenciesMet: false, endpoint });
    const view = scheduled({ nodes: three, services: [service], tasks: [pending(service, 1)] });
    expect(messageOf(view, 'web-1')).toBe('waiting for app_store to be healthy and app_job to complete');
    view.put('service', { ...service, dependenciesMet: true });
    applyPlan(view, planSchedule(view, now));
    expect(nodeOf(view, 'web-1')).toBe('a');
  });
});
