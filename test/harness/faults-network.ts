import { interfaceName } from '../../src/spec/names.ts';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Client } from '../../src/wire/client.ts';
import { loadApplication } from '../../src/compose/load.ts';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import { applicationNow } from '../../src/wire/watch.ts';
import { createCluster, type Cluster } from './cluster.ts';
import type { Host } from './host.ts';
import { buildImage, busyboxImage } from './image.ts';
import { containersOf } from './inventory.ts';
import { getJson } from './load.ts';
import { paths } from './state.ts';

/**
 * Takes away what a host's network is made of, as firewall services and people do, while requests go to a published port of
 * that host, and looks how soon they are answered again, whether the node said so, and whether anything was restarted.
 */

/** How what is taken away is taken away. */
const networkFaults = {
  'nft flush ruleset': () => 'nft flush ruleset',
  'bridge removed': (bridge: string) => `ip link del ${bridge}`,
} as const;
export type NetworkFaultKind = keyof typeof networkFaults;
export const networkFaultKinds = Object.keys(networkFaults) as NetworkFaultKind[];

/** What became of one of them. */
export interface NetworkFault {
  kind: NetworkFaultKind;
  host: string;
  /** From the fault until requests are answered again, and stay so. */
  backMs: number;
  /** From the fault until the manager knew that the host's network is broken; absent when it never did. */
  toldMs?: number;
  /** From the fault until the node was as before in the eyes of the manager. */
  wholeMs: number;
  /** Containers that are not the same processes any more. */
  restarted: string[];
}

const port = 8098;
const application = 'steady';
const settleLimitMs = 60_000;
const requestLimitMs = 500;
const pollMs = 20;
/** Answered so many times in a row, the port is back. */
const answersInRow = 10;

export class NetworkFaultRig {
  readonly cluster: Cluster;
  readonly #random: Random;
  #bridge = '';

  private constructor(cluster: Cluster, random: Random) {
    this.cluster = cluster;
    this.#random = random;
  }

  /** Three hosts with a replica of a web server on each. */
  static async create(random: Random, onStep?: (step: string) => void): Promise<NetworkFaultRig> {
    const cluster = await createCluster({ hosts: 3, ...(onStep ? { onStep } : {}) });
    try {
      const rig = new NetworkFaultRig(cluster, random);
      await rig.#prepare();
      return rig;
    } catch (error) {
      await cluster.down();
      throw error;
    }
  }

  async round(kind: NetworkFaultKind): Promise<NetworkFault> {
    const { hosts } = this.cluster;
    const host = hosts[Math.floor(this.#random.next() * hosts.length)]!;
    const before = await this.#processes();
    await host.run(['sh', '-ec', networkFaults[kind](this.#bridge)]);
    const startedAt = systemClock.monotonic();
    const since = () => systemClock.monotonic() - startedAt;
    const [backMs, { toldMs, wholeMs }] = await Promise.all([
      this.#back(host, since),
      this.#told(host, since),
    ]);
    const after = await this.#processes();
    const restarted = [...before].filter((each) => !after.has(each));
    return { kind, host: host.name, backMs, wholeMs, restarted, ...(toldMs !== undefined && { toldMs }) };
  }

  async down(): Promise<void> {
    await this.cluster.down();
  }

  async #prepare(): Promise<void> {
    const image = await buildImage({
      directory: paths(this.cluster.directory).images,
      from: await busyboxImage(paths(this.cluster.directory).images),
      files: { '/www/index.html': { content: JSON.stringify({ version: 1 }) } },
    });
    const content = applicationText(await this.cluster.push('library/steady:1', image));
    const { application: spec } = await loadApplication({
      files: [{ content }],
      projectName: application,
      environment: {},
      workingDirectory: this.cluster.directory,
    });
    await this.#ask((client) => client.request('PUT', `/applications/${application}`, spec));
    const limit = systemClock.monotonic() + settleLimitMs;
    const isUp = async (client: Client) => {
      const { services } = await applicationNow(client, application);
      return services.every(({ converged }) => converged);
    };
    while (!(await this.#ask(isUp))) {
      if (systemClock.monotonic() > limit)
        throw new ShoalError('deadline_exceeded', 'Cannot see the web server run');
      await systemClock.sleep(4 * pollMs);
    }
    const networks = await this.#ask((client) => client.request<Network[]>('GET', '/networks'));
    this.#bridge = interfaceName(
      'bridge',
      networks.find(({ spec }) => spec.name.startsWith(application))!.id,
    );
  }

  async #ask<T>(question: (client: Client) => Promise<T>): Promise<T> {
    const client = this.cluster.client();
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }

  /** Asks the host's published port until it answers well for a while; gives when that began. */
  async #back({ address }: Host, since: () => number): Promise<number> {
    let answered = 0;
    let beganMs = 0;
    while (answered < answersInRow) {
      if (since() > settleLimitMs)
        throw new ShoalError('deadline_exceeded', `Cannot reach ${address}:${port} again`);
      const isGood = await getJson(`http://${address}:${port}/`, requestLimitMs).then(
        () => true,
        () => false,
      );
      if (isGood && answered++ === 0) beganMs = since();
      if (!isGood) answered = 0;
      await systemClock.sleep(pollMs);
    }
    return beganMs;
  }

  /** Asks the manager about the node until it has been told of the fault, and then until that is over. */
  async #told({ name }: Host, since: () => number): Promise<{ toldMs?: number; wholeMs: number }> {
    let toldMs: number | undefined;
    const broken = async (client: Client) => {
      const nodes = await client.request<Node[]>('GET', '/nodes');
      const node = nodes.find(({ description }) => description?.hostname === name);
      return node?.conditions?.some(({ type }) => type === 'NetworkBroken') === true;
    };
    while (since() < settleLimitMs) {
      const isBroken = await this.#ask(broken);
      if (isBroken) toldMs ??= since();
      else if (toldMs !== undefined) return { toldMs, wholeMs: since() };
      await systemClock.sleep(pollMs);
    }
    return { wholeMs: since(), ...(toldMs !== undefined && { toldMs }) };
  }

  /** Every container as host, id and process with its start, so that one that was restarted is another one. */
  async #processes(): Promise<Set<string>> {
    const all = await Promise.all(
      this.cluster.hosts.map(async (host) =>
        (await containersOf(host)).map((each) => `${host.name} ${JSON.stringify(each)}`),
      ),
    );
    return new Set(all.flat());
  }
}

const applicationText = (image: string) => `services:
  web:
    image: ${image}
    command: [httpd, -f, -p, "8080", -h, /www]
    ports: ["${port}:8080"]
    healthcheck: { test: [CMD, wget, -qO-, "http://127.0.0.1:8080/"], interval: 2s }
    deploy: { replicas: 3 }
`;
