import { expect, it } from 'vitest';
import { sampleNode } from '../../test/samples.ts';
import { parseSpread, spreadValue } from './spread.ts';

it('reads labels of nodes and of their engines', () => {
  expect(parseSpread('node.labels.zone')).toEqual({ subject: 'node.labels', label: 'zone' });
  expect(parseSpread('engine.labels.a.b/c')).toEqual({ subject: 'engine.labels', label: 'a.b/c' });
});

it.each(['zone', 'node.role', 'node.labels.', 'node.labels.a b', '', `node.labels.${'a'.repeat(2000)}`])(
  'refuses %j',
  (text) => {
    expect(() => parseSpread(text)).toThrow(/Cannot read the placement preference/u);
  },
);

it('a node without the label has the empty value', () => {
  const node = sampleNode('a', { labels: { zone: 'east' } });
  expect(spreadValue(node, parseSpread('node.labels.zone'))).toBe('east');
  expect(spreadValue(node, parseSpread('node.labels.rack'))).toBe('');
  expect(spreadValue(node, parseSpread('node.labels.constructor'))).toBe('');
  expect(spreadValue(node, parseSpread('engine.labels.zone'))).toBe('');
});
