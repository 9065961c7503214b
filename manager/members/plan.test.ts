import { expect, test } from 'vitest';
import type { Node, NodeManager } from '../../src/spec/node.ts';
import { sampleNode } from '../../test/samples.ts';
import {
  catchUpMs,
  lagMax,
  planMembers,
  startMs,
  whyNotAdded,
  whyNotRemovable,
  type Ask,
  type MemberFact,
  type MembersView,
} from './plan.ts';

const leaderIndex = 1_000;
const urlOf = (name: string) => `https://${name}:2380`;
const fact = (name: string, changes: Partial<MemberFact> = {}): MemberFact => ({
  id: `id-${name}`,
  name,
  peerUrl: urlOf(name),
  isLearner: false,
  isReachable: true,
  appliedIndex: leaderIndex,
  ...changes,
});
const learner = (name: string, changes: Partial<MemberFact> = {}) =>
  fact(name, { isLearner: true, ...changes });
/** Added, and not started yet. */
const added = (name: string) =>
  learner(name, { id: `id-${name}`, name: '', isReachable: false, appliedIndex: 0 });
const away = { isReachable: false, appliedIndex: 0 };
const ask = (nodeId: string, changes: Partial<Ask> = {}): Ask => ({
  nodeId,
  peerUrl: urlOf(nodeId),
  ...changes,
});

/** Nodes that say what is so of their members already. */
function nodesOf(
  view: Pick<MembersView, 'members'>,
  managers: string[],
  workers: string[] = [],
  since = 0,
): Node[] {
  const node = (id: string, role: 'manager' | 'worker') => {
    const member = view.members.find(({ id: own }) => own === `id-${id}`);
    const phase = member?.name === '' ? 'added' : member?.isLearner === true ? 'started' : 'voting';
    const noted: NodeManager['member'] = member && { id: member.id, phase, since };
    const manager = { address: `${id}:2377`, ...(noted && { member: noted }) };
    return sampleNode(id, { role, ...((role === 'manager' || noted) && { manager }) });
  };
  return [...managers.map((id) => node(id, 'manager')), ...workers.map((id) => node(id, 'worker'))];
}

function viewOf(
  members: MemberFact[],
  managers: string[],
  changes: Partial<MembersView> & { workers?: string[]; since?: number } = {},
): MembersView {
  const { workers, since, ...rest } = changes;
  return {
    backend: 'etcd',
    selfId: 'a',
    nodes: nodesOf({ members }, managers, workers, since),
    members,
    leaderIndex,
    asks: [],
    memory: { termSince: 0, strangerSince: new Map(), caughtUpAt: new Map(), waitsUntil: new Map() },
    ...rest,
  };
}

const [a, b, c] = [fact('a'), fact('b'), fact('c')];

test('the store moves to etcd when a second manager asks for a place, and back when one is left', () => {
  const embedded = { backend: 'embedded' as const };
  expect(planMembers(viewOf([], ['a', 'b'], embedded), 0)).toBeUndefined();
  expect(planMembers(viewOf([], ['a'], { ...embedded, asks: [ask('b')] }), 0)).toBeUndefined();
  expect(planMembers(viewOf([], ['a', 'b'], { ...embedded, asks: [ask('b')] }), 0)).toEqual({
    type: 'move store',
    backend: 'etcd',
  });
  expect(planMembers(viewOf([a], ['a', 'b']), 0)).toBeUndefined();
  expect(planMembers(viewOf([a], ['a']), 0)).toEqual({ type: 'move store', backend: 'embedded' });
});

test('a manager that asks is added without a vote, one after another', () => {
  expect(planMembers(viewOf([a], ['a', 'b', 'c'], { asks: [ask('b'), ask('c')] }), 0)).toEqual({
    type: 'add',
    ask: ask('b'),
  });
  const view = viewOf([a, added('b')], ['a', 'b', 'c'], { asks: [ask('b'), ask('c')] });
  expect(planMembers(view, 0)).toBeUndefined();
  expect(whyNotAdded(view, ask('c'), 0)).toBe('b is being added; one manager comes after another');
  expect(whyNotAdded(view, ask('b'), 0)).toBe('it is a member already');
});

test('nobody is added who is no manager, is too many, takes an address, or failed just now', () => {
  expect(planMembers(viewOf([a], ['a', 'x'], { workers: ['b'], asks: [ask('b')] }), 0)).toBeUndefined();
  const five = ['a', 'b', 'c', 'd', 'e'].map((name) => fact(name));
  const full = viewOf(five, ['a', 'b', 'c', 'd', 'e', 'f'], { asks: [ask('f')] });
  expect(whyNotAdded(full, ask('f'), 0)).toBe('a cluster has at most 5 managers');
  expect(whyNotAdded(viewOf([a], ['a', 'b']), ask('b', { peerUrl: urlOf('a') }), 0)).toContain(
    'is that of manager a',
  );
  const waits = viewOf([a], ['a', 'b'], { asks: [ask('b')] });
  const memory = { ...waits.memory, waitsUntil: new Map([['b', 5_000]]) };
  expect(planMembers({ ...waits, memory }, 4_000)).toBeUndefined();
  expect(planMembers({ ...waits, memory }, 5_000)).toMatchObject({ type: 'add' });
});

test('nobody is added while a manager is away: etcd would refuse, and a person is told what to do', () => {
  const view = viewOf([a, b, fact('c', away)], ['a', 'b', 'c', 'd'], { asks: [ask('d')] });
  expect(planMembers(view, 0)).toBeUndefined();
  expect(whyNotAdded(view, ask('d'), 0)).toContain('manager c cannot be reached');
});

test('the second manager stays without a vote until a third is wished, and is given it first then', () => {
  const two = viewOf([a, learner('b')], ['a', 'b']);
  expect(planMembers(two, 0)).toBeUndefined();
  const three = viewOf([a, learner('b')], ['a', 'b', 'c'], { asks: [ask('c')] });
  expect(planMembers(three, 0)).toEqual({ type: 'promote', member: learner('b') });
  expect(planMembers(viewOf([a, b, learner('c')], ['a', 'b', 'c']), 0)).toMatchObject({ type: 'promote' });
});

test('a vote is given only to who has the whole log but a little, and answers', () => {
  const at = (appliedIndex: number, isReachable = true) =>
    planMembers(viewOf([a, b, learner('c', { appliedIndex, isReachable })], ['a', 'b', 'c']), 0);
  expect(at(leaderIndex - lagMax - 1)).toBeUndefined();
  expect(at(leaderIndex - lagMax)).toMatchObject({ type: 'promote' });
  expect(at(leaderIndex, false)).toBeUndefined();
});

test('what is new of members is noted with their nodes before anything else', () => {
  const members = [a, added('b')];
  const nodes = nodesOf({ members: [a] }, ['a', 'b']);
  const view = viewOf(members, ['a', 'b'], { nodes, asks: [ask('b')] });
  expect(planMembers(view, 7)).toEqual({
    type: 'note',
    notes: [
      { nodeId: 'b', manager: { address: 'b:2377', member: { id: 'id-b', phase: 'added', since: 7 } } },
    ],
  });
  // started since
  const started = viewOf([a, learner('b')], ['a', 'b'], { nodes: nodesOf({ members }, ['a', 'b']) });
  expect(planMembers(started, 9)).toMatchObject({
    notes: [{ nodeId: 'b', manager: { member: { phase: 'started', since: 9 } } }],
  });
  // and gone
  const gone = viewOf([a], ['a', 'b'], { nodes: nodesOf({ members }, ['a', 'b']) });
  expect(planMembers(gone, 9)).toEqual({
    type: 'note',
    notes: [{ nodeId: 'b', manager: { address: 'b:2377' } }],
  });
  const worker = viewOf([a], ['a'], { nodes: nodesOf({ members }, ['a'], ['b']) });
  expect(planMembers(worker, 9)).toEqual({ type: 'note', notes: [{ nodeId: 'b', manager: undefined }] });
});

test('a learner that does not start in time is removed with the reason, counted from the term of who leads now', () => {
  const at = (now: number, termSince = 0) => {
    const view = viewOf([a, added('b')], ['a', 'b'], { since: 1_000 });
    return planMembers({ ...view, memory: { ...view.memory, termSince } }, now);
  };
  expect(at(startMs + 999)).toBeUndefined();
  expect(at(startMs + 1_000, 30_000)).toBeUndefined();
  expect(at(startMs + 1_000)).toEqual({
    type: 'remove',
    member: added('b'),
    why: 'its etcd did not start within 60 s',
    fault: { nodeId: 'b', problem: 'its etcd did not start within 60 s' },
  });
});

test('a member that nobody asked for is removed after the same time', () => {
  const stranger = { ...added('x'), id: 'id-stranger' };
  const view = viewOf([a, stranger], ['a', 'b']);
  const memory = { ...view.memory, strangerSince: new Map([['id-stranger', 500]]) };
  expect(planMembers({ ...view, memory }, startMs)).toBeUndefined();
  expect(planMembers({ ...view, memory }, startMs + 500)).toMatchObject({ type: 'remove', member: stranger });
  // one who asks by that address is who was added
  const asked = { ...view, memory, asks: [ask('b', { peerUrl: stranger.peerUrl })] };
  expect(planMembers(asked, startMs + 500)).toMatchObject({ type: 'note', notes: [{ nodeId: 'b' }] });
});

test('a learner whose copy is not complete in time is removed; a standby that had it and is away stays', () => {
  const late = (changes: Partial<MemberFact>, managers: string[], caughtUpAt?: number) => {
    const view = viewOf([a, learner('b', changes)], managers);
    const memory = {
      ...view.memory,
      caughtUpAt: new Map(caughtUpAt === undefined ? [] : [['id-b', caughtUpAt]]),
    };
    return planMembers({ ...view, memory }, catchUpMs);
  };
  expect(late({ appliedIndex: 5 }, ['a', 'b'])).toMatchObject({ type: 'remove', fault: { nodeId: 'b' } });
  expect(late({ appliedIndex: 5 }, ['a', 'b'], 1)).toBeUndefined();
  expect(late(away, ['a', 'b'])).toBeUndefined();
  // it keeps a third one out
  expect(late(away, ['a', 'b', 'c'])).toMatchObject({ type: 'remove' });
});

test('a member whose node is no manager any more is removed, unless too few would stay', () => {
  expect(planMembers(viewOf([a, b, c], ['a', 'b'], { workers: ['c'] }), 0)).toMatchObject({
    type: 'remove',
    member: { name: 'c' },
  });
  expect(planMembers(viewOf([a, b, fact('c', away)], ['a', 'b']), 0)).toMatchObject({
    member: { name: 'c' },
  });
  const members = [a, b, fact('c', away)];
  const refused = planMembers(viewOf(members, ['a', 'c'], { workers: ['b'] }), 0);
  expect(refused).toMatchObject({
    type: 'note',
    notes: [{ nodeId: 'b', manager: { problem: expect.any(String) } }],
  });
  expect(whyNotRemovable(members, 'id-b')).toBe(
    'of the 2 managers that would stay 1 can be reached, and it takes 2; bring one of them back first',
  );
  expect(whyNotRemovable([a, learner('b')], 'id-a')).toContain('add another manager first');
  expect(whyNotRemovable([a, fact('b', away)], 'id-b')).toContain(
    'of the 2 managers that vote 1 can be reached',
  );
});

test('a member that is silent is never removed for it', () => {
  expect(planMembers(viewOf([a, b, fact('c', away)], ['a', 'b', 'c']), 10 * catchUpMs)).toBeUndefined();
});

test('a leader that is to go removes the others first, then lets another one lead', () => {
  expect(planMembers(viewOf([a, b, c], ['c'], { workers: ['a', 'b'] }), 0)).toMatchObject({
    type: 'remove',
    member: { name: 'b' },
  });
  expect(planMembers(viewOf([a, b, c], ['b', 'c'], { workers: ['a'] }), 0)).toEqual({
    type: 'hand over',
    targets: [b, c],
  });
  // the only other one has no vote yet
  expect(planMembers(viewOf([a, learner('b')], ['b'], { workers: ['a'] }), 0)).toMatchObject({
    type: 'note',
  });
});

test('the only voter that is to go gives the other one its vote first', () => {
  const members = [a, learner('b')];
  const nodes = nodesOf({ members }, ['b'], ['a']).map((node) =>
    node.id === 'a'
      ? {
          ...node,
          manager: {
            ...node.manager!,
            problem: `Cannot make it a worker: ${whyNotRemovable(members, 'id-a')}`,
          },
        }
      : node,
  );
  expect(planMembers(viewOf(members, ['b'], { nodes }), 0)).toMatchObject({
    type: 'promote',
    member: { name: 'b' },
  });
});

test('a member that has lost its data is removed when its own manager says so, and only then', () => {
  const lost = (nodeId: string, id: string) =>
    planMembers(viewOf([a, b, c], ['a', 'b', 'c'], { asks: [ask(nodeId, { lost: id })] }), 0);
  expect(lost('c', 'id-c')).toMatchObject({ type: 'remove', member: { name: 'c' } });
  expect(lost('c', 'id-b')).toBeUndefined();
  expect(lost('c', 'id-old')).toBeUndefined();
});
