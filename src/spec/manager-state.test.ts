import { expect, test } from 'vitest';
import { sampleNode } from '../../test/samples.ts';
import { managerState } from './manager-state.ts';
import type { Node, NodeManager } from './node.ts';

const manager = (member?: NodeManager['member'], changes: Partial<Node> = {}): Node => ({
  ...sampleNode('n'),
  role: 'manager',
  manager: { address: 'n:2377', ...(member && { member }) },
  status: { state: 'ready', since: 0, message: '' },
  ...changes,
});
const at = (phase: NonNullable<NodeManager['member']>['phase']) => ({ id: '1', phase, since: 0 });
const down = { status: { state: 'down' as const, since: 0, message: '' } };

test.each([
  ['a worker', sampleNode('n'), 'n:2377', undefined],
  ['the leader', manager(at('voting')), 'n:2377', 'Leader'],
  ['the only manager', manager(), 'n:2377', 'Leader'],
  ['one with a vote', manager(at('voting')), 'm:2377', 'Reachable'],
  ['one with a copy', manager(at('started')), 'm:2377', 'Standby'],
  ['one that was added', manager(at('added')), 'm:2377', 'Joining'],
  ['one without a member', manager(), 'm:2377', 'Joining'],
  ['one whose host is down', manager(at('voting'), down), undefined, 'Unreachable'],
  ['one that goes', manager(at('voting'), { role: 'worker' }), undefined, 'Leaving'],
])('%s', (_, node, leader, state) => {
  expect(managerState(node, leader)).toBe(state);
});
