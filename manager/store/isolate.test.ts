import { expect, test } from 'vitest';
import type { Logger } from '../../src/util/log.ts';
import { silentLogger } from '../../src/util/log.ts';
import { FaultLog, Faults } from './isolate.ts';

const fail = (message: string) => () => {
  throw new Error(message);
};

test('what one object throws is noted on it, and the others have their turn', () => {
  const faults = new Faults();
  const done: string[] = [];
  faults.forEach('task', [{ id: 'a' }, { id: 'b' }, { id: 'c' }], ({ id }) => {
    if (id === 'b') throw new Error('no list');
    done.push(id);
  });
  expect(done).toEqual(['a', 'c']);
  expect([...faults]).toMatchObject([{ kind: 'task', id: 'b', error: { message: 'no list' } }]);
  expect(faults.isolated('service', 'b', () => 5)).toBe(5);
  expect(faults.of('service', 'b')).toBeUndefined();
});

test('a filter leaves out the objects that give no answer', () => {
  const faults = new Faults();
  const objects = [
    { id: 'a', list: [1] },
    { id: 'b', list: undefined as never },
    { id: 'c', list: [] },
  ];
  const found = faults.filter('network', objects, ({ list }) => list.length > 0);
  expect(found.map(({ id }) => id)).toEqual(['a']);
  expect([...faults].map(({ id }) => id)).toEqual(['b']);
});

test('a fault is told in the log once, and again when it is another one', () => {
  const told: unknown[] = [];
  const log: Logger = { ...silentLogger, warn: (_message, fields) => told.push(fields) };
  const faultLog = new FaultLog(log);
  for (const message of ['first', 'first', 'second']) {
    const faults = new Faults();
    faults.isolated('node', 'n1', fail(message));
    faultLog.tell(faults);
  }
  expect(told).toEqual([
    { kind: 'node', id: 'n1', error: 'first' },
    { kind: 'node', id: 'n1', error: 'second' },
  ]);
});
