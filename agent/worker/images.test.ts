import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { seededRandom } from '../../src/util/random.ts';
import { FakeEngine } from './fake-engine.ts';
import { Images, pullsPerRegistryMax } from './images.ts';

test('registries that never answer keep nobody from pulling from another one', async () => {
  const engine = new FakeEngine();
  engine.before = (operation, image) =>
    operation === 'pull' && image.startsWith('bad') ? new Promise(() => undefined) : undefined;
  const images = new Images({ engine, clock: systemClock, random: seededRandom(1), log: silentLogger });
  const { signal } = new AbortController();
  const get = (image: string) => images.get(image, undefined, () => undefined, signal);
  for (const registry of ['bad1.example', 'bad2.example', 'bad3.example']) {
    for (let number = 0; number <= pullsPerRegistryMax; number++) void get(`${registry}/app:${number}`);
  }
  engine.remote.set('good.example/app', FakeEngine.image('good.example/app'));
  expect((await get('good.example/app')).reference).toBe('good.example/app');
  expect(engine.calls.filter((call) => call.startsWith('pull bad1'))).toHaveLength(pullsPerRegistryMax);
});
