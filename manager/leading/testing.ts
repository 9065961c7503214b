import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AdministratorRole } from '../../src/spec/administrator.ts';
import type { NodeRole } from '../../src/spec/node.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger, type Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { AdministratorAnswer, JoinAnswer, JoinTokens } from '../../src/wire/api.ts';
import { createKeyAndRequest } from '../../src/wire/certificates.ts';
import { connect, type Client } from '../../src/wire/client.ts';
import { startManager, type Manager } from '../manager.ts';
import type { ManagerOptions } from '../options.ts';
import type { ClusterStore } from '../store/cluster-store.ts';
import {
  callSecure,
  TestAgent,
  type SecureTarget,
  type TestCredentials,
  type TestIdentity,
} from '../testing.ts';

/** One of several managers in this process, with sockets and a state folder of its own. */
export interface OneManager {
  /** Its place among the others; it advertises 127.0.0.(place + 1). */
  place: number;
  /** Of its host's node. */
  identity: TestIdentity;
  /** Over its local socket. */
  client: Client;
  target: SecureTarget;
  folder: string;
  /** Over TLS; throws the API's error. */
  call(path: string, credentials?: TestCredentials, body?: unknown, method?: string): Promise<unknown>;
  stop(): Promise<void>;
}

export type OpenStore = (place: number, folder: string, options: ManagerOptions) => Promise<ClusterStore>;

/** Managers of one cluster, which share what `openStore` opens. The first one makes the cluster. */
export class SeveralManagers implements AsyncDisposable {
  readonly managers: OneManager[] = [];
  readonly #openStore: OpenStore;
  readonly #log: Logger;
  #folder = '';
  #hosts = 0;
  #ca = '';

  private constructor(openStore: OpenStore, log: Logger) {
    this.#openStore = openStore;
    this.#log = log;
  }

  static async start(count: number, openStore: OpenStore, log = silentLogger): Promise<SeveralManagers> {
    const several = new SeveralManagers(openStore, log);
    several.#folder = await mkdtemp(join(tmpdir(), 'shoal-managers-'));
    for (let place = 0; place < count; place++) await several.#add(place);
    return several;
  }

  /** Joins a host by way of this manager. */
  async join(by: OneManager, role: NodeRole, more: object = {}): Promise<TestIdentity> {
    const tokens = await by.client.request<JoinTokens>('GET', '/tokens');
    const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
    const hostname = `host-${++this.#hosts}`;
    const body = { token: tokens[role], certificateRequestPem, hostname, ...more };
    const answer = (await by.call('/join', undefined, body)) as JoinAnswer;
    return { ...answer, privateKeyPem };
  }

  /** Makes an administrator by way of this manager. */
  async administrator(by: OneManager, role: AdministratorRole): Promise<TestCredentials & { name: string }> {
    const name = `${role}-${systemRandom.id()}`;
    const { privateKeyPem, certificateRequestPem } = await createKeyAndRequest();
    const body = { name, role, certificateRequestPem };
    const answer = await by.client.request<AdministratorAnswer>('POST', '/administrators', body);
    return { name, privateKeyPem, certificatePem: answer.certificatePem };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const manager of this.managers) await manager.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #add(place: number): Promise<void> {
    const address = `127.0.0.${place + 1}`;
    const [first] = this.managers;
    // The host of the first one joins once there is a cluster.
    const early = first && (await this.join(first, 'manager', { address, managerPort: 1 }));
    const folder = join(this.#folder, String(place));
    const started = await this.#start(place, { address, folder, nodeId: early?.nodeId });
    const client = connect(`unix://${join(folder, 'manager.sock')}`);
    const { port } = started;
    if (first === undefined) this.#ca = await authorityOf(port);
    const approve = async (nodeId: string, to: string) =>
      void (await client.request('PATCH', `/nodes/${nodeId}`, { address: to }));
    const target = { port, ca: this.#ca, approve };
    let isOver = false;
    const manager: OneManager = {
      place,
      identity: early!,
      client,
      target,
      folder,
      call: (path, credentials, body, method) => callSecure(target, path, credentials, body, method),
      stop: async () => {
        if (isOver) return;
        isOver = true;
        client.close();
        await started.stop();
      },
    };
    manager.identity ??= await this.join(manager, 'manager', { address, managerPort: port });
    // A manager that was never heard of is taken for one that gave up, and the next one that joins gets its place.
    const agent = await TestAgent.open(target, manager.identity);
    await agent.greet(address);
    agent.close();
    this.managers.push(manager);
  }

  #start(
    place: number,
    { address, folder, nodeId }: { address: string; folder: string; nodeId: string | undefined },
  ): Promise<Manager> {
    const options: ManagerOptions = {
      stateFolder: folder,
      runFolder: folder,
      listen: { host: '0.0.0.0', port: 0 },
      advertiseAddress: address,
      nodeId,
      initialise: place === 0 ? {} : undefined,
      logLevel: 'debug',
    };
    return startManager(options, {
      clock: systemClock,
      random: systemRandom,
      log: this.#log.with({ manager: place }),
      openStore: (where) => this.#openStore(place, where, options),
    });
  }
}

async function authorityOf(port: number): Promise<string> {
  return (await callSecure(
    { port, approve: () => Promise.resolve(), rejectUnauthorized: false },
    '/ca',
  )) as string;
}
