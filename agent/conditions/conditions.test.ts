import { expect, test } from 'vitest';
import { silentLogger } from '../../src/util/log.ts';
import { conditionMessageMax, HostConditions } from './conditions.ts';

function watched() {
  const conditions = new HostConditions(silentLogger);
  const seen = { changes: 0 };
  conditions.onChange(() => seen.changes++);
  return { conditions, seen };
}

test('a condition holds until every part that saw it has seen it end', () => {
  const { conditions } = watched();
  conditions.set('DiskFull', 'state', '/var/lib/shoal is full');
  conditions.set('DiskFull', 'images', '/var/lib/containerd is full');
  expect(conditions.list()).toEqual([
    { type: 'DiskFull', message: '/var/lib/shoal is full; /var/lib/containerd is full' },
  ]);
  conditions.clear('DiskFull', 'state');
  expect(conditions.list()).toEqual([{ type: 'DiskFull', message: '/var/lib/containerd is full' }]);
  conditions.clear('DiskFull', 'images');
  expect(conditions.list()).toEqual([]);
});

test('only what is new is a change', () => {
  const { conditions, seen } = watched();
  conditions.clear('DiskFull', 'state');
  conditions.set('DiskFull', 'state', 'full');
  conditions.set('DiskFull', 'state', 'full');
  expect(seen.changes).toBe(1);
  conditions.set('DiskFull', 'state', 'fuller');
  conditions.clear('DiskFull', 'state');
  expect(seen.changes).toBe(3);
});

test('the words of a condition have a limit', () => {
  const { conditions } = watched();
  conditions.set('NetworkBroken', 'rules', 'x'.repeat(10_000));
  expect(conditions.list()[0]!.message).toHaveLength(conditionMessageMax + 1);
});
