import { expect, test } from 'vitest';
import { nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { NodeState } from '../../src/spec/node.ts';
import { sampleNode } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { countsFromAfter, planSilence } from './silence.ts';

const node = (state: NodeState) =>
  viewOf({ nodes: [sampleNode('a', { status: { state, since: 0, message: '' } })] });
const heardAt = (at: number) => ({ lastHeard: new Map([['a', at]]), countsFrom: 0 });

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

test('after a start of the manager nodes have the whole time again', () => {
  const hearing = { lastHeard: new Map<string, number>(), countsFrom: 50_000 };
  expect(planSilence(node('ready'), hearing, 49_999 + nodeSilenceMs)).toEqual([]);
  expect(planSilence(node('ready'), hearing, 50_000 + nodeSilenceMs)).toHaveLength(1);
});

test('a manager that was itself stopped does not blame the nodes', () => {
  expect(countsFromAfter(0, 200, 9_000)).toBe(0);
  expect(countsFromAfter(0, nodeSilenceMs, 9_000)).toBe(9_000);
});
