import type { Node } from '../../src/spec/node.ts';
import { isWanted } from '../../src/spec/task.ts';
import { systemClock } from '../../src/util/clock.ts';
import { assert, ShoalError } from '../../src/util/errors.ts';
import type { Client } from '../../src/wire/client.ts';
import { createCluster, nodesReady, type Cluster } from '../harness/cluster.ts';
import { busyboxImage } from '../harness/image.ts';
import { processTree } from '../harness/processes.ts';
import { paths } from '../harness/state.ts';
import { converged, sleepers } from './sleepers.ts';
import { median, renderTable } from './statistics.ts';
import type { TaskInfo } from '../../src/wire/api.ts';

const replicas = 9;
const pollMs = 10;
const limitMs = 60_000;

export interface FailoverResult {
  rounds: {
    /** From the cut until the manager calls the node down. */
    downMs: number;
    /** From the cut until all of its replicas run elsewhere. */
    replacedMs: number;
    /** From a task's program being killed until its replacement runs, with a restart delay of 0. */
    restartedMs: number;
  }[];
}

/** Three hosts; one is cut off and comes back, and a program is killed, again and again. */
export async function measureFailover(rounds: number): Promise<FailoverResult> {
  const note = (line: string) => void process.stderr.write(`${line}\n`);
  await using cluster = await createCluster({ hosts: 3, onStep: (step) => note(`${step} …`) });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const client = cluster.client();
  const application = sleepers(image, replicas);
  application.services[0]!.task.restart = { condition: 'any', delayMs: 0, maxAttempts: 0, windowMs: 0 };
  try {
    await client.request('PUT', '/applications/bench', application);
    await converged(client, replicas);
    const result: FailoverResult = { rounds: [] };
    for (let round = 1; round <= rounds; round++) {
      note(`round ${round} of ${rounds} …`);
      const host = cluster.hosts[1 + (round % 2)]!; // never the manager's
      const cutAt = performance.now();
      await host.cut();
      await until(async () => (await nodeCalled(client, host.name)).status.state === 'down');
      const downMs = performance.now() - cutAt;
      const { id } = await nodeCalled(client, host.name);
      await until(
        async () => (await running(client)).filter((task) => task.nodeId !== id).length === replicas,
      );
      const replacedMs = performance.now() - cutAt;
      await host.heal();
      await nodesReady(cluster.manager, cluster.hosts.length);
      await converged(client, replicas);
      result.rounds.push({
        downMs,
        replacedMs,
        restartedMs: await killOne(client, cluster),
      });
    }
    return result;
  } finally {
    client.close();
  }
}

/** Kills the program of one container from outside, as the kernel would when memory runs out. */
async function killOne(client: Client, cluster: Cluster): Promise<number> {
  const before = new Set((await running(client)).map(({ id }) => id));
  const victim = (await processTree(cluster.hosts.map(({ initPid }) => initPid))).find(
    ({ name }) => name === 'sleep',
  );
  assert(victim !== undefined, 'a replica has a process');
  const killedAt = performance.now();
  process.kill(victim.pid, 'SIGKILL');
  await until(async () => {
    const now = await running(client);
    return now.length === replicas && now.some(({ id }) => !before.has(id));
  });
  return performance.now() - killedAt;
}

async function nodeCalled(client: Client, name: string): Promise<Node> {
  const nodes = await client.request<Node[]>('GET', '/nodes');
  const found = nodes.find(({ description }) => description?.hostname === name);
  if (found) return found;
  throw new ShoalError('not_found', `Cannot find node ${name}`);
}

async function running(client: Client): Promise<TaskInfo[]> {
  const tasks = await client.request<TaskInfo[]>('GET', '/tasks?application=bench');
  return tasks.filter(
    (task) => task.status.state === 'running' && task.desiredState === 'running' && isWanted(task),
  );
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const from = performance.now();
  while (!(await holds())) {
    if (performance.now() - from > limitMs) {
      throw new ShoalError('deadline_exceeded', `Cannot see the cluster recover in ${limitMs / 1000} s`);
    }
    await systemClock.sleep(pollMs);
  }
}

export function failoverTable({ rounds }: FailoverResult): string {
  const row = (name: string, key: keyof FailoverResult['rounds'][number], goal: string) => {
    const values = rounds.map((round) => round[key]);
    const show = (value: number) => value.toFixed(0);
    return [name, show(median(values)), show(Math.min(...values)), show(Math.max(...values)), goal];
  };
  return [
    `Three hosts, ${replicas} replicas, ${rounds.length} rounds, milliseconds.`,
    '',
    renderTable([
      ['', 'median', 'least', 'most', 'goal'],
      row('host cut off → down', 'downMs', '3000'),
      row('host cut off → its replicas run elsewhere', 'replacedMs', ''),
      row('program killed → replaced (restart delay 0)', 'restartedMs', ''),
    ]),
  ].join('\n');
}
