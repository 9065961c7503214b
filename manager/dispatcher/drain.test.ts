import { expect, test } from 'vitest';
import { agentReturnMs } from '../../src/spec/defaults.ts';
import { sampleService, sampleTask } from '../../test/samples.ts';
import { drainMsMax, planDrain, type EndpointKnowledge } from './drain.ts';
import { SentState } from './knowledge.ts';

const task = sampleTask(sampleService('web'), 1, {
  nodeId: 'a',
  desiredState: 'shutdown',
  status: { state: 'running', at: 0, message: '' },
  attachments: [{ networkId: 'front', address: '10.64.1.1', aliases: [] }],
});
const nothing = { drained: new Set<string>(), waiting: new Map<string, number>() };
const uses: EndpointKnowledge = { mayBeUsed: () => true, absent: false };
const free: EndpointKnowledge = { mayBeUsed: () => false, absent: false };

test('a task is drained as soon as no node uses its endpoint', () => {
  expect([...planDrain([task], free, nothing, 1_000).drained]).toEqual(['web-1']);
});

test('a task waits for a node that may still use its endpoint, but not for ever', () => {
  const first = planDrain([task], uses, nothing, 1_000);
  expect(first).toMatchObject({ drained: new Set(), againInMs: drainMsMax });
  const last = planDrain([task], uses, first, 1_000 + drainMsMax);
  expect(last).toMatchObject({ drained: new Set(['web-1']), overdue: ['web-1'] });
});

test('a node without a session counts for as long as it takes to be found down', () => {
  const absent = { ...free, absent: true };
  const first = planDrain([task], absent, nothing, 1_000);
  expect(first.againInMs).toBe(agentReturnMs);
  expect(planDrain([task], absent, first, 1_000 + agentReturnMs).drained.has('web-1')).toBe(true);
  expect(planDrain([task], free, first, 1_001).drained.has('web-1')).toBe(true);
});

test('what is drained stays drained, and is forgotten with its task', () => {
  const before = { ...nothing, drained: new Set(['web-1']) };
  expect(planDrain([task], uses, before, 0).drained.has('web-1')).toBe(true);
  expect(planDrain([], free, before, 0).drained.size).toBe(0);
});

test('a node may use anything until it has applied the complete set of its session', () => {
  const state = new SentState();
  expect(state.isSettled).toBe(false);
  state.completing();
  expect(state.isSettled).toBe(false);
  state.completed(state.nextSequence());
  expect(state.isSettled).toBe(false);
  state.applied(1);
  expect(state.isSettled).toBe(true);
});

test('a removed endpoint may be used until a sequence that contains the removal is applied', () => {
  const state = new SentState();
  state.completing();
  state.completed(state.nextSequence());
  state.applied(1);
  expect(state.removing(['web-1'])).toEqual(['web-1']);
  expect(state.removing(['web-1'])).toEqual([]); // under way already
  state.removed(['web-1'], state.nextSequence());
  expect(state.applied(3)).toBeUndefined(); // never sent
  expect(state.applied(2)).toEqual(['web-1']);
  expect(state.end()).toEqual([]);
});

test('a complete set, and the end of the session, stand for all removals that were not confirmed', () => {
  const state = new SentState();
  state.removing(['web-1']);
  expect(state.completing()).toEqual(['web-1']);
  state.removing(['web-2']);
  expect(state.end()).toEqual(['web-2']);
});
