import { join } from 'node:path';
import type { Service } from '../../src/spec/service.ts';
import type { Client } from '../../src/wire/client.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { createCluster, type Cluster } from '../harness/cluster.ts';
import { busyboxImage } from '../harness/image.ts';
import type { Host } from '../harness/host.ts';
import { processTree, proportionalMemoryBytes } from '../harness/processes.ts';
import { cgroupParent, paths } from '../harness/state.ts';
import type { Floor } from './floor.ts';
import { converged, sleepers } from './sleepers.ts';
import { median, renderTable } from './statistics.ts';

const steps = { low: 3, middle: 30, high: 60 } as const;
const limitMs = 120_000;
const floorReplicas = 57;
const mebibyte = 1024 * 1024;

export interface ScaleResult {
  rounds: {
    upToMiddleMsPerReplica: number;
    upToHighMsPerReplica: number;
    downMsPerReplica: number;
  }[];
  floors: { startMsPerReplica: number; removeMsPerReplica: number }[];
  memory: {
    /** Growth of everything on the hosts per replica, proportional (PSS). */
    bytesPerReplica: number;
    /** Of that: the containers' own processes. */
    programBytesPerReplica: number;
    /** Everything on the three hosts with three replicas. */
    bytesAtLow: number;
    shimsAtHigh: number;
  };
}

const note = (line: string) => void process.stderr.write(`${line}\n`);

/** Three hosts, one service without a program of its own to speak of, more and fewer replicas of it. */
export async function measureScale(rounds: number): Promise<ScaleResult> {
  await using cluster = await createCluster({ hosts: 3, onStep: (step) => note(`${step} …`) });
  const image = await cluster.push('library/busybox:1', await busyboxImage(paths(cluster.directory).images));
  const client = cluster.client();
  try {
    await client.request('PUT', '/applications/bench', sleepers(image, steps.low));
    await converged(client, steps.low);
    const result: ScaleResult = {
      rounds: [],
      floors: [],
      memory: { bytesPerReplica: 0, programBytesPerReplica: 0, bytesAtLow: 0, shimsAtHigh: 0 },
    };
    for (let round = 1; round <= rounds; round++) {
      note(`round ${round} of ${rounds} …`);
      const low = await memoryOf(cluster);
      const upToMiddleMsPerReplica = await scale(client, steps.low, steps.middle);
      const upToHighMsPerReplica = await scale(client, steps.middle, steps.high);
      const high = await memoryOf(cluster);
      const downMsPerReplica = await scale(client, steps.high, steps.low);
      result.rounds.push({ upToMiddleMsPerReplica, upToHighMsPerReplica, downMsPerReplica });
      const grown = steps.high - steps.low;
      result.memory = {
        bytesPerReplica: (high.bytes - low.bytes) / grown,
        programBytesPerReplica: (high.programBytes - low.programBytes) / grown,
        bytesAtLow: low.bytes,
        shimsAtHigh: high.shims,
      };
      result.floors.push(await measureFloor(cluster, image));
    }
    return result;
  } finally {
    client.close();
  }
}

/** Scales and gives the milliseconds for each replica of the difference, until all of it has happened. */
async function scale(client: Client, from: number, to: number): Promise<number> {
  const startedAt = performance.now();
  await client.request<Service>('POST', '/services/bench_sleeper/scale', { replicas: to });
  await converged(client, to);
  return (performance.now() - startedAt) / Math.abs(to - from);
}

async function memoryOf(cluster: Cluster): Promise<{ bytes: number; programBytes: number; shims: number }> {
  const inits = cluster.hosts.map(({ initPid }) => initPid);
  const processes = await processTree(inits);
  const sizes = await Promise.all(
    processes.map(async ({ pid, name }) => ({ name, bytes: await proportionalMemoryBytes(pid) })),
  );
  const sum = (list: typeof sizes) => list.reduce((total, { bytes }) => total + bytes, 0);
  return {
    bytes: sum(sizes),
    programBytes: sum(sizes.filter(({ name }) => name === 'sleep')),
    shims: sizes.filter(({ name }) => name.startsWith('containerd-shim')).length,
  };
}

/** The same number of containers with the engine alone, on the three hosts at once. */
async function measureFloor(cluster: Cluster, image: string): Promise<ScaleResult['floors'][number]> {
  const each = floorReplicas / cluster.hosts.length;
  const floors = await Promise.all(cluster.hosts.map((host) => floorOf(cluster, host, image, each)));
  const slowest = (key: keyof Floor) => Math.max(...floors.map((floor) => floor[key]));
  return {
    startMsPerReplica: slowest('startMs') / floorReplicas,
    removeMsPerReplica: slowest('removeMs') / floorReplicas,
  };
}

async function floorOf(cluster: Cluster, host: Host, image: string, count: number): Promise<Floor> {
  const folder = join(host.stateDirectory, 'floor');
  const parent = `${cgroupParent(cluster.id)}/${host.name}-floor`;
  const script = join(import.meta.dirname, 'floor.ts');
  const socket = '/run/shoal/containerd.sock';
  const printed = await host.run(
    [process.execPath, script, socket, folder, parent, cluster.registry, image, String(count)],
    { timeoutMs: limitMs },
  );
  try {
    return JSON.parse(printed) as Floor;
  } catch (cause) {
    throw new ShoalError('internal', `Cannot measure the floor: ${printed} ${messageOf(cause)}`);
  }
}

export function scaleTable({ rounds, floors, memory }: ScaleResult): string {
  const up = median(rounds.map((round) => round.upToMiddleMsPerReplica));
  const on = median(rounds.map((round) => round.upToHighMsPerReplica));
  const down = median(rounds.map((round) => round.downMsPerReplica));
  const startFloor = median(floors.map((floor) => floor.startMsPerReplica));
  const removeFloor = median(floors.map((floor) => floor.removeMsPerReplica));
  const row = (name: string, value: number, floor: number, goal: number) => [
    name,
    value.toFixed(1),
    floor.toFixed(1),
    (value / floor).toFixed(2),
    String(goal),
  ];
  const mib = (bytes: number) => (bytes / mebibyte).toFixed(1);
  return [
    `Three hosts, median of ${rounds.length} rounds. The floor is containerd alone, with a network namespace and a veth each.`,
    '',
    renderTable([
      ['milliseconds a replica', 'Shoal', 'floor', 'ratio', 'goal'],
      row(`start, ${steps.low} → ${steps.middle}`, up, startFloor, 60),
      row(`start, ${steps.middle} → ${steps.high}`, on, startFloor, 60),
      row(`stop, ${steps.high} → ${steps.low}`, down, removeFloor, 40),
    ]),
    '',
    `Memory: ${mib(memory.bytesPerReplica)} MiB a replica, of which its own program ${mib(memory.programBytesPerReplica)} MiB; ` +
      `${mib(memory.bytesAtLow / 3)} MiB a host at rest; ${memory.shimsAtHigh} shims for ${steps.high} replicas.`,
  ].join('\n');
}
