import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { pushGuestbookImages } from '../../samples/guestbook/images.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';

/** The samples whose programs can be had here, run as they stand. The guestbook has tests of its own. */

const samples = join(import.meta.dirname, '../../samples');
const pollMs = 100;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await createCluster({ hosts: 3 });
  await pushGuestbookImages(cluster.registry);
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') process.stderr.write(await cluster.troubles());
});

afterAll(async () => {
  await cluster?.down();
  expect(await cluster?.leftovers()).toEqual([]);
});

async function shoal(...args: string[]): Promise<string> {
  const env = { REGISTRY: `${cluster.registry}/library` };
  const { exitCode, stdout, stderr } = await cluster.shoal(args, { env });
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

const up = (name: string, ...args: string[]) =>
  shoal('up', '-f', join(samples, name, 'compose.yaml'), '--timeout', '60', ...args);

/** Waits until the text is there; bounded by the test's own limit. */
async function until(look: () => Promise<string>, expected: RegExp): Promise<void> {
  while (!expected.test(await look())) await systemClock.sleep(pollMs);
}

test('workers of the queue share its jobs, and more of them can be taken on', async () => {
  await up('queue');
  const logs = (service: string) => shoal('logs', '-p', 'queue', service);
  await until(() => logs('worker'), /queue_worker\.\d \| done: job \d/);
  await shoal('scale', '-p', 'queue', 'worker=5');
  await until(() => logs('worker'), /queue_worker\.5 \| done: job \d/);
  expect(await logs('worker')).not.toMatch(/denied|error/i);
  await shoal('down', '-p', 'queue');
});

test('votes given on one host are counted on another', async () => {
  await up('voting');
  const [first, second] = cluster.hosts;
  const vote = async (choice: string) => {
    const answer = await fetch(`http://${first!.address}:8082/${choice}`, { method: 'POST' });
    expect(await answer.text()).toBe(`You voted for ${choice}.\n`);
  };
  await vote('cats');
  await vote('cats');
  await vote('dogs');
  const result = await fetch(`http://${second!.address}:8083/`);
  expect(await result.text()).toBe('cats: 2\ndogs: 1\n');
  await shoal('down', '-p', 'voting');
});
