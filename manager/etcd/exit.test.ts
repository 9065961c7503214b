import { expect, test } from 'vitest';
import { exitMeaning } from './exit.ts';

const line = (level: string, fields: object) =>
  JSON.stringify({ level, ts: '2026-11-30T20:18:25.931Z', caller: 'etcdmain/etcd.go:271', ...fields });
const info = (msg: string) => line('info', { msg });

// As etcd 3.4.23 has printed them.
const removed = [
  line('warn', { msg: 'server error', error: 'the member has been permanently removed from the cluster' }),
  line('warn', { msg: 'data-dir used by this member must be removed' }),
  info('closed etcd server'),
];
const inUse = line('fatal', {
  msg: 'discovery failed',
  error: 'listen tcp 127.0.0.1:7380: bind: address already in use',
});
const noSpace = line('fatal', {
  msg: 'failed to commit tx',
  error: 'write member/snap/db: no space left on device',
});
const lostLog = line('panic', { msg: 'tocommit(8) is out of range [lastIndex(0)]. Was the raft log lost?' });

test('exitMeaning() knows a member that was removed, and one whose peer was', () => {
  expect(exitMeaning(0, undefined, removed)).toEqual({ kind: 'removed' });
  const peer = line('warn', {
    msg: 'peer became inactive',
    error: 'the member has been permanently removed',
  });
  expect(exitMeaning(0, undefined, [info('removed member'), peer])).toEqual({
    kind: 'other',
    why: 'exit code 0',
  });
});

test('exitMeaning() knows what passes: a full disk, a port that is taken, a folder in use', () => {
  expect(exitMeaning(1, undefined, [noSpace])).toEqual({ kind: 'no space' });
  expect(exitMeaning(1, undefined, [inUse])).toEqual({
    kind: 'bind',
    why: 'listen tcp 127.0.0.1:7380: bind: address already in use',
  });
  expect(exitMeaning(75, undefined, [])).toEqual({ kind: 'locked' });
});

test('exitMeaning() knows data that cannot be used any more', () => {
  const reasons = [
    lostLog,
    line('fatal', { msg: 'discovery failed', error: 'walpb: crc mismatch' }),
    line('fatal', { msg: 'checkInitialHashKV failed', error: '1a: found data inconsistency with peers' }),
    'panic: freepages: failed to get all reachable pages (page 7: invalid page type: 9: 10)',
  ];
  for (const reason of reasons)
    expect(exitMeaning(2, undefined, [reason])).toMatchObject({ kind: 'damaged' });
  // what was merely looked at is no reason
  const looked = [info('starting initial corruption check: walpb: crc mismatch would be told'), inUse];
  expect(exitMeaning(1, undefined, looked)).toMatchObject({ kind: 'bind' });
});

test('exitMeaning() gives the words of every other end', () => {
  const unequal = line('fatal', { msg: 'discovery failed', error: 'member count is unequal' });
  expect(exitMeaning(1, undefined, [info('closed etcd server'), unequal])).toEqual({
    kind: 'other',
    why: 'exit code 1: member count is unequal',
  });
  expect(exitMeaning(undefined, 'SIGKILL', [info('ready')])).toEqual({
    kind: 'other',
    why: 'signal SIGKILL',
  });
  expect(exitMeaning(2, undefined, ['unknown flag'])).toEqual({
    kind: 'other',
    why: 'exit code 2: unknown flag',
  });
});
