import { expect, test } from 'vitest';
import { agentReturnMs, nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { NodeState } from '../../src/spec/node.ts';
import { sampleNode } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { countsFromAfter, planSilence } from './silence.ts';

const node = (state: NodeState) =>
  viewOf({ nodes: [sampleNode('a', { status: { state, since: 0, message: '' } })] });
const heardAt = (at: number) => ({ lastHeard: new Map([['a', at]]), closedAt: new Map(), countsFrom: 0 });

test('a host that closed its connection has time to start its agent again', () => {
  const hearing = { lastHeard: new Map([['a', 1_000]]), closedAt: new Map([['a', 1_500]]), countsFrom: 0 };
  expect(planSilence(node('ready'), hearing, 1_499 + agentReturnMs)).toEqual([]);
  expect(planSilence(node('ready'), hearing, 1_500 + agentReturnMs)).toHaveLength(1);
});

test('a ready node that was silent for long enough is marked down, once', () => {
  expect(planSilence(node('ready'), heardAt(1_000), 999 + nodeSilenceMs)).toEqual([]);
  const plan = planSilence(node('ready'), heardAt(1_000), 1_000 + nodeSilenceMs);
  expect(plan).toMatchObject([
    [{ kind: 'node', action: 'update', object: { id: 'a', status: { state: 'down' } } }],
  ]);
  expect(planSilence(node('down'), heardAt(0), 100_000)).toEqual([]);
});

test('a node that never reported stays unknown', () => {
  expect(planSilence(node('unknown'), heardAt(0), 100_000)).toEqual([]);
});

test('after a start of the manager nodes have time to come back', () => {
  const hearing = { lastHeard: new Map<string, number>(), closedAt: new Map(), countsFrom: 50_000 };
  expect(planSilence(node('ready'), hearing, 49_999 + agentReturnMs)).toEqual([]);
  expect(planSilence(node('ready'), hearing, 50_000 + agentReturnMs)).toHaveLength(1);
});

test('a manager that was itself stopped does not blame the nodes', () => {
  expect(countsFromAfter(0, 200, 9_000)).toBe(0);
  expect(countsFromAfter(0, nodeSilenceMs, 9_000)).toBe(9_000);
});
