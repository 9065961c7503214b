import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import { seededRandom } from '../../src/util/random.ts';
import {
  sampleContainer,
  sampleNode,
  sampleService,
  sampleTask,
  sampleTemplate,
} from '../../test/samples.ts';
import { Failures } from '../api/failure.ts';
import { serviceStatus } from '../api/status.ts';
import { applyPlan, viewOf, type MutableView } from '../store/view.ts';
import { planServices } from './services.ts';

const needsCrun = sampleTemplate({ container: sampleContainer({ settings: { runtime: 'crun' } }) });

function withRuntimes(id: string, runtimes: readonly string[], changes: Partial<Node> = {}): Node {
  const node = sampleNode(id, changes);
  return { ...node, description: { ...node.description!, runtimes: [...runtimes] } };
}

/** Makes what the orchestrator wants, and lets all of it run. */
function settle(view: MutableView): void {
  applyPlan(view, planServices(view, 1, seededRandom(1)).plan);
  // A copy: writing moves a task to the end of the view.
  for (const task of view.tasks.values().toArray()) {
    view.put('task', { ...task, status: { ...task.status, state: 'running' } });
  }
}

test('a global service that asks for a runtime is expected on the nodes that have it, and made there alone', () => {
  const service = sampleService('agent', { mode: { kind: 'global' }, task: needsCrun });
  const nodes = [withRuntimes('a', ['runc', 'crun']), withRuntimes('b', ['runc']), withRuntimes('c', [])];
  const view = viewOf({ nodes, services: [service] });
  settle(view);
  expect([...view.tasks.values()].map(({ nodeId }) => nodeId)).toEqual(['a']);
  expect(serviceStatus(view, service, new Failures(view, 1))).toMatchObject({ desired: 1, converged: true });
});

test('nothing new is expected on a node with a condition that keeps tasks away; what runs there stays', () => {
  const conditions = [{ type: 'DiskFull' as const, since: 0, message: '' }];
  const service = sampleService('agent', { mode: { kind: 'global' } });
  const nodes = [sampleNode('a', { conditions }), sampleNode('b', { conditions }), sampleNode('c')];
  const status = { state: 'running', at: 0, message: '' } as const;
  const view = viewOf({
    nodes,
    services: [service],
    tasks: [sampleTask(service, 0, { nodeId: 'a', status })],
  });
  settle(view);
  expect(new Set([...view.tasks.values()].map(({ nodeId }) => nodeId))).toEqual(new Set(['a', 'c']));
  expect(serviceStatus(view, service, new Failures(view, 1))).toMatchObject({ desired: 2, converged: true });
});

test('what shares with a global service is expected where that one can run', () => {
  const anchor = sampleService('anchor', { mode: { kind: 'global' }, task: needsCrun });
  const task = sampleTemplate({ sharing: { network: 'app_anchor' } });
  const beside = sampleService('beside', { mode: { kind: 'global' }, task });
  const view = viewOf({
    nodes: [withRuntimes('a', []), withRuntimes('b', ['crun'])],
    services: [anchor, beside],
  });
  settle(view);
  expect([...view.tasksOfService('beside')].map(({ nodeId }) => nodeId)).toEqual(['b']);
  expect(serviceStatus(view, beside, new Failures(view, 1)).desired).toBe(1);
});

const anyNode = fc.record({
  state: fc.constantFrom('ready', 'down', 'unknown'),
  availability: fc.constantFrom('active', 'pause', 'drain'),
  labels: fc.record({ log: fc.constantFrom('yes', 'no') }),
  runtimes: fc.constantFrom([], ['crun'], ['runc', 'crun']),
  condition: fc.constantFrom('DiskFull', 'ClockSkewed', undefined),
  /** A task of the service was made there earlier. */
  hasTask: fc.boolean(),
});

test('as many tasks of a global service are expected as the orchestrator makes and keeps on ready nodes', () => {
  const task = {
    ...needsCrun,
    placement: { constraints: ['node.labels.log == yes'], maxReplicasPerNode: 0 },
  };
  const service = sampleService('agent', { mode: { kind: 'global' }, task });
  fc.assert(
    fc.property(fc.array(anyNode, { maxLength: 5 }), (drawn) => {
      const nodes = drawn.map(({ state, availability, labels, runtimes, condition }, index) =>
        withRuntimes(`n${index}`, runtimes, {
          availability,
          labels,
          status: { state, since: 0, message: '' },
          conditions: condition && [{ type: condition, since: 0, message: '' }],
        }),
      );
      const tasks = drawn.flatMap(({ hasTask }, index) => {
        const place = { id: `t${index}`, nodeId: `n${index}`, createdAt: index };
        return hasTask
          ? [sampleTask(service, 0, { ...place, status: { state: 'running', at: 0, message: '' } })]
          : [];
      });
      const view = viewOf({ nodes, services: [service], tasks });
      settle(view);
      const wanted = [...view.tasks.values()].filter(
        ({ desiredState, nodeId }) =>
          desiredState === 'running' && view.nodes.get(nodeId!)?.status.state === 'ready',
      );
      expect(serviceStatus(view, service, new Failures(view, 1)).desired).toBe(wanted.length);
    }),
  );
});
