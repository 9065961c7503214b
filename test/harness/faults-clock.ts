import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Node } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { createCluster, type Cluster } from './cluster.ts';
import { currentTasks, untilConverged, writeComposeFile } from './compose.ts';
import type { Host } from './host.ts';
import { busyboxImage } from './image.ts';
import { containersOf } from './inventory.ts';
import { paths } from './state.ts';
import { until } from './until.ts';

/**
 * Sets the clock of a host ahead or back by an hour while an application stands: a scale, a rolling update with a delay and a
 * program that ends must come to what is asked in the usual time, and nothing healthy may be restarted. One kernel has one
 * clock: the daemons read theirs through libfaketime, which follows a file. The clocks that only go forward are left alone.
 */

export const clockFaultKinds = ['agent ahead', 'agent behind', 'manager ahead', 'manager behind'] as const;
export type ClockFaultKind = (typeof clockFaultKinds)[number];

export interface ClockFault {
  kind: ClockFaultKind;
  host: string;
  /** Why what was asked was not reached, or the condition not told; absent when all was well. */
  failure?: string;
  /** Containers that were healthy before and are not the same processes any more. */
  restarted: string[];
  /** From the step of the clock until all that was asked meanwhile was reached. */
  convergeMs: number;
}

const stepSeconds = 3_600;
const limitMs = 60_000;
const standing = 'standing';
const changing = 'changing';
const replicas = { few: 2, many: 4 };

export class ClockFaultRig {
  readonly cluster: Cluster;
  readonly #random: Random;
  readonly #image: string;
  #version = 0;

  private constructor(cluster: Cluster, random: Random, image: string) {
    this.cluster = cluster;
    this.#random = random;
    this.#image = image;
  }

  static async create(random: Random, onStep: (step: string) => void): Promise<ClockFaultRig> {
    let library: Promise<string> | undefined;
    const environment = (directory: string, host: string) =>
      clockEnvironment(directory, host, (library ??= fakeClockLibrary(paths(directory).clocks)));
    const cluster = await createCluster({ hosts: 3, onStep, environment });
    try {
      const built = await busyboxImage(paths(cluster.directory).images);
      const rig = new ClockFaultRig(cluster, random, await cluster.push('library/busybox:1', built));
      await rig.#up(standing, standingText(rig.#image));
      await rig.#up(changing, changingText(rig.#image, 0));
      return rig;
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    await this.cluster.down();
  }

  async round(kind: ClockFaultKind): Promise<ClockFault> {
    const workers = this.cluster.hosts.slice(1);
    const isManager = kind.startsWith('manager');
    const host = isManager
      ? this.cluster.manager
      : workers[Math.floor(this.#random.next() * workers.length)]!;
    const before = await this.#healthy();
    const fault: ClockFault = { kind, host: host.name, restarted: [], convergeMs: 0 };
    const begin = systemClock.monotonic();
    try {
      try {
        await this.#step(host, offsetOf(kind));
        // Of two clocks that differ the manager takes its own for the right one.
        await this.#skewed(isManager ? workers[0]! : host, true);
        await this.#wish();
        fault.convergeMs = systemClock.monotonic() - begin;
      } finally {
        await this.#step(host, 0);
      }
      for (const each of this.cluster.hosts) await this.#skewed(each, false);
      await this.#wish();
    } catch (error) {
      fault.failure = messageOf(error);
    }
    const after = await this.#healthy();
    fault.restarted = [...before].filter(([id, process]) => after.get(id) !== process).map(([id]) => id);
    return fault;
  }

  /** A scale, a program that ends and is run again after a delay, and a rolling update with a delay. */
  async #wish(): Promise<void> {
    for (const count of [replicas.many, replicas.few]) {
      const { exitCode, stderr } = await this.cluster.shoal(['scale', `${changing}_web=${count}`]);
      if (exitCode !== 0) throw new ShoalError('internal', `Cannot scale: ${stderr}`);
    }
    await this.#endOne();
    await this.#up(changing, changingText(this.#image, ++this.#version));
  }

  async #endOne(): Promise<void> {
    const [task] = await currentTasks(this.cluster, changing);
    const found = await Promise.all(
      this.cluster.hosts.map(async (host) => ({ host, containers: await containersOf(host) })),
    );
    for (const { host, containers } of found) {
      const container = containers.find(({ id }) => id === task?.id);
      if (container) await host.run(['kill', '-9', container.process.split(' ')[0]!]);
    }
    await until('the ended program to be replaced', async () => {
      const tasks = await currentTasks(this.cluster, changing);
      return tasks.length === replicas.few && tasks.every(({ id }) => id !== task?.id);
    });
    await untilConverged(this.cluster, changing, limitMs);
  }

  async #up(application: string, text: string): Promise<void> {
    const path = await writeComposeFile(this.cluster, application, text);
    const { exitCode, stderr } = await this.cluster.shoal(['up', '-f', path, '--timeout', '60']);
    if (exitCode !== 0) throw new ShoalError('internal', `Cannot bring up ${application}: ${stderr}`);
    await untilConverged(this.cluster, application, limitMs);
  }

  async #step(host: Host, seconds: number): Promise<void> {
    await writeFile(clockFile(this.cluster.directory, host.name), offsetText(seconds));
  }

  /** Containers of the standing application. */
  async #healthy(): Promise<Map<string, string>> {
    const ids = new Set((await currentTasks(this.cluster, standing)).map(({ id }) => id));
    const containers = (await Promise.all(this.cluster.hosts.map(containersOf))).flat();
    return new Map(containers.filter(({ id }) => ids.has(id)).map(({ id, process }) => [id, process]));
  }

  async #skewed(host: Host, expected: boolean): Promise<void> {
    await until(`${expected ? '' : 'no '}ClockSkewed on ${host.name}`, async () => {
      const client = this.cluster.client();
      try {
        const nodes = await client.request<Node[]>('GET', '/nodes');
        const node = nodes.find(({ description }) => description?.hostname === host.name);
        return (node?.conditions?.some(({ type }) => type === 'ClockSkewed') ?? false) === expected;
      } finally {
        client.close();
      }
    });
  }
}

function offsetOf(kind: ClockFaultKind): number {
  switch (kind) {
    case 'agent ahead':
    case 'manager ahead':
      return stepSeconds;
    case 'agent behind':
    case 'manager behind':
      return -stepSeconds;
    default:
      return unreachable(kind);
  }
}

function clockFile(directory: string, host: string): string {
  return join(paths(directory).clocks, host);
}

function offsetText(seconds: number): string {
  return seconds < 0 ? `${seconds}\n` : `+${seconds}\n`;
}

/** What the daemon of a host gets to read its clock through the library (its README names the variables). */
async function clockEnvironment(
  directory: string,
  host: string,
  library: Promise<string>,
): Promise<Record<string, string>> {
  const file = clockFile(directory, host);
  const path = await library; // its folder is there now
  await writeFile(file, offsetText(0));
  return {
    LD_PRELOAD: path,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}

/** The library of Debian's package, unpacked and not installed. */
async function fakeClockLibrary(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await runCommand('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', 'libfaketime'], {
    cwd: folder,
    timeoutMs: limitMs,
  });
  const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new ShoalError('unavailable', 'Cannot fetch the package libfaketime');
  await runCommand('dpkg', ['-x', join(folder, archive), folder], { timeoutMs: limitMs });
  const found = await readdir(folder, { recursive: true });
  return join(
    folder,
    found.find((path) => path.endsWith('libfaketimeMT.so.1'))!,
  );
}

const standingText = (image: string) => `
services:
  checked:
    image: ${image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    healthcheck: { test: [CMD, "true"], interval: 1s, timeout: 3s, retries: 1 }
    deploy: { replicas: 6 }
`;

const changingText = (image: string, version: number) => `
services:
  web:
    image: ${image}
    command: [sh, -c, "sleep 1000000; : ${version}"]
    stop_grace_period: 0s
    deploy:
      replicas: ${replicas.few}
      restart_policy: { condition: any, delay: 2s }
      update_config: { delay: 2s, monitor: 1s }
`;
