import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isTerminal, type Task, type TaskState } from '../../src/spec/task.ts';
import { sampleNode, sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { planSchedule } from './plan.ts';

const gibibyte = 2 ** 30;
const now = 1_000;

const arbitraryNode = fc.record({
  cpus: fc.integer({ min: 1, max: 4 }),
  memory: fc.integer({ min: 1, max: 8 }),
  disk: fc.constantFrom('ssd', 'hdd'),
  state: fc.constantFrom('ready', 'ready', 'ready', 'down' as const),
  availability: fc.constantFrom('active', 'active', 'pause', 'drain' as const),
});

const arbitraryService = fc.record({
  cpus: fc.integer({ min: 0, max: 2 }),
  memory: fc.integer({ min: 0, max: 3 }),
  constraints: fc.constantFrom<string[]>([], ['node.labels.disk==ssd'], ['node.labels.disk!=ssd']),
  maxReplicasPerNode: fc.nat({ max: 3 }),
  spread: fc.constantFrom<string[]>([], ['node.labels.disk'], ['node.labels.none', 'node.labels.disk']),
  hostPort: fc.option(fc.constantFrom(80, 81), { nil: undefined }),
  replicas: fc.integer({ min: 0, max: 12 }),
});

type Nodes = (typeof arbitraryNode extends fc.Arbitrary<infer T> ? T : never)[];
type Services = (typeof arbitraryService extends fc.Arbitrary<infer T> ? T : never)[];

function viewFor(nodes: Nodes, services: Services): MutableView {
  const view = viewOf({
    nodes: nodes.map(({ cpus, memory, disk, state, availability }, index) => {
      const node = sampleNode(`n${index}`, { availability, labels: { disk } });
      node.description = { ...node.description!, nanoCpus: cpus * 1e9, memoryBytes: memory * gibibyte };
      return { ...node, status: { state, since: 0, message: '' } };
    }),
  });
  for (const [index, service] of services.entries()) {
    const { cpus, memory, constraints, maxReplicasPerNode, spread, hostPort } = service;
    const published = { target: 80, published: hostPort, protocol: 'tcp' as const, mode: 'host' as const };
    const task = sampleTemplate({
      reservations: { nanoCpus: cpus * 1e9, memoryBytes: memory * gibibyte },
      placement: { constraints, maxReplicasPerNode, spread },
      hostPorts: hostPort === undefined ? [] : [published],
    });
    view.put('service', sampleService(`s${index}`, { task }));
    for (let slot = 1; slot <= service.replicas; slot++) {
      const status = { state: 'pending' as const, at: 0, message: '' };
      view.put('task', sampleTask(view.services.get(`s${index}`)!, slot, { status }));
    }
  }
  return view;
}

const isOn = (nodeId: string) => (task: Task) => task.nodeId === nodeId && !isTerminal(task.status.state);

/** No node holds more than it has or may. */
function check(view: MutableView): void {
  for (const node of view.nodes.values()) {
    const tasks = [...view.tasks.values()].filter(isOn(node.id));
    const sum = (of: (task: Task) => number | undefined) =>
      tasks.reduce((total, task) => total + (of(task) ?? 0), 0);
    expect(sum((task) => task.template.reservations.nanoCpus)).toBeLessThanOrEqual(
      node.description!.nanoCpus,
    );
    expect(sum((task) => task.template.reservations.memoryBytes)).toBeLessThanOrEqual(
      node.description!.memoryBytes,
    );
    const ports = tasks.flatMap((task) => task.template.hostPorts.map(({ published }) => published));
    expect(new Set(ports).size).toBe(ports.length);
    for (const [serviceId, mine] of Map.groupBy(tasks, (task) => task.serviceId)) {
      const { maxReplicasPerNode, constraints } = view.services.get(serviceId)!.spec.task.placement;
      if (maxReplicasPerNode > 0) expect(mine.length).toBeLessThanOrEqual(maxReplicasPerNode);
      if (constraints.length > 0) {
        expect(node.labels['disk'] === 'ssd').toBe(constraints[0] === 'node.labels.disk==ssd');
      }
    }
    if (node.status.state !== 'ready' || node.availability !== 'active') expect(tasks).toEqual([]);
  }
  for (const { status } of view.tasks.values()) {
    if (status.state === 'pending') expect(status.message).toMatch(/^no suitable node: /);
  }
}

test('placements never exceed what nodes have and may, and a plan on its own result is empty', () => {
  fc.assert(
    fc.property(
      fc.array(arbitraryNode, { maxLength: 6 }),
      fc.array(arbitraryService, { maxLength: 5 }),
      fc.array(fc.tuple(fc.nat(), fc.constantFrom<TaskState>('failed', 'running')), { maxLength: 20 }),
      (nodes, services, ends) => {
        const view = viewFor(nodes, services);
        const plan = () => {
          applyPlan(view, planSchedule(view, now));
          check(view);
          expect(planSchedule(view, now)).toEqual([]);
        };
        plan();
        for (const [pick, state] of ends) {
          const assigned = [...view.tasks.values()].filter((task) => task.status.state === 'assigned');
          const task = assigned[pick % assigned.length];
          if (task) view.put('task', { ...task, status: { ...task.status, state, at: now } });
        }
        plan();
      },
    ),
    { numRuns: 200 },
  );
});

test('replicas of a service without wishes lie as evenly as can be', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 40 }), (nodes, replicas) => {
      const view = viewOf({
        nodes: Array.from({ length: nodes }, (_, index) => sampleNode(`n${index}`)),
        services: [sampleService('web')],
        tasks: Array.from({ length: replicas }, (_, index) =>
          sampleTask(sampleService('web'), index + 1, { status: { state: 'pending', at: 0, message: '' } }),
        ),
      });
      applyPlan(view, planSchedule(view, now));
      const counts = [...view.nodes.keys()].map((id) => [...view.tasksOfNode(id)].length);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(replicas);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }),
  );
});
