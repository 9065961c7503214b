import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { PriorityLimiter } from './priority-limiter.ts';

const [urgent, idle] = [0, 1];

function limiter() {
  const places = new PriorityLimiter([3, 2], 4);
  const admitted: string[] = [];
  const take = async (name: string, priority: number, timeoutMs = 5_000) => {
    const giveBack = await places.take(priority, systemClock, timeoutMs);
    admitted.push(name);
    return giveBack;
  };
  return { places, admitted, take };
}

test('what is less urgent leaves places for what is more, and waits its turn', async () => {
  const { places, admitted, take } = limiter();
  const first = await take('first', idle);
  await take('second', idle);
  const third = take('third', idle);
  await take('urgent', urgent);
  const second = take('another urgent', urgent);
  expect(admitted).toEqual(['first', 'second', 'urgent']);
  first();
  first(); // giving back twice frees one place
  (await second)();
  expect(admitted).toEqual(['first', 'second', 'urgent', 'another urgent']);
  expect(places.isIdle).toBe(false);
  await expect(Promise.race([third, Promise.resolve('waits')])).resolves.toBe('waits');
});

test('whoever waits too long is refused, and so is whoever finds too many waiting', async () => {
  const { take } = limiter();
  for (const name of ['a', 'b', 'c']) await take(name, urgent);
  await expect(take('late', idle, 5)).rejects.toMatchObject({ code: 'resource_exhausted' });
  for (const name of ['d', 'e', 'f', 'g']) take(name, idle).catch(() => undefined);
  await expect(take('one too many', urgent)).rejects.toThrow('4 others wait already');
});

test('all places are given back when all have been', async () => {
  const { places, take } = limiter();
  const work = Array.from({ length: 4 + 3 }, async (_, index) => {
    const giveBack = await take(String(index), index % 2);
    await systemClock.sleep(1);
    giveBack();
  });
  await Promise.all(work);
  expect(places.isIdle).toBe(true);
});
