import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { TaskInfo } from '../../src/wire/api.ts';
import { createCluster, type Cluster } from './cluster.ts';
import { emptyDisk, fillDisk, freezeDisk, thawDisk } from './disk.ts';
import { writeComposeFile } from './compose.ts';
import type { Host } from './host.ts';
import { busyboxImage } from './image.ts';
import { Load } from './load.ts';
import { leaderOf, signalManager, standing, untilManagers, untilWritten } from './managers.ts';
import { hostNames, paths } from './state.ts';
import { until } from './until.ts';

/** How long a leader is away at least: longer than an election takes. */
const awayMs = 4_000;
/** A manager's own. etcd makes room for two parts of its log of 64 MiB, and its supervisor a reserve of as much. */
const diskMebibytes = 600;
const clients = 4;
const requestsMin = 50;
const nothing = () => Promise.resolve();

interface Fault {
  take: (leader: Host) => Promise<void>;
  giveBack: (leader: Host) => Promise<void>;
}

const faults = {
  /** Its daemon starts it again. */
  killed: { take: (leader) => leader.kill('manager'), giveBack: nothing },
  paused: {
    take: (leader) => signalManager(leader, 'SIGSTOP'),
    giveBack: (leader) => signalManager(leader, 'SIGCONT'),
  },
  'cut off': { take: (leader) => leader.cut(), giveBack: (leader) => leader.heal() },
  /** Its manager starts it again. */
  'etcd killed': { take: (leader) => leader.kill('etcd'), giveBack: nothing },
  /** It may go on leading, for etcd has made room for itself before. */
  'disk full': { take: (leader) => fillDisk(leader, 0), giveBack: emptyDisk },
  'disk frozen': { take: freezeDisk, giveBack: thawDisk },
} satisfies Record<string, Fault>;

export type LeaderFault = keyof typeof faults;
export const leaderFaults = Object.keys(faults) as LeaderFault[];

/** What came of one loss of the leader. */
export interface LeaderLoss {
  fault: LeaderFault;
  /** Until the next change was accepted by another manager, ms. */
  writtenMs: number;
  requests: number;
  /** Requests to the application that failed. */
  failures: string[];
  /** Containers and tasks that are others than before, before and after. */
  touched: string[];
}

/** Hosts of which the first are managers, an application on the others, and the leader lost in one way or another while it is used. */
export class LeaderLossRig {
  readonly cluster: Cluster;
  readonly composeFile: string;
  readonly managers: readonly string[];
  readonly #replicas: number;

  private constructor(cluster: Cluster, composeFile: string, managers: readonly string[], replicas: number) {
    this.cluster = cluster;
    this.composeFile = composeFile;
    this.managers = managers;
    this.#replicas = replicas;
  }

  static async create(options: {
    hosts: number;
    managers: number;
    replicas: number;
    onStep?: (step: string) => void;
  }): Promise<LeaderLossRig> {
    const { replicas, ...rest } = options;
    const managers = hostNames(options.hosts).slice(0, options.managers);
    const disks = Object.fromEntries(managers.map((name) => [name, diskMebibytes]));
    const cluster = await createCluster({ ...rest, disks });
    try {
      const { images } = paths(cluster.directory);
      const image = await cluster.push('library/busybox:1', await busyboxImage(images));
      const path = await writeComposeFile(cluster, 'web', projectOf(image, replicas));
      const up = await cluster.shoal(['up', '-f', path, '--timeout', '60']);
      if (up.exitCode !== 0) throw new ShoalError('failed_precondition', `Cannot bring up web: ${up.stderr}`);
      return new LeaderLossRig(cluster, path, managers, replicas);
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  /** All managers as they should be. */
  get allManagers(): string[] {
    return this.managers.map((_, index) => (index === 0 ? 'Leader' : 'Reachable'));
  }

  /** The hosts on which the application runs. */
  get workers(): Host[] {
    return this.cluster.hosts.filter(({ name }) => !this.managers.includes(name));
  }

  /** Takes the leader away and gives it back while the application is used. Throws when the managers do not come back. */
  async lose(fault: LeaderFault): Promise<LeaderLoss> {
    const { cluster } = this;
    const leader = await leaderOf(cluster, this.managers[0]!);
    const other = this.managers.find((name) => name !== leader.name)!;
    const before = await this.#everything(other);
    const asked = cluster.hosts.filter(({ name }) => name !== leader.name);
    const load = new Load(
      asked.map(({ address }) => `http://${address}:8080/`),
      clients,
    );
    let writtenMs: number;
    try {
      await moreRequests(load);
      await faults[fault].take(leader);
      writtenMs = await untilWritten(cluster, other, this.workers[0]!.name);
      await systemClock.sleep(awayMs);
      await faults[fault].giveBack(leader);
      await untilManagers(cluster, other, this.allManagers);
      await untilManagers(cluster, leader.name, this.allManagers);
      await moreRequests(load);
    } catch (error) {
      await load.stop();
      throw error;
    }
    const { requests, failures } = await load.stop();
    const after = await this.#everything(other);
    const touched = [
      ...before.filter((line) => !after.includes(line)).map((line) => `before: ${line}`),
      ...after.filter((line) => !before.includes(line)).map((line) => `after: ${line}`),
    ];
    return { fault, writtenMs, requests, failures, touched };
  }

  /** Every container of the application, and every task in the eyes of a manager, each a line. */
  async #everything(manager: string): Promise<string[]> {
    const client = this.cluster.client(manager);
    try {
      const tasks = await client.request<TaskInfo[]>('GET', '/tasks?application=web');
      const lines = tasks.map(
        ({ id, nodeId, desiredState, status }) => `task ${id} ${nodeId} ${desiredState} ${status.state}`,
      );
      const containers = await standing(this.workers);
      if (containers.length < this.#replicas) {
        throw new ShoalError(
          'failed_precondition',
          `Cannot see ${this.#replicas} containers: ${containers.join()}`,
        );
      }
      return [...containers, ...lines];
    } finally {
      client.close();
    }
  }
}

/** Waits until the load has made more requests. */
async function moreRequests(load: Load): Promise<void> {
  const from = load.requests;
  await until('enough requests', () => Promise.resolve(load.requests >= from + requestsMin));
}

function projectOf(image: string, replicas: number): string {
  const page = JSON.stringify({ version: '1', replica: '$$(hostname)', visits: 1 }).replaceAll('"', '\\"');
  return `
services:
  web:
    image: ${image}
    command: [sh, -c, 'mkdir /www; echo "${page}" > /www/index.html; exec httpd -f -p 8080 -h /www']
    ports: ["8080:8080"]
    stop_grace_period: 1s
    deploy:
      replicas: \${REPLICAS:-${replicas}}
      placement: { constraints: [node.role == worker] }
`;
}
