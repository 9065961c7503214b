import { expect, test } from 'vitest';
import type { Node, NodeManager } from '../../src/spec/node.ts';
import { sampleNode } from '../../test/samples.ts';
import { adviceFor, checkGoesOnWithout, demoted, promoted } from './managers.ts';

type Phase = NonNullable<NodeManager['member']>['phase'];

/** A manager; `phase` of its member, and whether its host is there. */
function manager(name: string, phase?: Phase, state: Node['status']['state'] = 'ready'): Node {
  const member = phase === undefined ? {} : { member: { id: name, phase, since: 0 } };
  return {
    ...sampleNode(name),
    role: 'manager',
    manager: { address: `${name}:2377`, ...member },
    status: { state, since: 0, message: '' },
  };
}

const leader = 'a:2377';
const refusal = (nodes: Node[], node: Node) => {
  try {
    checkGoesOnWithout(nodes, node, `remove ${node.id}`, leader);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};
const without = (nodes: Node[], index: number) => refusal(nodes, nodes[index]!);

test('the only manager stays one', () => {
  expect(without([manager('a', 'voting')], 0)).toMatch(/it is the only manager/);
  expect(without([manager('a'), sampleNode('w')], 0)).toMatch(/it is the only manager/);
});

test('of three managers that are there any one may go', () => {
  const three = [manager('a', 'voting'), manager('b', 'voting'), manager('c', 'voting')];
  expect([0, 1, 2].map((index) => without(three, index))).toEqual([undefined, undefined, undefined]);
});

test('when one of three is away only that one may go', () => {
  const three = [manager('a', 'voting'), manager('b', 'voting'), manager('c', 'voting', 'down')];
  expect(without(three, 2)).toBeUndefined();
  for (const index of [0, 1]) {
    expect(without(three, index)).toMatch(
      /of the managers that are left, .*c.* is away, and the others could change nothing/,
    );
  }
});

test('of five managers one that is there may go beside one that is away', () => {
  const five = ['a', 'b', 'c', 'd'].map((name) => manager(name, 'voting'));
  expect(without([...five, manager('e', 'voting', 'down')], 0)).toBeUndefined();
  const twoAway = [...five.slice(0, 3), manager('d', 'voting', 'down'), manager('e', 'voting', 'down')];
  expect(without(twoAway, 0)).toMatch(/are away/);
  expect(without(twoAway, 3)).toBeUndefined();
});

test('of two managers the standby may go, and the other one when the standby is there to take over', () => {
  const two = [manager('a', 'voting'), manager('b', 'started')];
  expect([without(two, 0), without(two, 1)]).toEqual([undefined, undefined]);
  expect(without([two[0]!, manager('b', 'started', 'down')], 0)).toMatch(/no other manager has a copy/);
  expect(without([two[0]!, manager('b', 'added')], 0)).toMatch(/no other manager has a copy/);
});

test('the manager with the embedded store stays one until another has a copy', () => {
  const two = [manager('a'), manager('b')];
  expect(without(two, 0)).toMatch(/no other manager has a copy/);
  expect(without(two, 1)).toBeUndefined();
});

test('a worker that has its member still is told so; one that never had one is a worker at once', () => {
  const three = [manager('a', 'voting'), manager('b', 'voting'), manager('c', 'voting')];
  expect(demoted(three, three[2]!, leader)).toMatchObject({
    role: 'worker',
    manager: { member: { id: 'c' } },
  });
  expect(demoted([...three, manager('d')], manager('d'), leader)).not.toHaveProperty('manager');
});

test('a host becomes a manager when it is there, and as long as there are fewer than five', () => {
  const four = ['a', 'b', 'c', 'd'].map((name) => manager(name, 'voting'));
  const worker = sampleNode('w', { status: { state: 'ready', since: 0, message: '' } });
  const address = `${worker.description!.address}:2377`;
  expect(promoted(four, worker)).toMatchObject({ role: 'manager', manager: { address } });
  expect(() => promoted([...four, manager('e')], worker)).toThrow(/there are 5 managers/);
  const away = { ...worker, status: { ...worker.status, state: 'down' as const } };
  expect(() => promoted(four, away)).toThrow(/its host is not there/);
});

test('two and four managers come with advice', () => {
  expect([1, 2, 3, 4, 5].map((count) => adviceFor(count) !== undefined)).toEqual([
    false,
    true,
    false,
    true,
    false,
  ]);
});
