import { probeLink } from '../../agent/network/rules.ts';
import type { Node, NodeConditionType } from '../../src/spec/node.ts';
import type { Service } from '../../src/spec/service.ts';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { createCluster, type Cluster } from './cluster.ts';
import { untilConverged, writeComposeFile } from './compose.ts';
import type { Host } from './host.ts';
import { busyboxImage } from './image.ts';
import { containersOf } from './inventory.ts';
import { paths } from './state.ts';
import { until } from './until.ts';

/**
 * Changes a host's own network while an application stands, says a wish meanwhile, and changes it back: whether the host says
 * what is wrong, all that was asked is reached, and nothing healthy is restarted.
 */

export const addressFaultKinds = ['address changed', 'MTU changed'] as const;
export type AddressFaultKind = (typeof addressFaultKinds)[number];

export interface AddressFault {
  kind: AddressFaultKind;
  host: string;
  /** Why what was asked was not reached, or the condition not told; absent when all was well. */
  failure?: string;
  /** Containers that were healthy before and are not the same processes any more. */
  restarted: string[];
  /** From the change back until all was reached. */
  convergeMs: number;
}

const limitMs = 60_000;
const port = 8098;
const application = 'addressed';
const bytes = 3_000_000;
const replicas = { few: 2, many: 4 };

/** Makes a cluster and changes the networks of its hosts. */
export class AddressFaultRig {
  readonly cluster: Cluster;
  readonly #random: Random;

  private constructor(cluster: Cluster, random: Random) {
    this.cluster = cluster;
    this.#random = random;
  }

  static async create(random: Random, onStep?: (step: string) => void): Promise<AddressFaultRig> {
    const cluster = await createCluster({ hosts: 3, ...(onStep && { onStep }) });
    try {
      const built = await busyboxImage(paths(cluster.directory).images);
      const image = await cluster.push('library/busybox:1', built);
      const path = await writeComposeFile(cluster, application, composeText(image));
      const { exitCode, stderr } = await cluster.shoal(['up', '-f', path]);
      if (exitCode !== 0) throw new ShoalError('internal', `Cannot begin: ${stderr}`);
      return new AddressFaultRig(cluster, random);
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    await this.cluster.down();
  }

  /** Disturbs any of the workers: the others could not follow the manager to another address. */
  async round(kind: AddressFaultKind): Promise<AddressFault> {
    const workers = this.cluster.hosts.slice(1);
    const host = workers[Math.floor(this.#random.next() * workers.length)]!;
    const before = await this.#processes();
    const fault: AddressFault = { kind, host: host.name, restarted: [], convergeMs: 0 };
    const restore = await disturb(kind, host);
    try {
      try {
        if (kind === 'address changed') await this.#told(host, 'AddressChanged', true);
        else await this.#carried(host);
        await this.#scale(replicas.many);
      } finally {
        await restore();
      }
      const restoredAt = systemClock.monotonic();
      await this.#told(host, 'AddressChanged', false);
      await untilConverged(this.cluster, application, limitMs);
      await this.#answered();
      fault.convergeMs = systemClock.monotonic() - restoredAt;
    } catch (error) {
      fault.failure = messageOf(error);
    }
    const after = await this.#processes();
    fault.restarted = [...before].filter(([id, process]) => after.get(id) !== process).map(([id]) => id);
    await this.#scale(replicas.few);
    await untilConverged(this.cluster, application, limitMs);
    return fault;
  }

  async #processes(): Promise<Map<string, string>> {
    const containers = (await Promise.all(this.cluster.hosts.map(containersOf))).flat();
    return new Map(containers.map(({ id, process }) => [id, process]));
  }

  async #get<T>(path: string): Promise<T> {
    const client = this.cluster.client();
    try {
      return await client.request<T>('GET', path);
    } finally {
      client.close();
    }
  }

  async #scale(count: number): Promise<void> {
    const services = await this.#get<Service[]>(`/services?application=${application}`);
    const { id } = services.find(({ spec }) => spec.key === 'more')!;
    const client = this.cluster.client();
    try {
      await client.request('POST', `/services/${id}/scale`, { replicas: count });
    } finally {
      client.close();
    }
  }

  /** Waits until the manager has, or has not any more, heard of the condition. */
  async #told(host: Host, type: NodeConditionType, expected: boolean): Promise<void> {
    await until(`${expected ? '' : 'no '}${type} on ${host.name}`, async () => {
      const nodes = await this.#get<Node[]>('/nodes');
      const node = nodes.find(({ description }) => description?.hostname === host.name);
      return (node?.conditions?.some((condition) => condition.type === type) ?? false) === expected;
    });
  }

  /** Waits until every host has made the networks as small as the changed one. */
  async #carried(changed: Host): Promise<void> {
    await until(`the networks to follow the MTU of ${changed.name}`, async () => {
      const listed = await Promise.all(this.cluster.hosts.map((host) => host.run(['ip', '-j', 'link'])));
      const links = listed.flatMap((text) => JSON.parse(text) as { ifname: string; mtu: number }[]);
      const ofNetworks = links.filter(({ ifname }) => /^sh[bxv]/u.test(ifname) && ifname !== probeLink);
      return ofNetworks.every(({ mtu }) => mtu === 1_250);
    });
  }

  /** Every host gives the whole of a large answer several times over, from whichever replica. */
  async #answered(): Promise<void> {
    for (const { address, name } of this.cluster.hosts) {
      for (let count = 0; count < 6; count++) {
        const url = `http://${address}:${port}/big`;
        await until(`a large answer of ${name}`, async () => {
          const { stdout } = await this.cluster.manager.exec(['wget', '-T', '3', '-t', '1', '-qO-', url]);
          return stdout.length === bytes;
        });
      }
    }
  }
}

/** Gives how to undo it. */
async function disturb(kind: AddressFaultKind, host: Host): Promise<() => Promise<void>> {
  switch (kind) {
    case 'address changed': {
      const other = host.address.replace(/\d+$/u, '99');
      await swapAddress(host, host.address, other);
      return () => swapAddress(host, other, host.address);
    }
    case 'MTU changed': {
      await setMtu(host, 1_300);
      return () => setMtu(host, 1_500);
    }
    default:
      return unreachable(kind);
  }
}

async function swapAddress(host: Host, from: string, to: string): Promise<void> {
  await host.run(['ip', 'address', 'add', `${to}/24`, 'dev', 'eth0']);
  await host.run(['ip', 'address', 'del', `${from}/24`, 'dev', 'eth0']);
  // the other address goes with the first of its subnet, unless the kernel is told to promote it
  await host.exec(['ip', 'address', 'add', `${to}/24`, 'dev', 'eth0']);
}

async function setMtu(host: Host, mtu: number): Promise<void> {
  await host.run(['ip', 'link', 'set', 'eth0', 'mtu', String(mtu)]);
}

const composeText = (image: string) => `
services:
  web:
    image: ${image}
    command: [sh, -c, "mkdir -p /w; head -c ${bytes} /dev/zero > /w/big; exec httpd -f -p 80 -h /w"]
    ports: ["${port}:80"]
    stop_grace_period: 0s
    deploy: { mode: global }
  more:
    image: ${image}
    command: [sleep, "1000000"]
    stop_grace_period: 0s
    deploy: { replicas: ${replicas.few} }
`;
