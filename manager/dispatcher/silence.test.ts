import { expect, test } from 'vitest';
import { agentReturnMs, nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { NodeState } from '../../src/spec/node.ts';
import { sampleNode } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { agentStalledMsMax } from './findings.ts';
import { Hearing, pausesExcusedMax } from './hearing.ts';
import { crowdSilenceMs, freshMs, loneSilenceMs, planSilence, type OwnHost } from './silence.ts';

const lookMs = 200;
const own: OwnHost = { address: '192.0.2.1', isAttached: true };

/** A cluster whose manager is on `own`, and time that passes with a look every 200 ms. */
class Cluster {
  now = 0;
  readonly states = new Map<string, NodeState>();
  readonly hearing = new Hearing(0, lookMs);
  own = own;
  isLost = false;
  /** Nodes whose kernels answer. */
  answering: string[] = [];
  stalled: string[] = [];
  unknown: string[] = [];
  readonly downAt = new Map<string, number>();

  constructor(...names: string[]) {
    for (const name of names) this.states.set(name, 'ready');
  }

  /** Time passes while these nodes are heard; gives who was called down, and when. */
  pass(ms: number, heard: string[] = []): ReadonlyMap<string, number> {
    for (const end = this.now + ms; this.now < end;) {
      this.now += lookMs;
      for (const name of heard) this.hearing.heard(name, this.now);
      this.look();
    }
    return this.downAt;
  }

  /** The manager stands still, and then hears these before it judges anybody. */
  stall(ms: number, heard: string[] = []): void {
    this.now += ms;
    for (const name of heard) this.hearing.heard(name, this.now);
    this.look();
  }

  look(): void {
    this.hearing.look(this.now);
    const nodes = [...this.states].map(([id, state], index) => {
      const description = { ...sampleNode(id).description!, address: `192.0.2.${index + 1}` };
      return sampleNode(id, { description, status: { state, since: 0, message: '' } });
    });
    const hasAnswered = (id: string) => this.answering.includes(id);
    const found = planSilence(viewOf({ nodes }), this.hearing, this.own, 0, hasAnswered);
    const { plan, isLost } = found;
    this.stalled = found.stalled.map(({ id }) => id);
    this.unknown = found.unknown.map(({ id }) => id);
    const isBack = this.isLost && !isLost;
    this.isLost = isLost;
    if (isBack) return this.hearing.regain(freshMs);
    for (const [change] of plan) {
      this.states.set(change!.object.id, 'down');
      this.hearing.calledDown(change!.object.id);
      this.downAt.set(change!.object.id, this.now);
    }
  }
}

test('a host that falls silent is down soon after, and only that one', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(5_000, ['own', 'a', 'b']);
  expect(cluster.pass(10_000, ['own', 'b'])).toEqual(new Map([['a', 5_000 + nodeSilenceMs]]));
});

test('a host that closed its connection has time to start its agent again', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(1_000, ['own', 'a', 'b']);
  cluster.hearing.closed('a', cluster.now);
  expect(cluster.pass(20_000, ['own', 'b'])).toEqual(new Map([['a', 1_000 + agentReturnMs]]));
});

test('a node that never reported stays unknown', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.states.set('a', 'unknown');
  expect(cluster.pass(100_000, ['own', 'b']).size).toBe(0);
});

test('after a start of the manager nodes have time to come back', () => {
  const cluster = new Cluster('own', 'a', 'b');
  expect(cluster.pass(agentReturnMs - lookMs, ['own', 'b']).size).toBe(0);
  expect(cluster.pass(lookMs, ['own', 'b'])).toEqual(new Map([['a', agentReturnMs]]));
});

test('the host of a manager that was lost is down as soon as a silent one, and the others have time to come back', () => {
  const cluster = new Cluster('own', 'a', 'b', 'c');
  cluster.hearing.lost('a', 0);
  expect(cluster.pass(5_000, ['own', 'b'])).toEqual(new Map([['a', nodeSilenceMs]]));
  expect(cluster.hearing.lostNodeIds).toEqual(['a']);
});

test('of a manager that was lost the host that answers, or comes back, is not down for that', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.hearing.lost('a', 0);
  cluster.pass(1_000, ['own', 'b']);
  cluster.hearing.answered('a');
  expect(cluster.pass(20_000, ['own', 'b'])).toEqual(new Map([['a', agentReturnMs]]));
  const back = new Cluster('own', 'a', 'b');
  back.hearing.lost('a', 0);
  expect(back.pass(20_000, ['own', 'a', 'b']).size).toBe(0);
  expect(back.hearing.lostNodeIds).toEqual([]);
});

test('a manager that has just taken over and hears nobody calls nobody down, and the lost one soon after it hears again', () => {
  const cluster = new Cluster('own', 'a', 'b', 'c');
  cluster.hearing.lost('a', 0);
  expect(cluster.pass(8_000, ['own']).size).toBe(0);
  cluster.pass(lookMs, ['own', 'b']);
  expect(cluster.pass(nodeSilenceMs, ['own', 'b', 'c'])).toEqual(
    new Map([['a', 8_000 + lookMs + nodeSilenceMs]]),
  );
});

test('a manager that was itself stopped blames nobody, however long it was', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(2_000, ['own', 'a', 'b']);
  cluster.stall(3_600_000, ['own', 'b']);
  expect(cluster.pass(nodeSilenceMs - 2 * lookMs, ['own', 'b']).size).toBe(0);
  cluster.hearing.heard('a', cluster.now);
  expect(cluster.pass(1_000, ['own', 'a', 'b']).size).toBe(0);
});

test('a manager that stalls again and again still finds a dead host', () => {
  for (const stallMs of [700, 1_300, 4_000, 15_000]) {
    const cluster = new Cluster('own', 'a', 'b');
    cluster.pass(2_000, ['own', 'a', 'b']);
    const from = cluster.now;
    while (cluster.downAt.size === 0 && cluster.now < 10 * 60_000) cluster.stall(stallMs, ['own', 'b']);
    expect(cluster.downAt.keys().toArray()).toEqual(['a']);
    expect(cluster.now - from).toBeLessThanOrEqual(pausesExcusedMax * stallMs + nodeSilenceMs + 2 * stallMs);
  }
});

test('short gaps do not delay the finding of a dead host', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(2_000, ['own', 'a', 'b']);
  const from = cluster.now;
  while (cluster.downAt.size === 0) cluster.stall(500, ['own', 'b']);
  expect(cluster.downAt.get('a')! - from).toBeLessThanOrEqual(nodeSilenceMs + 500);
});

test('a manager that hears nobody has lost itself: nobody is down, not even much later', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(2_000, ['own', 'a', 'b']);
  expect(cluster.pass(600_000, ['own']).size).toBe(0);
  expect(cluster.isLost).toBe(true);
  // One of them is heard again, and the other one has as long as after a start.
  cluster.pass(agentReturnMs, ['own', 'a']);
  expect([cluster.isLost, cluster.downAt.size]).toEqual([false, 0]);
  cluster.pass(lookMs, ['own', 'a']);
  expect(cluster.downAt.keys().toArray()).toEqual(['b']);
});

test('of silent hosts that are not called down it is said that nothing is known', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(2_000, ['own', 'a', 'b']);
  cluster.pass(nodeSilenceMs - lookMs, ['own']);
  expect([cluster.isLost, cluster.unknown]).toEqual([true, []]);
  cluster.pass(lookMs, ['own']);
  expect(cluster.unknown).toEqual(['a', 'b']);
  cluster.pass(lookMs, ['own', 'a', 'b']);
  expect(cluster.unknown).toEqual([]);
  const names = ['a', 'b', 'c', 'd'];
  const crowd = new Cluster('own', ...names);
  crowd.pass(2_000, ['own', ...names]);
  crowd.pass(5_000, ['own', 'd']);
  expect([crowd.downAt.size, crowd.unknown]).toEqual([2, ['c']]);
});

test('a manager whose hosts have all closed their connections is not cut off: they are called down', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(1_000, ['own', 'a', 'b']);
  for (const name of ['a', 'b']) cluster.hearing.closed(name, cluster.now, true);
  cluster.pass(agentReturnMs, ['own']);
  expect([cluster.isLost, cluster.downAt.keys().toArray(), cluster.unknown]).toEqual([false, ['a'], ['b']]);
  expect(cluster.pass(crowdSilenceMs, ['own']).get('b')).toBe(1_000 + crowdSilenceMs);
});

test('connections that the manager closed, or that broke, are no sign of the others', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(1_000, ['own', 'a', 'b']);
  for (const name of ['a', 'b']) cluster.hearing.closed(name, cluster.now);
  expect(cluster.pass(600_000, ['own']).size).toBe(0);
  expect(cluster.unknown).toEqual(['a', 'b']);
});

test('a host that is silent while the others have left is like the only other one', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(1_000, ['own', 'a', 'b']);
  cluster.hearing.closed('a', cluster.now, true);
  cluster.own = { ...own, isAttached: false };
  expect(cluster.pass(60_000, ['own']).size).toBe(0);
  cluster.own = own;
  cluster.pass(agentReturnMs + crowdSilenceMs, ['own']);
  expect(cluster.downAt.keys().toArray().toSorted()).toEqual(['a', 'b']);
});

test('a manager whose hosts’ kernels answer is not cut off', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(1_000, ['own', 'a', 'b']);
  cluster.answering = ['a', 'b'];
  cluster.pass(5_000, ['own']);
  expect([cluster.isLost, cluster.stalled]).toEqual([false, ['a', 'b']]);
});

test('hosts that fall silent within one heartbeat of each other are not called down one by one', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(2_000, ['own', 'a', 'b']);
  cluster.pass(600, ['own', 'b']);
  expect(cluster.pass(60_000, ['own']).size).toBe(0);
});

test('the only other host is called down later, for the manager may be the one that is cut off', () => {
  const cluster = new Cluster('own', 'a');
  cluster.pass(1_000, ['own', 'a']);
  expect(cluster.pass(20_000, ['own'])).toEqual(new Map([['a', 1_000 + loneSilenceMs]]));
});

test('the only other host is not called down while the manager’s own network is down', () => {
  const cluster = new Cluster('own', 'a');
  cluster.pass(1_000, ['own', 'a']);
  cluster.own = { ...own, isAttached: false };
  expect(cluster.pass(60_000, ['own']).size).toBe(0);
  cluster.own = own;
  expect(cluster.pass(agentReturnMs, ['own']).size).toBe(0);
  expect(cluster.pass(lookMs, ['own']).size).toBe(1);
});

test('no more than half of the other hosts are called down at once; the rest gets more time', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const cluster = new Cluster('own', ...names);
  cluster.pass(2_000, ['own', ...names]);
  expect(cluster.pass(crowdSilenceMs - 2 * lookMs, ['own', 'f']).size).toBe(3);
  expect(cluster.pass(2 * lookMs, ['own', 'f']).size).toBe(5);
});

test('a manager’s own agent that does not come back is down, whoever else is heard', () => {
  const cluster = new Cluster('own', 'a', 'b');
  cluster.pass(1_000, ['own', 'a', 'b']);
  cluster.hearing.closed('own', cluster.now);
  expect(cluster.pass(20_000, ['a', 'b']).get('own')).toBe(1_000 + agentReturnMs);
});

test('a silent host whose kernel answers is called down only after a minute', () => {
  const cluster = new Cluster('a', 'b', 'c', 'd');
  cluster.pass(1_000, ['a', 'b', 'c', 'd']);
  cluster.answering = ['d'];
  expect(cluster.pass(agentStalledMsMax - 1_000, ['a', 'b', 'c'])).toEqual(new Map());
  expect(cluster.stalled).toEqual(['d']);
  expect([...cluster.pass(2_000, ['a', 'b', 'c']).keys()]).toEqual(['d']);
});

test('one whose kernel stops to answer is down at once, and one whose agent has ended is not asked', () => {
  const cluster = new Cluster('a', 'b', 'c', 'd', 'e');
  cluster.pass(1_000, ['a', 'b', 'c', 'd', 'e']);
  cluster.answering = ['c', 'd'];
  cluster.hearing.closed('c', cluster.now);
  cluster.pass(5_000, ['a', 'b', 'e']);
  expect(cluster.stalled).toEqual(['d']);
  cluster.answering = [];
  expect([...cluster.pass(lookMs, ['a', 'b', 'e']).keys()]).toEqual(['d']);
  cluster.answering = ['c', 'd'];
  expect([...cluster.pass(agentReturnMs, ['a', 'b', 'e']).keys()]).toEqual(['d', 'c']);
});

test("the manager's own agent that stands still is not a dead host either", () => {
  const cluster = new Cluster('a', 'b', 'c');
  cluster.pass(1_000, ['a', 'b', 'c']);
  cluster.answering = ['a'];
  expect(cluster.pass(20_000, ['b', 'c'])).toEqual(new Map());
  expect(cluster.stalled).toEqual(['a']);
});
