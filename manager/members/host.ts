import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { SealingKeys } from '../../src/wire/members.ts';
import type { Authority } from '../ca/authority.ts';
import { createStoreTls, keptAuthority } from '../etcd/certificates.ts';
import type { EtcdProcess } from '../etcd/process.ts';
import type { EtcdBegin } from '../etcd/begin.ts';
import type { EtcdEnd } from '../etcd/supervisor.ts';
import { readSealingKeys } from '../sealing/key-file.ts';
import type { ClusterStore } from '../store/cluster-store.ts';
import type { EtcdStore } from '../store/etcd/etcd.ts';
import { embeddedTarget, etcdFolder, etcdTarget, type EtcdPlace } from '../store/opening.ts';
import { readPlace, writePlace } from '../store/place.ts';
import type { Store } from '../store/store.ts';
import type { EtcdMembers } from './etcd-members.ts';

/** How often the addresses of the other members are looked at. */
const followMs = 5_000;

export interface MemberHostOptions {
  /** The manager's folder. */
  folder: string;
  /** The host's IP address, at which the other members reach this one. */
  address: string;
  ports: { client: number; peer: number };
  clock: Clock;
  log: Logger;
  openEmbedded: (path: string) => Promise<Store>;
  /** @default etcd */
  program?: string;
}

interface Running {
  etcd: EtcdProcess;
  members: EtcdMembers;
  place: EtcdPlace;
  authority: Authority;
}

/** This manager's member of etcd over the life of the process: none while the store is embedded. */
export class MemberHost {
  readonly #options: MemberHostOptions;
  readonly #ended = Promise.withResolvers<EtcdEnd>();
  #running: Running | undefined;
  #store: EtcdStore | undefined;
  #following: Loop | undefined;

  constructor(options: MemberHostOptions) {
    this.#options = options;
  }

  /** Resolves when the member has ended for good: the process has no store any more. */
  get ended(): Promise<EtcdEnd> {
    return this.#ended.promise;
  }

  get running(): Readonly<Running> | undefined {
    return this.#running;
  }

  /** With which this manager opens and seals what is secret in the store. */
  sealingKeys(): Promise<SealingKeys | undefined> {
    return readSealingKeys(this.#options.folder);
  }

  /** `HOST:PORT` at which the own member is asked. */
  get endpoint(): string {
    return `${this.#options.address}:${this.#options.ports.client}`;
  }

  /**
   * Starts the member from its data, unless it runs, and opens the store. Throws what `startEtcd` does; with `details.reason` `lost`, `removed` or
   * `damaged` this host needs another place (`joinStore`).
   */
  async open(place: EtcdPlace): Promise<Store> {
    if (this.#running !== undefined) return await this.openStore();
    const authority = await keptAuthority(join(this.#options.folder, etcdFolder));
    if (authority === undefined) {
      throw new ShoalError(
        'failed_precondition',
        "Cannot start etcd: this manager's folder has lost its keys",
        {
          details: { reason: 'lost' },
        },
      );
    }
    await this.start(place, authority, { state: 'continue' });
    return await this.openStore();
  }

  /** Starts the member. Throws what `startEtcd` does. */
  async start(place: EtcdPlace, authority: Authority, begin: EtcdBegin, signal?: AbortSignal): Promise<void> {
    const { folder, address, ports, clock, log, program } = this.#options;
    const { startEtcd, EtcdMembers } = await loadEtcd();
    const etcd = await startEtcd({
      folder: join(folder, etcdFolder),
      name: place.nodeId,
      address,
      ports,
      authority,
      begin,
      clock,
      log: log.with({ part: 'etcd' }),
      ...(program !== undefined && { program }),
      ...(signal !== undefined && { signal }),
    });
    const tls = await createStoreTls(authority, clock.now());
    const members = new EtcdMembers(etcd.endpoint, { tls, clock });
    this.#running = { etcd, members, place, authority };
    void etcd.ended.then((why) => this.#ended.resolve(why));
  }

  /** The store by the member that runs. */
  async openStore(): Promise<Store> {
    const { etcd, place, authority } = this.#required();
    const { clock } = this.#options;
    const { openEtcdStore } = await loadEtcd();
    const others = place.endpoints.filter((endpoint) => endpoint !== etcd.endpoint);
    const tls = await createStoreTls(authority, clock.now());
    const endpoints = [etcd.endpoint, ...others];
    const store = await openEtcdStore({ endpoints, tls, clock, owner: place.nodeId });
    await this.#stopFollowing();
    this.#store = store;
    this.#follow(store);
    return store;
  }

  /** Moves the store of the only manager to a new etcd, whose first member this one is. */
  async moveToEtcd(store: ClusterStore, nodeId: string, authority: Authority): Promise<{ heldMs: number }> {
    const { folder } = this.#options;
    const generation = systemRandom.id();
    const place: EtcdPlace = { backend: 'etcd', generation, endpoints: [this.endpoint], nodeId };
    await this.stop(); // what a move that failed has left
    const open = async () => {
      await this.start(place, authority, { state: 'new', token: place.generation });
      return await this.openStore();
    };
    try {
      return await store.moveTo(etcdTarget(folder, place, open));
    } catch (error) {
      if (store.backend === 'embedded' && store.problem === undefined) await this.stop();
      throw error;
    }
  }

  /** Moves the store back, when this is the only member; the member is stopped, and its folder goes at the next start. */
  async moveBack(store: ClusterStore): Promise<{ heldMs: number }> {
    const { folder, openEmbedded } = this.#options;
    // It must not say again that the store is on etcd once it is not.
    await this.#stopFollowing();
    try {
      const moved = await store.moveTo(embeddedTarget(folder, openEmbedded));
      await this.stop();
      return moved;
    } catch (error) {
      if (this.#store !== undefined && store.backend === 'etcd') this.#follow(this.#store);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#stopFollowing();
    this.#store = undefined;
    const running = this.#running;
    this.#running = undefined;
    running?.members.close();
    await running?.etcd.stop();
  }

  /** Keeps the addresses of the members, which come and go, for the store and for the next start. */
  #follow(store: EtcdStore): void {
    const { folder, clock, log } = this.#options;
    const tick = async () => {
      const running = this.#running;
      if (running === undefined) return;
      // Not known while the own member has no vote, or nobody leads: those of before are as good.
      const endpoints = await running.members.endpoints().catch(() => undefined);
      if (endpoints === undefined || isSame(endpoints, running.place.endpoints)) return;
      const place = { ...running.place, endpoints };
      // While the store moves, only who moves it says where it is.
      const written = await readPlace(folder);
      if (written.backend !== 'etcd' || written.generation !== place.generation) return;
      await writePlace(folder, place);
      store.setEndpoints(endpoints);
      this.#running = { ...running, place };
      log.info('the members of etcd have changed', { endpoints });
    };
    const loop = new Loop({ name: 'addresses of members', clock, log, intervalMs: followMs, tick });
    this.#following = loop;
    loop.start();
  }

  async #stopFollowing(): Promise<void> {
    const loop = this.#following;
    this.#following = undefined;
    await loop?.stop();
  }

  #required(): Running {
    if (this.#running !== undefined) return this.#running;
    throw new ShoalError('unavailable', 'Cannot use etcd: it does not run');
  }
}

/** What speaks to etcd costs time and memory at the start that a manager alone never needs. */
async function loadEtcd() {
  const { startEtcd } = await import('../etcd/process.ts');
  const { EtcdMembers } = await import('./etcd-members.ts');
  const { openEtcdStore } = await import('../store/etcd/etcd.ts');
  return { startEtcd, EtcdMembers, openEtcdStore };
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((each, index) => each === right[index]);
}
