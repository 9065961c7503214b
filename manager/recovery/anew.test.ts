import { expect, test } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import { sampleCluster, sampleNode } from '../../test/samples.ts';
import { startAnew } from './anew.ts';

const cluster = sampleCluster();

function manager(name: string, more: Partial<Node> = {}): Node {
  const member = { id: name, phase: 'voting' as const, since: 0 };
  return { ...sampleNode(name), role: 'manager', manager: { address: `${name}:2377`, member }, ...more };
}

test('the cluster is of the next generation, and is otherwise as it was', () => {
  const second = startAnew(cluster, [], 'a').cluster;
  expect(second).toEqual({ ...cluster, generation: 2 });
  expect(startAnew(second, [], 'a').cluster.generation).toBe(3);
});

test('the manager that goes on keeps its address and has no member of etcd', () => {
  const own = manager('a');
  const { nodes } = startAnew(cluster, [{ ...own, manager: { ...own.manager!, problem: 'no quorum' } }], 'a');
  expect(nodes).toEqual([{ ...own, manager: { address: 'a:2377' } }]);
});

test('every other manager becomes a worker, and workers that still have a member lose it', () => {
  const beingDemoted = manager('c', { role: 'worker' });
  const { nodes } = startAnew(cluster, [manager('a'), manager('b'), beingDemoted], 'a');
  expect(nodes.slice(1)).toEqual([sampleNode('b'), sampleNode('c')]);
});

test('labels, availability and state of a node that was a manager stay', () => {
  const kept: Partial<Node> = { availability: 'drain', labels: { rack: '1' } };
  const { nodes } = startAnew(cluster, [manager('b', kept)], 'a');
  expect(nodes).toEqual([{ ...sampleNode('b'), ...kept }]);
});

test('nodes that do not change are not among those that did', () => {
  const lone: Node = { ...sampleNode('a'), role: 'manager', manager: { address: 'a:2377' } };
  expect(startAnew(cluster, [lone, sampleNode('w')], 'a').nodes).toEqual([]);
});

test('the node that goes on is a manager, even where the store had it as a worker', () => {
  const { nodes } = startAnew(cluster, [sampleNode('a')], 'a');
  expect(nodes).toEqual([{ ...sampleNode('a'), role: 'manager' }]);
});

test('what was given is not modified', () => {
  const nodes = [manager('a'), manager('b')];
  const before = structuredClone({ cluster, nodes });
  startAnew(cluster, nodes, 'a');
  expect({ cluster, nodes }).toEqual(before);
});
