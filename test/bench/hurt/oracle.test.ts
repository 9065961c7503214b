import { expect, test } from 'vitest';
import type { Change, State } from './model.ts';
import { outcomesOf, whyUnexpected, whyUnsaid, type Finals } from './oracle.ts';

const state: State = {
  services: {
    web: { version: '1', secondPort: false, replicas: 3, target: { version: '0', secondPort: false } },
    api: { version: '1', secondPort: false, replicas: 2 },
    store: { version: '1', secondPort: false, replicas: 1 },
  },
  home: 'b',
};

/** What the services are, with changes of `web`. */
function finals(web: Partial<Finals['web']> = {}): Finals {
  const at = (replicas: number) => ({ version: '1', secondPort: false, replicas });
  return { web: { ...at(3), ...web }, api: at(2), store: at(1) };
}

const up = (more: Partial<Extract<Change, { kind: 'up' }>>): Change => ({
  kind: 'up',
  service: 'web',
  version: '2',
  ...more,
});

test('what is refused changes nothing and exits 1', () => {
  expect(outcomesOf(state, [up({ fault: 'port' })])).toEqual([{ exits: [[1]], services: finals() }]);
});

test('what fails later is rolled back and exits 1, and keeps the number of replicas that was asked for', () => {
  const change = up({ fault: 'crash', replicas: 5 });
  expect(outcomesOf(state, [change])).toEqual([{ exits: [[1]], services: finals({ replicas: 5 }) }]);
});

test('what has no room exits 1, and its rollback leaves what was there with the new number of replicas', () => {
  const change: Change = { kind: 'overfill', service: 'web', version: '2', replicas: 5 };
  expect(outcomesOf(state, [change])).toEqual([{ exits: [[1]], services: finals({ replicas: 5 }) }]);
});

test('a good version exits 0 and is there', () => {
  expect(outcomesOf(state, [up({ replicas: 4 })])).toEqual([
    { exits: [[0]], services: finals({ version: '2', replicas: 4 }) },
  ]);
});

test('another port without another version is told apart', () => {
  const change: Change = { kind: 'up', service: 'web', togglesPort: true };
  expect(outcomesOf(state, [change])).toEqual([{ exits: [[0]], services: finals({ secondPort: true }) }]);
});

test('a rollback returns to its target, and is refused without one', () => {
  expect(outcomesOf(state, [{ kind: 'rollback', service: 'web' }])).toEqual([
    { exits: [[0]], services: finals({ version: '0' }) },
  ]);
  expect(outcomesOf(state, [{ kind: 'rollback', service: 'api' }])).toEqual([
    { exits: [[1]], services: finals() },
  ]);
});

test('an up while the node with the volume is drained fails, and one while it is being drained may', () => {
  expect(outcomesOf({ ...state, drained: 'b' }, [up({})])[0]!.exits).toEqual([[1]]);
  expect(outcomesOf({ ...state, drained: 'c' }, [up({})])[0]!.exits).toEqual([[0]]);
  expect(outcomesOf(state, [up({}), { kind: 'drain', node: 'b' }])[0]!.exits).toEqual([[0, 1], [0]]);
});

test('of two ups the later one is there, and the earlier one was overtaken or had come to its end before', () => {
  const pair = [up({ version: '2a' }), up({ version: '2b' })];
  const outcomes = outcomesOf(state, pair);
  expect(whyUnexpected(outcomes, [4, 0], finals({ version: '2b' }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [0, 0], finals({ version: '2b' }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [0, 4], finals({ version: '2a' }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [0, 4], finals({ version: '2b' }))).toContain('right would be exit');
  expect(whyUnexpected(outcomes, [1, 0], finals({ version: '2b' }))).toBeDefined();
});

test('an up that was overtaken while the store waits has failed as well, and says both', () => {
  const stranded = { ...state, drained: 'b' };
  const outcomes = outcomesOf(stranded, [up({ version: '2a' }), up({ version: '2b' })]);
  expect(whyUnexpected(outcomes, [1, 1], finals({ version: '2b' }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [4, 1], finals({ version: '2b' }))).toBeDefined();
  expect(whyUnsaid(up({}), 1, 'hurt_web: it was changed to version 3', stranded)).toContain('is drained');
});

test('a bad up that overtakes a good one goes back to it, or to what was there before', () => {
  const outcomes = outcomesOf(state, [up({ version: '2a' }), up({ version: '2b', fault: 'health' })]);
  expect(whyUnexpected(outcomes, [4, 1], finals())).toBeUndefined();
  expect(whyUnexpected(outcomes, [0, 1], finals({ version: '2a' }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [4, 1], finals({ version: '2b' }))).toBeDefined();
});

test('a change of one service is undone by an up of another whose file is older', () => {
  const pair: Change[] = [{ kind: 'up', service: 'api', version: '2a' }, up({ version: '2b' })];
  const outcomes = outcomesOf(state, pair);
  expect(whyUnexpected(outcomes, [4, 0], finals({ version: '2b' }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [4, 0], finals())).toBeDefined();
});

test('a rollback of what has failed beside it is refused, or takes it back first', () => {
  const pair: Change[] = [up({ fault: 'image' }), { kind: 'rollback', service: 'web' }];
  const outcomes = outcomesOf(state, pair);
  expect(whyUnexpected(outcomes, [1, 1], finals())).toBeUndefined();
  expect(whyUnexpected(outcomes, [4, 0], finals())).toBeUndefined();
  expect(whyUnexpected(outcomes, [0, 0], finals({ version: '2' }))).toBeDefined();
});

test('a scale does not overtake a restart', () => {
  const pair: Change[] = [
    { kind: 'restart', service: 'web' },
    { kind: 'scale', service: 'web', replicas: 5 },
  ];
  const outcomes = outcomesOf(state, pair);
  expect(whyUnexpected(outcomes, [0, 0], finals({ replicas: 5 }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [4, 0], finals({ replicas: 5 }))).toBeDefined();
});

test('a scale stays whatever becomes of the update beside it', () => {
  const pair: Change[] = [up({ fault: 'image' }), { kind: 'scale', service: 'web', replicas: 5 }];
  const outcomes = outcomesOf(state, pair);
  expect(whyUnexpected(outcomes, [1, 0], finals({ replicas: 5 }))).toBeUndefined();
  expect(whyUnexpected(outcomes, [1, 0], finals())).toBeDefined();
  expect(whyUnexpected(outcomes, [1, 1], finals({ replicas: 5 }))).toBeDefined();
});

test('a restart of what is bad fails with it, and one of what was taken back does not', () => {
  const outcomes = outcomesOf(state, [up({ fault: 'image' }), { kind: 'restart', service: 'web' }]);
  expect(whyUnexpected(outcomes, [1, 1], finals())).toBeUndefined();
  expect(whyUnexpected(outcomes, [1, 0], finals())).toBeUndefined();
  expect(whyUnexpected(outcomes, [0, 0], finals())).toBeDefined();
});

test('a command that fails has to say why', () => {
  expect(
    whyUnsaid(up({ fault: 'port' }), 1, 'Cannot apply hurt: port 18081/tcp is taken by other_holder', state),
  ).toBeUndefined();
  expect(whyUnsaid(up({ fault: 'port' }), 1, 'Cannot apply hurt', state)).toContain('port 18081');
  expect(whyUnsaid(up({ fault: 'crash' }), 1, 'hurt_web.1 ended with exit code 7', state)).toContain(
    'rolled back',
  );
  expect(whyUnsaid(up({}), 4, 'hurt is up', state)).toContain('meanwhile');
  expect(whyUnsaid(up({}), 0, 'hurt is up', state)).toBeUndefined();
});
