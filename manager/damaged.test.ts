import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { ApplicationSpec } from '../src/spec/application.ts';
import type { Network } from '../src/spec/network.ts';
import type { Node } from '../src/spec/node.ts';
import type { Service } from '../src/spec/service.ts';
import type { Task } from '../src/spec/task.ts';
import { seededRandom } from '../src/util/random.ts';
import {
  sampleContainer,
  sampleNetwork,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../test/samples.ts';
import { FakeClock } from '../test/simulation/world.ts';
import { allocate } from './allocator/plan.ts';
import { planApply, planRemove } from './api/apply.ts';
import { planCleanup } from './api/janitor.ts';
import { applicationStatus } from './api/status.ts';
import { Assigner, type Recipient } from './dispatcher/assigner.ts';
import { SentState } from './dispatcher/knowledge.ts';
import { planReaping } from './orchestrator/reaper.ts';
import { planRemoval } from './orchestrator/removal.ts';
import { Scope } from './orchestrator/scope.ts';
import { planServices } from './orchestrator/services.ts';
import { planSchedule } from './scheduler/plan.ts';
import { damageOf, damageReason } from './store/damage.ts';
import { openDatabase } from './store/database.ts';
import { Faults } from './store/isolate.ts';
import { createMemoryStore } from './store/memory.ts';
import { missingTemplate } from './store/templates.ts';
import { applyPlan, viewOf, type MutableView } from './store/view.ts';

/** The objects of an application beside the healthy one, one of which is damaged. */
interface Beside {
  service: Service;
  task: Task;
  network: Network;
  node: Node;
}

const attached = (networkId: string, address: string) => [{ networkId, address, aliases: [] }];

/** The running task is on the given node. */
function beside(nodeId = 'n2'): Beside {
  const network = sampleNetwork('bad', undefined, {
    createdAt: 5,
    spec: { name: 'bad_net', application: 'bad', labels: {}, internal: false },
    subnet: '192.168.99.0/24',
    vni: 9_000,
    bridgeAddresses: { n1: '192.168.99.1', n2: '192.168.99.2' },
  });
  const template = sampleTemplate({
    container: sampleContainer({
      mounts: [{ type: 'volume', source: 'data', target: '/data', readOnly: false }],
    }),
    networks: [{ name: 'bad_net', aliases: [] }],
  });
  const spec = { name: 'bad_bad', application: 'bad', task: template };
  const service = sampleService('bad', spec, { createdAt: 5 });
  const task = sampleTask(service, 1, {
    createdAt: 5,
    nodeId,
    status: { state: 'running', at: 1, startedAt: 1, message: '' },
    attachments: attached('bad', '192.168.99.3'),
  });
  return { service, task, network, node: sampleNode('n2') };
}

type Damage = [what: string, named: string, damage: (objects: Beside) => Partial<Beside>];
const ofService: Damage[] = [
  [
    'a task whose attachments are not a list',
    'task bad_bad.1: attachments is not a list',
    ({ task }) => ({ task: { ...task, attachments: 5 as never } }),
  ],
  [
    'a task whose address is none',
    'task bad_bad.1: attachments[0].address: Cannot read "1.2.3"',
    ({ task }) => ({ task: { ...task, attachments: attached('bad', '1.2.3') } }),
  ],
  [
    'a task whose template is not in the store',
    'task bad_bad.1: the store does not have its template',
    ({ task }) => ({ task: { ...task, template: missingTemplate('gone') } }),
  ],
  [
    'a waiting task without a template',
    'task bad_bad.1: the store does not have its template',
    ({ task: { nodeId: _nodeId, ...task } }) => ({
      task: {
        ...task,
        template: null as never,
        attachments: [],
        status: { state: 'new', at: 1, message: '' },
      },
    }),
  ],
  [
    'a task without a status',
    'task bad_bad.1: status is not an object',
    ({ task }) => ({ task: { ...task, status: undefined as never } }),
  ],
  [
    'a service whose ports are a number',
    'service bad_bad: spec.ports is not a list',
    ({ service }) => ({ service: { ...service, spec: { ...service.spec, ports: 5 as never } } }),
  ],
  [
    'a service that depends on a number',
    'service bad_bad: spec.dependsOn is not a list',
    ({ service }) => ({
      service: { ...service, dependenciesMet: false, spec: { ...service.spec, dependsOn: 5 as never } },
    }),
  ],
  [
    'a service whose mounts are null',
    'service bad_bad: template.container.mounts is not a list',
    ({ service }) => {
      const container = { ...service.spec.task.container, mounts: null as never };
      return {
        service: { ...service, spec: { ...service.spec, task: { ...service.spec.task, container } } },
      };
    },
  ],
  [
    'a network whose subnet is none',
    'network bad_net: subnet: Cannot read "1.2.3" as a subnet',
    ({ network }) => ({ network: { ...network, subnet: '1.2.3' } }),
  ],
  [
    'a network without bridge addresses',
    'network bad_net: bridgeAddresses is not an object',
    ({ network }) => ({ network: { ...network, bridgeAddresses: undefined as never } }),
  ],
];
const ofNode: Damage[] = [
  [
    'a node whose labels hold a number',
    'node n2: labels.disk is not a text',
    ({ node }) => ({ node: { ...node, labels: { disk: 5 as never } } }),
  ],
  [
    'a node without labels',
    'node n2: labels is not an object',
    ({ node }) => ({ node: { ...node, labels: null as never } }),
  ],
  [
    'a node on a network that is none',
    'node n2: description.underlay.connected[0]: Cannot read "1.2.3"',
    ({ node }) => ({
      node: {
        ...node,
        description: {
          ...node.description!,
          underlay: { mtuBytes: 1_500, connected: ['1.2.3'], routed: [] },
        },
      },
    }),
  ],
];

/** A service that waits for all the planners, and one on every node that fits. */
const healthy = sampleService('web', {
  mode: { kind: 'replicated', replicas: 2 },
  ports: [{ target: 80, published: 8080, protocol: 'tcp', mode: 'ingress' }],
  task: sampleTemplate({
    networks: [{ name: 'app_net', aliases: [] }],
    placement: {
      constraints: ['node.labels.disk != hdd'],
      maxReplicasPerNode: 0,
      spread: ['node.labels.zone'],
    },
    hostPorts: [{ target: 81, protocol: 'tcp', mode: 'host' }],
  }),
});
const everywhere = sampleService('agent', {
  mode: { kind: 'global' },
  task: sampleTemplate({ placement: { constraints: ['node.labels.disk != hdd'], maxReplicasPerNode: 0 } }),
});

function viewWith({ service, task, network, node }: Beside): MutableView {
  return viewOf({
    nodes: [sampleNode('n1'), node],
    services: [healthy, everywhere, service],
    networks: [sampleNetwork('net'), network],
    tasks: [task],
  });
}

/** Lets all planners plan and write in turn until nothing is left to do; gives what they could not work with. */
function settle(view: MutableView): Faults[] {
  const random = seededRandom(1);
  const found: Faults[] = [];
  for (let round = 0; round < 12; round++) {
    const now = 1_000 + round;
    const services = planServices(view, now, random);
    found.push(services.faults!);
    const faults = new Faults();
    found.push(faults);
    const before = view.revision;
    applyPlan(view, services.plan);
    applyPlan(view, planRemoval(view, undefined, faults));
    const reaping = planReaping(view, now);
    found.push(reaping.faults!);
    applyPlan(view, reaping.plan);
    applyPlan(view, allocate(view, now, new Map(), faults).plan);
    applyPlan(view, planSchedule(view, now, faults));
    if (view.revision === before) return found;
  }
  throw new Error('the planners never come to rest');
}

const words = (found: Faults[]) => found.flatMap((faults) => [...faults]).map(({ error }) => String(error));

/** What became of the healthy services. */
function outcome(view: MutableView) {
  const tasks = [...view.tasks.values()]
    .filter(({ application }) => application === 'app')
    .map(({ serviceName, slot, nodeId, status, attachments }) => {
      return { serviceName, slot, nodeId, state: status.state, attachments };
    });
  const { endpoint, allocationError, damage } = view.services.get('web')!;
  return { tasks, endpoint, allocationError, damage, network: view.networks.get('net')?.subnet };
}

test.each(ofService)(
  '%s keeps no other service from running, and its own says so',
  (_what, named, damage) => {
    const sound = viewWith(beside());
    expect(words(settle(sound))).toEqual([]);
    const objects = { ...beside(), ...damage(beside()) };
    const view = viewWith(objects);
    settle(view);
    expect(outcome(view)).toEqual(outcome(sound));
    expect(outcome(view).tasks.map(({ state }) => state)).toEqual(Array(4).fill('assigned'));
    expect(view.services.get('bad')?.damage).toContain(named);
    expect(view.services.get('bad')?.damage).toContain('run `shoal down`, then `shoal up` again');
    expect([...view.tasks.values()].filter(({ application }) => application === 'bad')).toHaveLength(1);
    const [status] = applicationStatus(view, 'bad', 0)!.services;
    expect(status).toMatchObject({ converged: false, failure: expect.stringContaining(named) as string });
    // What is mended is planned again.
    const mended = beside();
    for (const [kind, object] of [
      ['service', { ...mended.service, damage: view.services.get('bad')!.damage! }],
      ['task', mended.task],
      ['network', mended.network],
    ] as const) {
      view.put(kind, object);
    }
    settle(view);
    expect(view.services.get('bad')?.damage).toBeUndefined();
  },
);

test.each(ofNode)('%s keeps no service from running on the others, and is named', (_what, named, damage) => {
  const view = viewWith({ ...beside(), ...damage(beside()) });
  expect(words(settle(view)).join('\n')).toContain(named);
  const alone = viewWith(beside());
  alone.remove('node', 'n2');
  settle(alone);
  const places = (of: MutableView) =>
    outcome(of).tasks.map(({ serviceName, slot, nodeId, state }) => [serviceName, slot, nodeId, state]);
  expect(places(view)).toEqual(places(alone));
  expect([...view.services.values()].map((service) => service.damage)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test.each(ofService)('%s goes with its application', (_what, _named, damage) => {
  const view = viewWith({ ...beside(), ...damage(beside()) });
  expect(planRemove(view, 'app').group).toHaveLength(3);
  applyPlan(view, [planRemove(view, 'bad').group]);
  // Its agent has nothing to say when what it is told of a task does not fit.
  const task = view.tasks.get('bad-1')!;
  if (task.status?.state === 'running' && Array.isArray(task.attachments)) {
    view.put('task', { ...task, status: { ...task.status, state: 'shutdown' } });
  }
  settle(view);
  expect(view.services.has('bad')).toBe(false);
  expect(view.tasks.has('bad-1')).toBe(false);
  expect(view.networks.has('bad')).toBe(false);
});

test.each([...ofService, ...ofNode])(
  '%s does not change what agents are told of others',
  (_what, _named, damage) => {
    const sound = viewWith(beside('n1'));
    settle(sound);
    const assigner = new Assigner(sound);
    const puts: string[] = [];
    const removals: string[] = [];
    const recipient: Recipient = {
      nodeId: 'n1',
      state: new SentState(),
      wantsComplete: true,
      isBusy: false,
      complete: (fragments) => puts.push(...fragments.map(({ key }) => key)),
      advance: (increment) => {
        puts.push(...increment.puts.map(({ key }) => key));
        removals.push(...increment.removals.map(({ kind, id }) => `${kind}/${id}`));
      },
    };
    assigner.add(recipient);
    assigner.pass(0);
    expect(puts).toContain('task/bad-1');
    puts.length = 0;
    const damaged = Object.entries(damage(beside('n1'))) as [keyof Beside, never][];
    for (const [kind, object] of damaged) {
      assigner.note({ kinds: new Set([kind]), objects: [sound.put(kind, object)] });
      new Scope(sound).note({ kinds: new Set([kind]), objects: [sound.put(kind, object)] });
    }
    expect([...assigner.pass(1).faults]).toEqual([]);
    expect({ puts, removals }).toEqual({ puts: [], removals: [] });
    // A manager that has never seen it sound tells of all else.
    const late = new Assigner(sound);
    late.add({ ...recipient, wantsComplete: true, state: new SentState() });
    expect([...late.pass(0).faults]).toEqual([]);
    const web = [...sound.tasksOfService('web')].filter(({ nodeId }) => nodeId === 'n1');
    expect(web.length).toBeGreaterThan(0);
    for (const { id } of web) expect(puts).toContain(`task/${id}`);
  },
);

test('what a file with a bit of everything comes to is sound at every step', () => {
  const path = new URL('../src/compose/golden/rich.specs.json', import.meta.url);
  const spec = JSON.parse(readFileSync(path, 'utf8')) as ApplicationSpec;
  const view = viewOf({ nodes: [sampleNode('n1', { labels: { disk: 'ssd' } }), sampleNode('n2')] });
  applyPlan(view, [planApply(view, spec, { now: 0, random: seededRandom(2) }).group]);
  expect(words(settle(view))).toEqual([]);
  expect(view.tasks.size).toBeGreaterThan(0);
  for (const service of view.services.values()) expect(damageReason(view, service)).toBeUndefined();
  for (const [kind, objects] of [
    ['node', view.nodes],
    ['secret', view.secrets],
    ['config', view.configs],
  ] as const) {
    for (const object of objects.values()) expect(damageOf(kind, object)).toBeUndefined();
  }
});

test('no secret is cleaned up while a damaged task may use it', () => {
  const spec = { name: 'bad_key', application: 'bad', labels: {}, data: '' };
  const secret = { id: 'key', createdAt: 0, updatedAt: 0, revision: 0, spec };
  const view = viewWith(beside());
  view.put('secret', secret);
  expect(planCleanup(view)).toHaveLength(1);
  view.put('task', { ...view.tasks.get('bad-1')!, template: missingTemplate('gone') });
  expect(planCleanup(view)).toEqual([]);
});

test('a task whose template the store has lost stops no manager, and can be written and removed', async () => {
  const store = createMemoryStore();
  const { template: _template, ...task } = beside().task;
  const value = JSON.stringify({ ...task, templateId: 'lost' });
  await store.transact({ compares: [], puts: [{ key: 'task/bad-1', value }], deletes: [] });
  const database = await openDatabase(store, new FakeClock());
  const stored = () => database.view.tasks.get('bad-1')!;
  const update = { ...stored(), desiredState: 'remove' as const };
  const other = sampleTask(healthy, 1);
  const { refused } = await database.writeEach([
    [
      { kind: 'task', action: 'update', object: update },
      { kind: 'task', action: 'create', object: other },
    ],
  ]);
  expect(refused).toEqual([]);
  expect(database.view.tasks.has(other.id)).toBe(true);
  expect(stored().desiredState).toBe('remove');
  expect([...database.view.templates.keys()]).not.toContain('lost');
  await database.close();
  await store.close();
});
