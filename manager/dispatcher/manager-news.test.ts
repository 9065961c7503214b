import { expect, test } from 'vitest';
import type { Node, NodeManager } from '../../src/spec/node.ts';
import type { ManagerMessage } from '../../src/wire/session.ts';
import { sampleNode } from '../../test/samples.ts';
import type { View } from '../store/objects.ts';
import { managerAddresses, ManagerNews, roleOf, withManagerAddress } from './manager-news.ts';

function manager(name: string, createdAt: number, member?: NodeManager['member']): Node {
  return {
    ...sampleNode(name),
    createdAt,
    role: 'manager',
    manager: { address: `${name}:2377`, ...(member && { member }) },
  };
}
const phase = (phase: NonNullable<NodeManager['member']>['phase']) => ({ id: '1', phase, since: 0 });

test('managers that serve are told, the leader first and then the oldest', () => {
  const nodes = [
    manager('d', 4),
    manager('c', 3, phase('voting')),
    manager('b', 2, phase('started')),
    manager('a', 1, phase('voting')),
    manager('e', 5, phase('added')),
    sampleNode('w'),
  ];
  expect(managerAddresses(nodes, 'c')).toEqual(['c:2377', 'a:2377', 'b:2377']);
  expect(managerAddresses([manager('a', 1), manager('b', 2)], 'a')).toEqual(['a:2377']);
});

test('a stored node that is damaged keeps nobody from being told', () => {
  const damaged = { ...manager('b', 2), manager: { member: phase('voting') } } as unknown as Node;
  expect(managerAddresses([damaged, manager('a', 1, phase('voting'))], undefined)).toEqual(['a:2377']);
});

test('a host is a manager for as long as it has a member of the store', () => {
  expect(roleOf({ role: 'manager' })).toBe('manager');
  expect(roleOf({ role: 'worker', manager: { address: 'a:1', member: phase('voting') } })).toBe('manager');
  expect(roleOf({ role: 'worker', manager: { address: 'a:1' } })).toBe('worker');
});

test('the address of a manager follows that of its host', () => {
  const worker = sampleNode('w');
  expect(withManagerAddress(worker)).toBe(worker);
  const moved = withManagerAddress({ ...manager('a', 1, phase('voting')) });
  expect(moved.manager).toEqual({ address: `${worker.description!.address}:2377`, member: phase('voting') });
  expect(withManagerAddress(moved)).toBe(moved);
});

test('each host is told once what it is to be, and again when that is another thing', () => {
  const nodes = new Map([
    ['a', manager('a', 1)],
    ['w', sampleNode('w')],
  ]);
  const news = new ManagerNews({ nodes } as unknown as View, () => 'a');
  const listeners = ['a', 'w'].map((nodeId) => ({
    nodeId,
    got: [] as string[],
    send(message: ManagerMessage) {
      if (message.type === 'managers') this.got.push(`${message.role} ${message.addresses.join()}`);
    },
  }));
  const change = { kinds: new Set(['node' as const]), objects: [] };
  for (const listener of listeners) news.tell(listener);
  news.note(change);
  news.tellAll(listeners);
  expect(listeners.map(({ got }) => got)).toEqual([['manager a:2377'], ['worker a:2377']]);
  nodes.set('w', { ...manager('w', 2, phase('started')) });
  news.tellAll(listeners);
  expect(listeners[1]!.got).toHaveLength(1);
  news.note(change);
  news.tellAll(listeners);
  expect(listeners.map(({ got }) => got.at(-1))).toEqual(['manager a:2377,w:2377', 'manager a:2377,w:2377']);
});
