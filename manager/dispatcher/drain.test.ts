import { expect, test } from 'vitest';
import { agentReturnMs } from '../../src/spec/defaults.ts';
import { sampleNode, sampleService, sampleTask } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { drainMsMax, planDrain, type EndpointKnowledge } from './drain.ts';
import { SentState } from './knowledge.ts';

const task = sampleTask(sampleService('web'), 1, {
  nodeId: 'a',
  desiredState: 'shutdown',
  status: { state: 'running', at: 0, message: '' },
  attachments: [{ networkId: 'front', address: '10.64.1.1', aliases: [] }],
});
const view = viewOf({ nodes: [sampleNode('a'), sampleNode('b')], tasks: [task] });
const nothing = { drained: new Set<string>(), waiting: new Map<string, number>() };
const uses: EndpointKnowledge = { mayUse: () => true };
const free: EndpointKnowledge = { mayUse: () => false };

test('a task is drained as soon as no node uses its endpoint', () => {
  const sessions = new Map([
    ['a', free],
    ['b', free],
  ]);
  expect([...planDrain(view, sessions, nothing, 1_000).drained]).toEqual(['web-1']);
});

test('a task waits for a node that may still use its endpoint, but not for ever', () => {
  const sessions = new Map([
    ['a', free],
    ['b', uses],
  ]);
  const first = planDrain(view, sessions, nothing, 1_000);
  expect(first).toMatchObject({ drained: new Set(), againInMs: drainMsMax });
  const last = planDrain(view, sessions, first, 1_000 + drainMsMax);
  expect(last).toMatchObject({ drained: new Set(['web-1']), overdue: ['web-1'] });
});

test('a node without a session counts for as long as it takes to be found down', () => {
  const sessions = new Map([['a', free]]);
  const first = planDrain(view, sessions, nothing, 1_000);
  expect(first.againInMs).toBe(agentReturnMs);
  expect(planDrain(view, sessions, first, 1_000 + agentReturnMs).drained.has('web-1')).toBe(true);
  const down = sampleNode('b', { status: { state: 'down', since: 0, message: '' } });
  const later = viewOf({ nodes: [sampleNode('a'), down], tasks: [task] });
  expect(planDrain(later, sessions, first, 1_001).drained.has('web-1')).toBe(true);
});

test('what is drained stays drained, and is forgotten with its task', () => {
  const before = { ...nothing, drained: new Set(['web-1']) };
  expect(planDrain(view, new Map([['a', uses]]), before, 0).drained.has('web-1')).toBe(true);
  expect(planDrain(viewOf({}), new Map(), before, 0).drained.size).toBe(0);
});

const withEndpoint = new Map([
  [
    'endpoint/web-1',
    {
      kind: 'endpoint' as const,
      value: { id: 'web-1', serviceId: 'web', slot: 1, nodeId: 'a', addresses: {} },
    },
  ],
]);

test('a node may use anything until it has applied the complete set of its session', () => {
  const state = new SentState();
  expect(state.mayUse('other')).toBe(true);
  state.nextSequence();
  state.completed(withEndpoint);
  expect(state.mayUse('other')).toBe(true);
  state.applied(1);
  expect(state.mayUse('other')).toBe(false);
  expect(state.mayUse('web-1')).toBe(true);
});

test('a removed endpoint may be used until a sequence that contains the removal is applied', () => {
  const state = new SentState();
  state.nextSequence();
  state.completed(withEndpoint);
  state.applied(1);
  state.nextSequence();
  state.advanced(new Map(), ['web-1']);
  expect(state.mayUse('web-1')).toBe(true);
  expect(state.applied(3)).toBe(false); // never sent
  expect(state.mayUse('web-1')).toBe(true);
  expect(state.applied(2)).toBe(true);
  expect(state.mayUse('web-1')).toBe(false);
});
