import { expect, test } from 'vitest';
import { mismatches } from './compare.ts';
import type { State } from './model.ts';
import type { Container, Seen } from './reality.ts';

const images = { server: 'registry/server', store: 'registry/store' };
const state: State = {
  services: {
    web: { version: '1', secondPort: false, replicas: 2 },
    api: { version: '2', secondPort: false, replicas: 1 },
    store: { version: '0', secondPort: false, replicas: 1 },
  },
  home: 'b',
};

function container(id: string, host: string, more: Partial<Container> = {}): Container {
  const [image, version] = id.startsWith('store')
    ? ['registry/store:0', '0']
    : id.startsWith('api')
      ? ['registry/server:2', '2']
      : ['registry/server:1', '1'];
  return { id, host, image, version, ...more };
}

/** All as it must be. */
function right(): Seen {
  const containers = [
    container('web1', 'a'),
    container('web2', 'b'),
    container('api1', 'c'),
    container('store1', 'b'),
  ];
  const rows = containers.map(({ id, host, image }) => ({
    id,
    name: id,
    service: `hurt_${id.slice(0, -1)}`,
    image,
    node: host,
    desiredState: 'running',
    state: 'running',
    at: 0,
    message: '',
  }));
  const answer = { version: '1', replica: 'web1', api: { version: '2', replica: 'api1' } };
  return {
    summary: { name: 'hurt', services: 3, serving: 4, updated: 4, desired: 4, state: 'running' },
    rows,
    containers,
    answers: [{ host: 'a', answer }],
    secondPortOn: [],
    starts: [{ host: 'b', lines: ['0', '0'] }],
  };
}

const compare = (seen: Seen, of = state, starts = ['0']) => mismatches(seen, of, images, starts);

test('where all agree nothing is told', () => {
  expect(compare(right())).toEqual([]);
});

test('a container that ps does not show, and a task that does not run, are told', () => {
  const seen = right();
  seen.containers.push(container('web3', 'c'));
  seen.containers.shift();
  expect(compare(seen)).toEqual([
    '1 containers of web run, of 2',
    'container web3 runs on c, and ps does not show that it does',
    'ps shows web1 (web1) running on a, and it does not',
    'the port of a answers from web1, which does not run',
  ]);
});

test('a container of another version, and an answer of one, are told', () => {
  const seen = right();
  seen.containers[0] = container('web1', 'a', { version: '0' });
  seen.answers[0] = {
    host: 'a',
    answer: { version: '0', replica: 'web1', api: { version: '2', replica: 'api1' } },
  };
  expect(compare(seen)).toEqual([
    'container web1 of web on a is version 0 of registry/server:1',
    'the port of a answers with version 0 of web',
  ]);
});

test('what ls shows is told where it is not so', () => {
  const seen = right();
  seen.summary = { ...seen.summary!, serving: 3, state: 'failed' };
  expect(compare(seen)).toEqual(['ls shows 3/4 serving, 4/4 updated, failed; it is 4/4']);
});

test('a port that does not answer, and one that is open and must not be, are told', () => {
  const seen = right();
  seen.answers[0] = { host: 'a', answer: 'refused' };
  seen.secondPortOn = ['a'];
  expect(compare(seen)).toEqual([
    'the port of a does not answer: refused',
    'the second port is open on a, of 0',
  ]);
});

test('a store whose node is drained does not run, and ls says so', () => {
  const seen = right();
  seen.containers = seen.containers.filter(({ host }) => host !== 'b').concat(container('web2', 'c'));
  seen.rows = seen.rows
    .filter(({ id }) => id !== 'store1')
    .map((row) => (row.id === 'web2' ? { ...row, node: 'c' } : row));
  seen.summary = { ...seen.summary!, serving: 3, state: 'failed' };
  expect(compare(seen, { ...state, drained: 'b' })).toEqual([]);
  expect(compare(seen)).toContain('0 containers of store run, of 1');
  expect(compare(right(), { ...state, drained: 'b' })).toContain(
    'container store1 runs on b, which is drained',
  );
});

test('data that is not there any more, or on another node too, is told', () => {
  const seen = right();
  seen.starts = [
    { host: 'b', lines: ['2'] },
    { host: 'c', lines: [] },
  ];
  expect(compare(seen)).toEqual([
    'the volume is on c too',
    'the volume on b does not have what was noted there before',
  ]);
});
