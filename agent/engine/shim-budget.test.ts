import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { shimContainersMax } from './shim-groups.ts';
import { ShimBudget, shimCallsMax, shimCommandsMax, shimExecsMax } from './shim-budget.ts';

/** `bufferSize` of runc's monitor in containerd, `sys/reaper`. */
const exitsOfShim = 32;

test('all that may end at one moment has a place in the shim', () => {
  expect(shimContainersMax + shimExecsMax + shimCallsMax).toBeLessThan(exitsOfShim);
  expect(shimCommandsMax).toBeLessThan(shimExecsMax);
});

test('never more calls to one shim are under way than it has places for, and stops are not kept waiting by others', async () => {
  const budget = new ShimBudget(systemClock);
  let running = 0;
  let most = 0;
  const order: string[] = [];
  const call = (purpose: 'stop' | 'command') =>
    budget.call('shim', purpose, async () => {
      order.push(purpose);
      most = Math.max(most, ++running);
      await systemClock.sleep(1);
      running--;
    });
  const commands = Array.from({ length: 20 }, () => call('command'));
  const stops = Array.from({ length: 10 }, () => call('stop'));
  await Promise.all([...commands, ...stops]);
  expect(most).toBe(shimCallsMax);
  expect(order.lastIndexOf('stop')).toBeLessThan(order.lastIndexOf('command') - 9);
});

test('commands of people leave places for checks, and those of other shims are not counted', async () => {
  const budget = new ShimBudget(systemClock);
  const taken = await Promise.all(
    Array.from({ length: shimCommandsMax }, () => budget.takeExec('shim', 'command')),
  );
  const late = budget.takeExec('shim', 'command');
  expect(await Promise.race([late, Promise.resolve('waits')])).toBe('waits');
  (await budget.takeExec('shim', 'check'))();
  (await budget.takeExec('other', 'command'))();
  taken[0]!();
  (await late)();
});
