import { expect, test } from 'vitest';
import type { TaskRow } from '../../../src/cli/tasks.ts';
import { contradictions, heardMsMax, MidwayLooks, type MidwayLook } from './midway.ts';

const image = 'registry/server:1';

function row(id: string, name: string, more: Partial<TaskRow> = {}): TaskRow {
  return {
    id,
    name,
    service: 'hurt_web',
    image,
    version: 2,
    node: 'b',
    nodeState: 'ready',
    desiredState: 'running',
    state: 'running',
    at: 0,
    message: '',
    ...more,
  };
}

/** One replica is replaced: its old task ends, its new one starts. */
function look(more: Partial<MidwayLook> = {}): MidwayLook {
  const old = row('old', 'hurt_web.1', { version: undefined, desiredState: 'shutdown' });
  return {
    beganMs: 0,
    before: [old, row('new', 'hurt_web.1', { state: 'starting' })],
    summary: { name: 'hurt', services: 1, serving: 1, updated: 1, desired: 1, state: 'updating' },
    containers: [{ id: 'new', host: 'b', image, version: '2' }],
    after: [{ ...old, state: 'shutdown' }, row('new', 'hurt_web.1')],
    ...more,
  };
}

/** Nothing moves. */
function still(more: Partial<MidwayLook> = {}, task: Partial<TaskRow> = {}): MidwayLook {
  const rows = [row('new', 'hurt_web.1', task)];
  return look({ before: rows, after: rows, ...more });
}

const wrong = (of: MidwayLook, away: string[] = []) => contradictions(of, new Set(away)).wrong;

test('what changes between both askings is not compared', () => {
  expect(contradictions(look(), new Set())).toEqual({ wrong: [], unheard: new Map() });
});

test('a task that is shown running before and after and does not run is wrong once that lasts', () => {
  const looks = new MidwayLooks(new Set());
  const missing = (beganMs: number) => still({ beganMs, containers: [] });
  looks.add(missing(0));
  looks.add(missing(heardMsMax - 1));
  expect([...looks.wrong]).toEqual([]);
  looks.add(missing(heardMsMax));
  expect([...looks.wrong]).toEqual([
    `ps shows hurt_web.1 (new) running on b, and it does not, for over ${heardMsMax} ms`,
  ]);
});

test('how long a container is missing begins anew when it was there', () => {
  const looks = new MidwayLooks(new Set());
  looks.add(still({ containers: [] }));
  looks.add(still({ beganMs: heardMsMax }));
  looks.add(still({ beganMs: heardMsMax + 1, containers: [] }));
  expect([[...looks.wrong], looks.count]).toEqual([[], 3]);
});

test('a container that ps does not show, on another host or with another image than it shows, is told', () => {
  const container = { id: 'new', host: 'b', image, version: '2' };
  expect(wrong(look({ containers: [{ ...container, id: 'other' }] }))).toEqual([
    'container other runs on b, and ps does not show it',
  ]);
  expect(wrong(look({ containers: [{ ...container, host: 'c' }] }))).toEqual([
    'container new of hurt_web.1 runs on c, and ps shows it on b',
  ]);
  expect(wrong(look({ containers: [{ ...container, image: 'registry/server:0' }] }))).toEqual([
    'container new of hurt_web.1 runs on b with registry/server:0, and ps shows registry/server:1',
  ]);
});

test('a task that is placed and started between both askings is right', () => {
  const unplaced = row('new', 'hurt_web.1', { node: '', state: 'pending' });
  expect(wrong(look({ before: [unplaced], after: [row('new', 'hurt_web.1')] }))).toEqual([]);
});

test('a container that runs after ps has shown its end is told, but on a host that was away', () => {
  const ended = still({}, { state: 'failed' });
  expect(wrong(ended)).toContain('container new of hurt_web.1 runs on b, and ps showed it failed before');
  expect(wrong(ended, ['b'])).not.toContain(
    'container new of hurt_web.1 runs on b, and ps showed it failed before',
  );
});

test('what a host has that is away is not compared, and ps says that it is not known', () => {
  const gone = (message: string) => still({ containers: [] }, { nodeState: 'down', message });
  expect(contradictions(gone('not known: silent'), new Set(['b']))).toEqual({
    wrong: [],
    unheard: new Map(),
  });
  expect(wrong(gone(''), ['b'])).toEqual([
    'ps shows hurt_web.1 running on b, which is down, as if that were known',
  ]);
});

test('ls counts the replicas that ps shows, and says running only when all are current', () => {
  const summary = {
    name: 'hurt',
    services: 1,
    serving: 2,
    updated: 1,
    desired: 1,
    state: 'running' as const,
  };
  expect(wrong(still({ summary }))).toEqual([
    'ls shows 2/1 serving, and ps 1 replicas that run',
    'ls shows running with 2/1 serving, 1/1 updated',
  ]);
  const old = still({ summary: { ...summary, serving: 1 } }, { version: undefined });
  expect(wrong(old)).toEqual(['ls shows running with 1/1 serving, 1/1 updated']);
  expect(wrong(still({ summary: undefined }))).toEqual(['ls does not show the project']);
});
