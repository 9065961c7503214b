import { expect, test } from 'vitest';
import { drawRound, type Draw } from './draw.ts';
import { rowOf, type State } from './model.ts';

const service = { version: '0', secondPort: false, replicas: 1 };
const state: State = { services: { web: service, api: service, store: service }, home: 'b' };
const many = (of: State): Draw[] =>
  Array.from({ length: 500 }, (_, round) => drawRound(7, round, of, ['b', 'c']));

test('a round is drawn from the seed, its number and the state alone', () => {
  expect(drawRound(7, 3, state, ['b', 'c'])).toEqual(drawRound(7, 3, state, ['b', 'c']));
  expect(many(state)).not.toEqual(Array.from({ length: 500 }, () => drawRound(7, 0, state, ['b', 'c'])));
});

test('every kind of change is drawn', () => {
  const drawn = new Set(
    [...many(state), ...many({ ...state, drained: 'c' })].flatMap(({ changes }) => changes.map(rowOf)),
  );
  expect([...drawn].toSorted()).toMatchInlineSnapshot(`
    [
      "activate",
      "drain",
      "lose",
      "restart",
      "rollback",
      "scale",
      "up, bad constraint",
      "up, bad crash",
      "up, bad health",
      "up, bad image",
      "up, bad memory",
      "up, bad port",
      "up, bad reservation",
      "up, bad secret",
      "up, good version",
      "up, no room, and rollback",
      "up, other ports",
      "up, replicas",
    ]
  `);
});

test('a round changes one node at most, and while one is drained only that one', () => {
  for (const { changes } of many(state))
    expect(changes.filter((change) => 'node' in change).length).toBeLessThan(2);
  const nodes = many({ ...state, drained: 'c' }).flatMap(({ changes }) =>
    changes.filter((change) => 'node' in change),
  );
  expect(new Set(nodes.map(({ kind, node }) => `${kind} ${node}`))).toEqual(new Set(['activate c']));
});

test('a store that waits for its node is left alone', () => {
  const changes = many({ ...state, drained: 'b' }).flatMap((draw) => draw.changes);
  expect(changes.filter((change) => 'service' in change && change.service === 'store')).toEqual([]);
});
