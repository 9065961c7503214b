import type { Node } from '../../src/spec/node.ts';
import type { ApplicationStatus, TaskInfo } from '../../src/wire/api.ts';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import { createCluster, type Cluster } from './cluster.ts';
import { untilConverged, writeComposeFile } from './compose.ts';
import { emptyDisk, fillDisk, freezeDisk, thawDisk } from './disk.ts';
import type { Host } from './host.ts';
import { busyboxImage } from './image.ts';
import { containersOf } from './inventory.ts';
import { killProcess } from './processes.ts';
import { paths } from './state.ts';

/**
 * The disk of a host's state is full or stands still, or its agent does, while an application is scaled: everything must
 * come to what was asked, nothing healthy may be restarted, and the node must say meanwhile what is wrong.
 */
export const diskFaults = ['disk full', 'disk frozen', 'agent stopped'] as const;
export type DiskFaultKind = (typeof diskFaults)[number];

export interface DiskFault {
  kind: DiskFaultKind;
  /** Why what was asked was not reached; absent when it was. */
  failure?: string;
  /** Containers that were healthy before, are still wanted, and are not the same processes any more. */
  restarted: string[];
  /** States and conditions that the node had during the fault. */
  seen: string[];
  /** From the end of the fault until all was as asked and the node well. */
  recoveryMs: number;
}

const frozenMs = 4_000;
const stoppedMs = 15_000;
const fullMs = 12_000;
const recoveryLimitMs = 60_000;
const diskMebibytes = 300;
const application = 'standing';
const replicas = { few: 6, more: 9 };

/** Three hosts, one of which (`b`) has a small disk of its own. */
export class DiskFaultRig {
  readonly cluster: Cluster;
  readonly #image: string;

  private constructor(cluster: Cluster, image: string) {
    this.cluster = cluster;
    this.#image = image;
  }

  static async create(onStep: (step: string) => void): Promise<DiskFaultRig> {
    const cluster = await createCluster({ hosts: 3, disks: { b: diskMebibytes }, onStep });
    try {
      const base = await busyboxImage(paths(cluster.directory).images);
      const rig = new DiskFaultRig(cluster, await cluster.push('library/busybox:1', base));
      await rig.#scale(replicas.few);
      await untilConverged(cluster, application, recoveryLimitMs);
      return rig;
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    await this.cluster.down();
  }

  async round(kind: DiskFaultKind): Promise<DiskFault> {
    const fault: DiskFault = { kind, restarted: [], seen: [], recoveryMs: 0 };
    const before = await this.#processes();
    const ended = new AbortController();
    const watching = this.#watch(ended.signal);
    try {
      await this.#disturb(kind, this.cluster.host('b'));
      const healedAt = systemClock.monotonic();
      await this.#recovered();
      fault.recoveryMs = Math.round(systemClock.monotonic() - healedAt);
      const [after, wanted] = [await this.#processes(), await this.#wanted()];
      fault.restarted = [...before].flatMap(([id, process]) =>
        wanted.has(id) && after.get(id) === process ? [] : [id],
      );
    } catch (error) {
      fault.failure = messageOf(error);
    } finally {
      ended.abort();
      fault.seen = await watching;
      await this.#scale(replicas.few);
      await this.#recovered().catch((error: unknown) => (fault.failure ??= messageOf(error)));
    }
    return fault;
  }

  /** Disturbs the host, asks for more while it lasts, and ends it. */
  async #disturb(kind: DiskFaultKind, host: Host): Promise<void> {
    switch (kind) {
      case 'disk full':
        await fillDisk(host, 0);
        await this.#scale(replicas.more);
        await systemClock.sleep(fullMs);
        return await emptyDisk(host);
      case 'disk frozen':
        await freezeDisk(host);
        await this.#scale(replicas.more);
        await systemClock.sleep(frozenMs);
        return await thawDisk(host);
      case 'agent stopped': {
        const agent = await host.part('agent');
        if (!agent) throw new ShoalError('not_found', 'Cannot stop the agent of host b: it does not run');
        killProcess(agent.pid, 'SIGSTOP');
        await this.#scale(replicas.more);
        await systemClock.sleep(stoppedMs);
        return killProcess(agent.pid, 'SIGCONT');
      }
      default:
        return unreachable(kind);
    }
  }

  async #scale(count: number): Promise<void> {
    const text = `
services:
  s:
    image: ${this.#image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    deploy: { replicas: ${count}, restart_policy: { delay: 200ms } }
`;
    const path = await writeComposeFile(this.cluster, application, text);
    const { exitCode, stderr } = await this.cluster.shoal(['up', '-d', '-p', application, '-f', path]);
    if (exitCode !== 0) throw new ShoalError('internal', `Cannot scale: ${stderr}`);
  }

  async #recovered(): Promise<void> {
    const isRight = ({ services }: ApplicationStatus) =>
      services.every(({ running, desired }) => running === desired);
    await untilConverged(this.cluster, application, recoveryLimitMs, isRight);
    const limit = systemClock.monotonic() + recoveryLimitMs;
    for (;;) {
      const node = await this.#nodeB();
      if (node?.status.state === 'ready' && node.conditions === undefined) return;
      if (systemClock.monotonic() > limit) {
        throw new ShoalError(
          'deadline_exceeded',
          `Cannot see host b become well: ${JSON.stringify(node?.conditions)}`,
        );
      }
      await systemClock.sleep(100);
    }
  }

  async #watch(signal: AbortSignal): Promise<string[]> {
    const seen = new Set<string>();
    while (!signal.aborted) {
      const node = await this.#nodeB().catch(() => undefined); // asked again in a moment
      if (node)
        for (const word of [node.status.state, ...(node.conditions ?? []).map(({ type }) => type)])
          seen.add(word);
      await systemClock.sleep(100, signal).catch(() => undefined);
    }
    return [...seen].sort();
  }

  async #ask<T>(path: string): Promise<T> {
    const client = this.cluster.client();
    try {
      return await client.request<T>('GET', path);
    } finally {
      client.close();
    }
  }

  async #nodeB(): Promise<Node | undefined> {
    return (await this.#ask<Node[]>('/nodes')).find(({ description }) => description?.hostname === 'b');
  }

  async #wanted(): Promise<Set<string>> {
    const tasks = await this.#ask<TaskInfo[]>(`/tasks?application=${application}`);
    return new Set(tasks.filter(({ desiredState }) => desiredState === 'running').map(({ id }) => id));
  }

  async #processes(): Promise<Map<string, string>> {
    const containers = (await Promise.all(this.cluster.hosts.map(containersOf))).flat();
    return new Map(containers.map(({ id, process }) => [id, process]));
  }
}
