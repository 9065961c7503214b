import { loadApplication } from '../../src/compose/load.ts';
import type { Node } from '../../src/spec/node.ts';
import type { TaskInfo } from '../../src/wire/api.ts';
import type { Client } from '../../src/wire/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { applicationNow } from '../../src/wire/watch.ts';
import { createCluster, type Cluster } from './cluster.ts';
import type { Host } from './host.ts';
import { busyboxImage } from './image.ts';
import { containersOf } from './inventory.ts';
import { killProcess, proportionalMemoryBytes } from './processes.ts';
import { paths } from './state.ts';

/**
 * Engines under stress: a shim or containerd that stands still, more commands at once than a shim has places for, many
 * containers that come and end at once. Nothing healthy may be restarted, what was asked must be reached, and the node must
 * say so while its engine does not answer.
 */

export const engineFaults = ['shim', 'containerd', 'execs', 'scale'] as const;
export type EngineFault = (typeof engineFaults)[number];

/** What became of one round. */
export interface EngineRound {
  fault: EngineFault;
  host: string;
  /** What was asked took this long: for `scale` up and down together. */
  tookMs: number;
  /** Of that, for `scale`, the way up. */
  upMs?: number;
  /** Memory of the shims of all hosts for each container, at the top of `scale` (proportional, bytes). */
  shimBytes?: number;
  /** For a stopped part: whether the node said EngineSlow while it stood still. */
  told?: boolean;
  /** Containers that were healthy before and are not the same processes any more, with what became of their tasks. */
  restarted: string[];
  /** Commands that were refused for want of a place. */
  refused?: number;
  failure?: string;
}

const stoppedMs = 15_000;
const pollMs = 100;
const convergeLimitMs = 180_000;
const commands = 120;
const application = 'standing';
const crowd = 'crowd';
const lowest = 3;

export class EngineFaultRig {
  readonly cluster: Cluster;
  readonly #client: Client;
  readonly #random: Random;
  readonly #replicas: number;

  private constructor(cluster: Cluster, random: Random, replicas: number) {
    this.cluster = cluster;
    this.#client = cluster.client();
    this.#random = random;
    this.#replicas = replicas;
  }

  /** Three hosts with checked containers on each. `replicas` is how many a `scale` round goes up to. */
  static async create(
    random: Random,
    replicas: number,
    onStep: (step: string) => void,
  ): Promise<EngineFaultRig> {
    const cluster = await createCluster({ hosts: 3, onStep });
    try {
      const image = await cluster.push(
        'library/busybox:1',
        await busyboxImage(paths(cluster.directory).images),
      );
      const rig = new EngineFaultRig(cluster, random, replicas);
      await rig.#put(application, standingText(image));
      await rig.#put(crowd, crowdText(image));
      for (const name of [application, crowd]) await rig.#converged(name);
      return rig;
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    this.#client.close();
    await this.cluster.down();
  }

  async round(fault: EngineFault): Promise<EngineRound> {
    const { hosts } = this.cluster;
    const host = hosts[Math.floor(this.#random.next() * hosts.length)]!;
    const before = await this.#standing();
    const begin = systemClock.monotonic();
    const round: EngineRound = { fault, host: host.name, tookMs: 0, restarted: [] };
    try {
      if (fault === 'execs') round.refused = await this.#execs();
      else if (fault === 'scale') Object.assign(round, await this.#scaleUpAndDown());
      else round.told = await this.#stopped(host, fault);
      round.tookMs = Math.round(systemClock.monotonic() - begin);
      await this.#settled(host);
      for (const name of [application, crowd]) await this.#converged(name);
    } catch (error) {
      round.failure = messageOf(error);
    }
    const after = await this.#standing();
    const gone = [...before.keys()].filter((id) => after.get(id) !== before.get(id));
    const tasks = await this.#client.request<TaskInfo[]>('GET', '/tasks');
    round.restarted = gone.map((id) => `${id}: ${tasks.find((task) => task.id === id)?.status.message}`);
    return round;
  }

  /** Stops a part for a while; gives whether the node said so meanwhile. */
  async #stopped(host: Host, part: 'shim' | 'containerd'): Promise<boolean> {
    const shims = (await host.processes()).filter(({ name }) => name.startsWith('containerd-shim'));
    const shim = shims[Math.floor(this.#random.next() * shims.length)];
    const process = part === 'shim' ? shim : await host.part('containerd');
    if (!process)
      throw new ShoalError('not_found', `Cannot stop the ${part} of ${host.name}: it does not run`);
    killProcess(process.pid, 'SIGSTOP');
    let told = false;
    try {
      const limit = systemClock.monotonic() + stoppedMs;
      while (systemClock.monotonic() < limit) {
        told ||= await this.#isSlow(host);
        await systemClock.sleep(pollMs);
      }
    } finally {
      killProcess(process.pid, 'SIGCONT');
    }
    return told;
  }

  async #isSlow(host: Host): Promise<boolean> {
    const nodes = await this.#client.request<Node[]>('GET', '/nodes');
    const node = nodes.find(({ description }) => description?.hostname === host.name);
    return node?.conditions?.some(({ type }) => type === 'EngineSlow') ?? false;
  }

  async #settled(host: Host): Promise<void> {
    const limit = systemClock.monotonic() + convergeLimitMs;
    while (await this.#isSlow(host)) {
      if (systemClock.monotonic() > limit) {
        throw new ShoalError('deadline_exceeded', `Cannot see the engine of ${host.name} answer again`);
      }
      await systemClock.sleep(pollMs);
    }
  }

  /** Many commands at once in one container. Each must end as it should or be refused; gives how many were refused. */
  async #execs(): Promise<number> {
    const tasks = await this.#client.request<TaskInfo[]>('GET', '/tasks');
    const task = tasks.find((one) => one.application === application && one.status.state === 'running')!;
    const results = await Promise.all(Array.from({ length: commands }, () => this.#exec(task.id)));
    const wrong = results.filter((result) => result !== 'ok' && result !== 'refused');
    if (wrong.length > 0)
      throw new ShoalError('internal', `${wrong.length} commands: ${[...new Set(wrong)].join('; ')}`);
    return results.filter((result) => result === 'refused').length;
  }

  async #exec(taskId: string): Promise<string> {
    try {
      const request = { command: ['sh', '-c', 'sleep 0.2; exit 7'], tty: false, environment: {} };
      const connection = await this.#client.exec(taskId, request);
      try {
        for await (const { type, payload } of connection.frames) {
          const text = payload.toString();
          if (type === 'exit') return text === '{"exitCode":7}' ? 'ok' : text;
          if (type === 'error') return text.includes('resource_exhausted') ? 'refused' : text;
        }
        return 'the connection broke';
      } finally {
        connection.close();
      }
    } catch (error) {
      return messageOf(error);
    }
  }

  async #scaleUpAndDown(): Promise<{ upMs: number; shimBytes: number }> {
    const begin = systemClock.monotonic();
    await this.#scale(this.#replicas);
    const upMs = Math.round(systemClock.monotonic() - begin);
    const shimBytes = await this.#shimBytes();
    await this.#scale(lowest);
    return { upMs, shimBytes };
  }

  async #scale(replicas: number): Promise<void> {
    await this.#client.request('POST', `/services/${crowd}_sleeper/scale`, { replicas });
    await this.#converged(crowd, replicas);
  }

  async #shimBytes(): Promise<number> {
    const processes = (await Promise.all(this.cluster.hosts.map((host) => host.processes()))).flat();
    const shims = processes.filter(({ name }) => name.startsWith('containerd-shim'));
    const sizes = await Promise.all(shims.map(({ pid }) => proportionalMemoryBytes(pid)));
    const tasks = await this.#client.request<TaskInfo[]>('GET', '/tasks');
    const running = tasks.filter(({ status }) => status.state === 'running').length;
    return Math.round(sizes.reduce((sum, size) => sum + size, 0) / running);
  }

  /** Processes of the standing application's containers, by task. */
  async #standing(): Promise<Map<string, string>> {
    const tasks = await this.#client.request<TaskInfo[]>('GET', '/tasks');
    const ids = new Set(tasks.filter((task) => task.application === application).map(({ id }) => id));
    const limit = systemClock.monotonic() + convergeLimitMs;
    let containers = (await Promise.all(this.cluster.hosts.map(containersOf))).flat();
    // a shim that has just begun to answer again is not told of at once
    while (containers.some(({ status }) => status === 'UNKNOWN') && systemClock.monotonic() < limit) {
      await systemClock.sleep(pollMs);
      containers = (await Promise.all(this.cluster.hosts.map(containersOf))).flat();
    }
    return new Map(containers.filter(({ id }) => ids.has(id)).map(({ id, process }) => [id, process]));
  }

  async #put(name: string, content: string): Promise<void> {
    const { application: spec } = await loadApplication({
      files: [{ content }],
      projectName: name,
      environment: {},
      workingDirectory: this.cluster.directory,
    });
    await this.#client.request('PUT', `/applications/${name}`, spec);
  }

  async #converged(name: string, replicas?: number): Promise<void> {
    const limit = systemClock.monotonic() + convergeLimitMs;
    for (;;) {
      const { services } = await applicationNow(this.#client, name);
      const isDone = services.every(
        ({ converged, running, desired }) =>
          converged && (replicas === undefined || (running === replicas && desired === replicas)),
      );
      if (isDone) return;
      if (systemClock.monotonic() > limit) {
        const seen = services.map(
          ({ running, desired, failure }) => `${running} of ${desired}: ${failure ?? ''}`,
        );
        throw new ShoalError('deadline_exceeded', `Cannot see ${name} converge: ${seen.join('; ')}`);
      }
      await systemClock.sleep(pollMs);
    }
  }
}

/** Checked often and with little patience: a check that could not be made must not count. */
const standingText = (image: string) => `services:
  checked:
    image: ${image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    healthcheck: { test: [CMD, "true"], interval: 1s, timeout: 3s, retries: 1 }
    deploy: { replicas: 12 }`;

const crowdText = (image: string) => `services:
  sleeper:
    image: ${image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    deploy: { replicas: ${lowest} }`;
