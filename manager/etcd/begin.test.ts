import { expect, test } from 'vitest';
import { decideBegin, type EtcdBegin } from './begin.ts';
import type { MemberNote } from './folder.ts';

const own = { name: 'node-a', address: '192.0.2.1', ports: { client: 2379, peer: 2380 } };
const note: MemberNote = { ...own, memberId: '7', isStarted: true };
const existing = (memberId: string): EtcdBegin => ({
  state: 'existing',
  memberId,
  members: [{ name: 'node-a', peerUrl: 'https://192.0.2.1:2380' }],
});

test('decideBegin() gives an added member no data of another one', () => {
  expect(decideBegin(existing('8'), own, { hasData: true, note })).toMatchObject({
    setAside: true,
    note: { memberId: '8', isStarted: false },
  });
  expect(decideBegin(existing('7'), own, { hasData: true, note })).toMatchObject({
    setAside: false,
    note: { memberId: '7', isStarted: true },
  });
});

test('decideBegin() starts an added member again that was killed before it had data', () => {
  const begun = { ...note, isStarted: false };
  expect(decideBegin(existing('7'), own, { hasData: false, note: begun })).toMatchObject({
    setAside: false,
    start: { state: 'existing' },
  });
});

test('decideBegin() never starts a member that has lost what it promised', () => {
  expect(() => decideBegin(existing('7'), own, { hasData: false, note })).toThrow('has lost its data');
  expect(() => decideBegin({ state: 'continue' }, own, { hasData: false, note })).toThrow(
    'has lost its data',
  );
  expect(() => decideBegin({ state: 'continue' }, own, { hasData: true, note: undefined })).toThrow('lost');
});

test('decideBegin() refuses another address than the others know', () => {
  const moved = { ...own, address: '192.0.2.9' };
  expect(() => decideBegin({ state: 'continue' }, moved, { hasData: true, note })).toThrow(
    'Cannot start etcd as node-a at 192.0.2.9:2379,2380: the other managers know this member as node-a at 192.0.2.1',
  );
});

test('decideBegin() begins a new cluster of etcd with nothing', () => {
  const begin: EtcdBegin = { state: 'new', token: 'g2' };
  expect(decideBegin(begin, own, { hasData: true, note })).toEqual({
    setAside: true,
    start: begin,
    note: { ...own, isStarted: false },
  });
});
