import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { Forwarder } from './forward.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shoal-forward-'));
});

afterEach(() => rm(directory, { recursive: true }));

// The kernel refuses to connect to the broadcast address, as it refuses a network without a route.
test.each(['udp', 'tcp'] as const)(
  'a resolver that cannot be reached over %s gives no answer',
  async (protocol) => {
    const file = join(directory, 'resolv.conf');
    await writeFile(file, 'nameserver 255.255.255.255\n');
    const forwarder = new Forwarder(systemClock, file);
    const answer = await forwarder.ask(Buffer.alloc(12), protocol, AbortSignal.timeout(10_000));
    expect(answer).toBeUndefined();
  },
);

test('a host without resolvers gives no answer', async () => {
  const forwarder = new Forwarder(systemClock, join(directory, 'missing'));
  expect(await forwarder.ask(Buffer.alloc(12), 'udp', AbortSignal.timeout(10_000))).toBeUndefined();
});
