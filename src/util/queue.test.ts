import { expect, test } from 'vitest';
import { AsyncQueue, KeyedQueue, Limiter } from './queue.ts';

test('Limiter never runs more at a time than its limit, and runs all', async () => {
  const limiter = new Limiter(2);
  let running = 0;
  let most = 0;
  const work = async (value: number) => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    await Promise.resolve();
    running--;
    return value;
  };
  const results = await Promise.all([1, 2, 3, 4, 5].map((value) => limiter.run(() => work(value))));
  expect(results).toEqual([1, 2, 3, 4, 5]);
  expect(most).toBe(2);
});

test('Limiter gives the place of failed work to the next', async () => {
  const limiter = new Limiter(1);
  await expect(limiter.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await limiter.run(() => Promise.resolve('next'))).toBe('next');
});

test('KeyedQueue keeps the order within a key, also after a failure', async () => {
  const queue = new KeyedQueue();
  const seen: string[] = [];
  const slow = queue.run('a', async () => {
    await Promise.resolve();
    seen.push('a1');
    throw new Error('no');
  });
  const next = queue.run('a', () => Promise.resolve(void seen.push('a2')));
  await queue.run('b', () => Promise.resolve(void seen.push('b1')));
  await expect(slow).rejects.toThrow('no');
  await next;
  expect(seen.indexOf('a1')).toBeLessThan(seen.indexOf('a2'));
});

test('AsyncQueue refuses more than it may hold and ends once it is closed and read', async () => {
  const queue = new AsyncQueue<number>(2);
  queue.push(1);
  queue.push(2);
  expect(() => queue.push(3)).toThrow('more than 2');
  queue.close();
  expect(await Array.fromAsync(queue)).toEqual([1, 2]);
});
