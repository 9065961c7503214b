import { expect, test } from 'vitest';
import { sampleNode } from '../../test/samples.ts';
import type { Node } from '../../src/spec/node.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { planConditions, type ConditionReports } from './conditions.ts';

function conditionsAfter(node: Node, ...reports: [ConditionReports, number][]) {
  const view = viewOf({ nodes: [node] });
  for (const [report, now] of reports) applyPlan(view, planConditions(view, report, now));
  return view.nodes.get(node.id)?.conditions;
}

const node = sampleNode('n');
const full = { type: 'DiskFull', message: '/var/lib/shoal has 3 MiB left' } as const;
const skewed = { type: 'ClockSkewed', message: 'its clock is 1 h ahead' } as const;
const by = (source: 'agent' | 'manager', ...conditions: (typeof full | typeof skewed)[]): ConditionReports =>
  new Map([['n', { [source]: conditions }]]);

test('a condition is stored with when it was first heard of, and goes when it is told no more', () => {
  const fuller = { ...full, message: '/var/lib/shoal has 1 MiB left' } as unknown as typeof full;
  expect(conditionsAfter(node, [by('agent', full), 10], [by('agent', fuller), 20])).toEqual([
    { type: 'DiskFull', since: 10, message: '/var/lib/shoal has 1 MiB left' },
  ]);
  expect(conditionsAfter(node, [by('agent', full), 10], [by('agent'), 20])).toBeUndefined();
});

test('agent and manager each tell what they alone can see', () => {
  const after = conditionsAfter(node, [by('agent', full, skewed), 10], [by('manager', skewed), 20]);
  expect(after).toEqual([
    { ...skewed, since: 20 },
    { ...full, since: 10 },
  ]);
});

test('a condition of a type that only newer ones know is left out, and the others are kept', () => {
  const newer = { type: 'MemoryPressure', message: 'x' } as unknown as typeof full;
  expect(conditionsAfter(node, [by('agent', newer, full), 10])).toEqual([{ ...full, since: 10 }]);
});

test('nothing is written when nothing is new, and nothing of a node that is gone', () => {
  const view = viewOf({ nodes: [{ ...node, conditions: [{ ...full, since: 10 }] }] });
  expect(planConditions(view, by('agent', full), 20)).toEqual([]);
  expect(planConditions(view, new Map([['gone', { agent: [full] }]]), 20)).toEqual([]);
});
