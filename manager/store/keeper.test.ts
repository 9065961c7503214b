import { expect, test } from 'vitest';
import { ManualClock } from '../../test/manual-clock.ts';
import { createLogger } from '../../src/util/log.ts';
import { until } from '../testing.ts';
import { createStoreKeeper, membersApart, planRoom, Revisions } from './keeper.ts';
import { createMemoryStore } from './memory.ts';
import type { MemberSize, StoreUpkeep } from './store.ts';

const mebi = 1024 * 1024;
const quotaBytes = 1_000 * mebi;
const minute = 60 * 1000;

const size = (endpoint: string, used: number, inUse: number, changes: Partial<MemberSize> = {}) => ({
  endpoint,
  isLeader: false,
  isLearner: false,
  bytes: used * mebi,
  inUseBytes: inUse * mebi,
  ...changes,
});
const leader = { isLeader: true };

test('the revision of ten minutes ago is known after ten minutes, and nothing older is kept', () => {
  const revisions = new Revisions();
  for (let at = 0; at <= 9; at++) revisions.note(at * minute, at);
  expect(revisions.old(9 * minute)).toBeUndefined();
  revisions.note(10 * minute, 10);
  expect(revisions.old(10 * minute)).toBe(0);
  revisions.note(15.5 * minute, 11);
  expect(revisions.old(15.5 * minute)).toBe(5);
});

test.each([
  ['small files are left alone', [size('a', 200, 10, leader), size('b', 200, 10)], 'nothing'],
  [
    'files that are mostly in use are left alone',
    [size('a', 400, 250, leader), size('b', 400, 250)],
    'nothing',
  ],
  ['a follower goes first', [size('a', 400, 100, leader), size('b', 400, 100)], 'b'],
  [
    'the leader hands over when only it is left',
    [size('a', 400, 100, leader), size('b', 90, 80)],
    'hand over',
  ],
  ['a single member does it as it stands', [size('a', 400, 100, leader)], 'a'],
  [
    'a learner takes no orders, and is nobody to hand over to',
    [size('a', 400, 100, leader), size('b', 400, 100, { isLearner: true })],
    'a',
  ],
  [
    'nothing is done while a member is away',
    [size('a', 400, 100, leader), size('b', 400, 100), undefined],
    'nothing',
  ],
  ['near the quota whatever can be won is', [size('a', 100, 90, leader), size('b', 810, 700)], 'b'],
  [
    'near the quota nothing is done for nothing',
    [size('a', 100, 90, leader), size('b', 810, 800)],
    'nothing',
  ],
])('%s', (_, sizes, expected) => {
  const room = planRoom(sizes, quotaBytes);
  expect(room.action === 'defragment' ? room.endpoint : room.action).toBe(expected);
});

const hash = (endpoint: string, value: number, fromRevision = 7) => ({ endpoint, hash: value, fromRevision });

test.each([
  ['the same data', [hash('a', 1), hash('b', 1), hash('c', 1)], []],
  ['one that differs from most', [hash('a', 1), hash('b', 2), hash('c', 1)], ['b']],
  ['two that differ', [hash('a', 1), hash('b', 2)], ['a', 'b']],
  ['two that differ while a third one is away', [hash('a', 1), undefined, hash('c', 2)], ['a', 'c']],
  ['one whose past is gone up to another revision', [hash('a', 1), hash('b', 2, 8), hash('c', 1)], []],
  ['nobody answers', [undefined, undefined, undefined], []],
])('members apart: %s', (_, hashes, expected) => {
  expect(membersApart(hashes)).toEqual(expected);
});

/** A store of one or more members that says what it is told to, and remembers what it was asked for. */
function fakeUpkeep(members: MemberSize[]) {
  const hashes = members.map(({ endpoint }) => hash(endpoint, 1));
  const state = {
    revision: 0,
    watched: Infinity,
    isFull: false,
    isLeading: true,
    hashes,
    asked: [] as string[],
  };
  const upkeep: StoreUpkeep = {
    quotaBytes,
    isLeading: () => Promise.resolve(state.isLeading),
    sizes: () => Promise.resolve(members),
    hashes: () => Promise.resolve(state.hashes),
    isFull: () => Promise.resolve(state.isFull),
    endFull: async () => void state.asked.push('open'),
    revision: () => Promise.resolve(state.revision),
    watchedRevision: () => Promise.resolve(state.watched),
    tellWatched: () => Promise.resolve(),
    compact: async (revision) => void state.asked.push(`compact ${revision}`),
    defragment: async (endpoint) => {
      state.asked.push(`defragment ${endpoint}`);
      const member = members.find((each) => each.endpoint === endpoint)!;
      member.bytes = member.inUseBytes;
    },
    handOver: async () => void state.asked.push('hand over'),
  };
  return { upkeep, state };
}

/** A keeper whose passes are made one at a time. */
function keeperOf(upkeep: StoreUpkeep) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const store = Object.assign(createMemoryStore(), { upkeep });
  const log = createLogger({ level: 'info', now: () => 0, write: (line) => lines.push(line) });
  const keeper = createStoreKeeper({ store, clock, log });
  const told = () => lines.splice(0).map((line) => (JSON.parse(line) as { level: string }).level);
  const pass = async () => {
    await until(() => clock.timers === 1);
    clock.advance(minute);
    await until(() => clock.timers === 1);
  };
  return { keeper, pass, told };
}

test('the store forgets what is ten minutes old, but nothing that a manager has not seen', async () => {
  const { upkeep, state } = fakeUpkeep([size('a', 10, 5, leader)]);
  const { keeper, pass } = keeperOf(upkeep);
  keeper.start();
  for (let at = 1; at <= 12; at++) {
    state.revision = at * 100;
    await pass();
  }
  expect(state.asked).toEqual(['compact 100', 'compact 200']);
  state.watched = 250;
  for (let round = 0; round < 3; round++) await pass();
  expect(state.asked.slice(2)).toEqual(['compact 250']);
  state.isLeading = false;
  state.watched = Infinity;
  await pass();
  expect(state.asked).toHaveLength(3);
  await keeper.stop();
});

test('near the quota it is told once, and room is made at once', async () => {
  const { upkeep, state } = fakeUpkeep([size('a', 750, 700, leader)]);
  const { keeper, pass, told } = keeperOf(upkeep);
  keeper.start();
  state.revision = 5;
  await pass();
  await pass();
  expect([told(), state.asked]).toEqual([['warn'], []]);
  (await upkeep.sizes())[0]!.bytes = 900 * mebi;
  await pass();
  expect([told(), state.asked]).toEqual([['info'], ['compact 5', 'defragment a']]);
  await keeper.stop();
});

test('a member that has other data is told of every ten minutes', async () => {
  const { upkeep, state } = fakeUpkeep([size('a', 10, 5, leader), size('b', 10, 5), size('c', 10, 5)]);
  const { keeper, pass, told } = keeperOf(upkeep);
  keeper.start();
  await pass();
  expect(told()).toEqual([]);
  state.hashes[1]!.hash = 2;
  for (let at = 0; at < 8; at++) await pass();
  expect(told()).toEqual([]);
  await pass();
  expect(told()).toEqual(['error']);
  await keeper.stop();
});

test('a store that is full is opened again once there is room, the leader being made smaller last', async () => {
  const sizes = [size('a', 1_000, 500, leader), size('b', 1_000, 990), size('c', 1_000, 400)];
  const { upkeep, state } = fakeUpkeep(sizes);
  const { keeper, pass, told } = keeperOf(upkeep);
  state.isFull = true;
  keeper.start();
  await pass();
  expect(state.asked).toEqual(['defragment c', 'defragment a']);
  expect(told()).toEqual(['error', 'error', 'error', 'error']);
  sizes[1]!.inUseBytes = 100 * mebi;
  await pass();
  expect(state.asked.slice(2)).toEqual(['defragment b', 'open']);
  await keeper.stop();
});
