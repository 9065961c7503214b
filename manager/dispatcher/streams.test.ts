import { expect, test } from 'vitest';
import { systemRandom } from '../../src/util/random.ts';
import { ManualClock } from '../../test/manual-clock.ts';
import { StreamBroker } from './streams.ts';

test('streams of logs that no host opens keep nobody from running commands', async () => {
  const clock = new ManualClock();
  const broker = new StreamBroker(clock, systemRandom);
  let asked = 0;
  const open = (kind: 'logs' | 'exec') => broker.open('n', kind, () => asked++);
  const opening = Array.from({ length: 1_000 }, () => open('logs'));
  expect(() => open('logs')).toThrow(/streams of logs/);
  opening.push(open('exec'));
  expect(asked).toBe(1_001);
  clock.advance(15_000);
  for (const each of await Promise.allSettled(opening)) {
    expect(each).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
  }
});
