import type { Node } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { managerStates, type Cluster } from './cluster.ts';
import type { Host } from './host.ts';
import { containersOf } from './inventory.ts';
import { killProcess } from './processes.ts';
import { until } from './until.ts';

/** What tests of several managers ask of a cluster. */

/** One attempt to write; a manager without a leader answers later than this. */
const attemptMs = 2_000;
const pollMs = 20;
const statesMs = 60_000;

/** The host whose manager leads, in the eyes of the one on `asked`. Waits while nobody does, as for a moment after each loss. */
export async function leaderOf(cluster: Cluster, asked: string): Promise<Host> {
  let leader: string | undefined;
  await until('a manager that leads', async () => {
    const client = cluster.client(asked);
    try {
      const states = Object.entries(await managerStates(client));
      leader = states.find(([, state]) => state === 'Leader')?.[0];
      return leader !== undefined;
    } finally {
      client.close();
    }
  });
  return cluster.host(leader!);
}

/** Waits until the managers are what is wanted, in any order, in the eyes of the one on `asked`. */
export async function untilManagers(
  cluster: Cluster,
  asked: string,
  wanted: readonly string[],
): Promise<void> {
  const limit = systemClock.monotonic() + statesMs;
  for (;;) {
    const client = cluster.client(asked);
    const states = await managerStates(client, AbortSignal.timeout(attemptMs)).catch((error: unknown) => ({
      error: messageOf(error),
    }));
    client.close();
    if (Object.values(states).sort().join() === [...wanted].sort().join()) return;
    if (systemClock.monotonic() > limit) {
      throw new ShoalError(
        'deadline_exceeded',
        `Cannot see managers ${wanted.join()}: ${JSON.stringify(states)}`,
      );
    }
    await systemClock.sleep(pollMs);
  }
}

/** How long it takes until a change is accepted by the manager on `asked`, ms; each attempt has its own label. */
export async function untilWritten(cluster: Cluster, asked: string, node: string): Promise<number> {
  const began = systemClock.monotonic();
  for (let attempt = 0; ; attempt++) {
    const client = cluster.client(asked);
    try {
      const labels = { written: `${Math.round(began)}-${attempt}` };
      await client.request<Node>('PATCH', `/nodes/${node}`, { labels }, { timeoutMs: attemptMs });
      return systemClock.monotonic() - began;
    } catch (error) {
      if (systemClock.monotonic() - began > statesMs) throw error;
      await systemClock.sleep(pollMs);
    } finally {
      client.close();
    }
  }
}

/** Sends a signal to the manager of a host and to its etcd. */
export async function signalManager(host: Host, signal: NodeJS.Signals): Promise<void> {
  for (const part of ['manager', 'etcd'] as const) {
    const found = await host.part(part);
    if (found !== undefined) killProcess(found.pid, signal);
  }
}

/** Every container of these hosts, as a line that is another one for any other process. */
export async function standing(hosts: readonly Host[]): Promise<string[]> {
  const all = await Promise.all(
    hosts.map(async (host) =>
      (await containersOf(host)).map(({ id, process, status }) => `${host.name} ${id} ${process} ${status}`),
    ),
  );
  return all.flat().sort();
}
