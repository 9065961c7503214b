import { expect, test } from 'vitest';
import { systemClock } from './clock.ts';
import { silentLogger } from './log.ts';
import { Loop } from './loop.ts';

const options = { name: 'test loop', clock: systemClock, log: silentLogger };

test('Loop runs a first pass, then one for pokes that came together', async () => {
  const passes: PromiseWithResolvers<void>[] = [Promise.withResolvers(), Promise.withResolvers()];
  let count = 0;
  const loop = new Loop({ ...options, tick: () => Promise.resolve(passes[count++]?.resolve()) });
  loop.start();
  await passes[0]!.promise;
  await Promise.resolve();
  loop.poke();
  loop.poke();
  await passes[1]!.promise;
  await loop.stop();
  expect(count).toBe(2);
});

test('a poke that comes while a pass is under way asks for another one', async () => {
  const started = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const tick = async () => {
    if (++count === 2) return second.resolve();
    started.resolve();
    await release.promise;
  };
  const loop = new Loop({ ...options, tick });
  loop.start();
  await started.promise;
  loop.poke();
  release.resolve();
  await second.promise;
  await loop.stop();
  expect(count).toBe(2);
});

test('Loop tries again after a pass that failed', async () => {
  const recovered = Promise.withResolvers<void>();
  let count = 0;
  const loop = new Loop({
    ...options,
    tick: () => (++count === 1 ? Promise.reject(new Error('first')) : Promise.resolve(recovered.resolve())),
  });
  loop.start();
  await recovered.promise;
  await loop.stop();
  expect(count).toBe(2);
});

test('Loop.stop() waits for the pass under way and starts no other', async () => {
  const started = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let finished = 0;
  const loop = new Loop({
    ...options,
    tick: async () => {
      started.resolve();
      await release.promise;
      finished++;
    },
  });
  loop.start();
  await started.promise;
  loop.poke();
  const stopped = loop.stop();
  expect(finished).toBe(0);
  release.resolve();
  await stopped;
  expect(finished).toBe(1);
});
