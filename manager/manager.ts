import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../src/util/clock.ts';
import { ShoalError } from '../src/util/errors.ts';
import type { Logger } from '../src/util/log.ts';
import { Loop } from '../src/util/loop.ts';
import type { Random } from '../src/util/random.ts';
import { steadyClock } from '../src/util/steady-clock.ts';
import type { TlsMaterial } from './api/listeners.ts';
import { Piper } from './api/piping/piper.ts';
import { createApiServer, type ApiServer } from './api/server.ts';
import type { Site } from './api/site.ts';
import { Audit } from './audit/audit.ts';
import { createServerCertificate, isDue } from './ca/authority.ts';
import { initialiseCluster } from './ca/cluster.ts';
import { managerAddresses } from './dispatcher/manager-news.ts';
import { formatCandidate, type Candidate } from './leading/candidate.ts';
import { followingTable } from './leading/following.ts';
import { Leading } from './leading/leading.ts';
import { LinkCredentials } from './leading/link.ts';
import { Stamps } from './leading/stamps.ts';
import { beginTerm } from './leading/term.ts';
import type { MemberHost } from './members/host.ts';
import type { ManagerOptions } from './options.ts';
import type { Sealer } from './sealing/sealer.ts';
import type { ClusterStore } from './store/cluster-store.ts';
import { openDatabase, type OpenDatabase } from './store/database.ts';
import { createStoreKeeper } from './store/keeper.ts';
import type { View } from './store/objects.ts';

/** How often the server's certificate is compared with the clock, which may have been set. */
const certificateCheckMs = 60 * 1000;

/** How often the view is compared with the store itself. */
const auditMs = 5 * 60 * 1000;

export interface Manager {
  /** The TCP port it listens on. */
  port: number;
  stop(): Promise<void>;
}

export interface Parts {
  clock: Clock;
  random: Random;
  log: Logger;
  /** Its own member of etcd; absent where the store stays embedded. */
  host?: MemberHost;
  /** Opens the store of this manager, whichever it is, in the manager's own folder. */
  openStore: (folder: string, options: ManagerOptions) => Promise<ClusterStore>;
  /** Seals what is secret in the store. @default stored as it is */
  openSealer?: (folder: string, store: ClusterStore) => Promise<Sealer | undefined>;
}

/** How to end what was begun, the last first. */
class Undo {
  readonly #steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void> | void): void {
    this.#steps.push(async () => await step());
  }

  async all(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

/**
 * Opens the store, makes the cluster when asked to, serves the API, and campaigns to lead for as long as it runs. Throws
 * `failed_precondition` when there is no cluster, `port_taken` when it cannot listen, and what the store throws.
 */
export async function startManager(options: ManagerOptions, parts: Parts): Promise<Manager> {
  const folder = join(options.stateFolder, 'manager');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Not written where it is right already: on a read-only disk a manager still serves reads.
  if ((statSync(folder).mode & 0o777) !== 0o700) chmodSync(folder, 0o700);
  const undo = new Undo();
  try {
    const store = await parts.openStore(folder, options);
    undo.add(() => store.close());
    const common = { clock: steadyClock(parts.clock), log: parts.log.with({ part: 'store' }) };
    const sealer = await parts.openSealer?.(folder, store);
    const database = await openDatabase(store, common.clock, { log: common.log, auditMs, sealer });
    undo.add(() => database.close());
    const keeper = createStoreKeeper({ ...common, store });
    keeper.start();
    undo.add(() => keeper.stop());
    if (options.initialise) await initialiseCluster(database, options.initialise, parts);
    const port = await serve(options, parts, { store, database }, undo);
    return { port, stop: () => undo.all() };
  } catch (error) {
    await undo.all();
    throw error;
  }
}

/** Gives the port. */
async function serve(
  options: ManagerOptions,
  parts: Parts,
  { store, database }: { store: ClusterStore; database: OpenDatabase },
  undo: Undo,
): Promise<number> {
  const { clock, random, log } = parts;
  const { advertiseAddress: ownAddress } = options;
  const named = (name: string) => ({ clock, random, log: log.with({ part: name }) });
  const tls = await serverTls(database.view, ownAddress, clock);
  const audit = await Audit.open({
    folder: join(options.stateFolder, 'manager', 'audit'),
    ...named('audit'),
  });
  undo.add(() => audit.stop());
  let { port } = options.listen;
  const self = (): Candidate => ({
    ...(options.nodeId !== undefined && { nodeId: options.nodeId }),
    address: `${ownAddress}:${port}`,
  });
  const stamps = new Stamps(database, clock);
  const known = {
    addresses: () => addressesOf(database.view, self().address),
    leader: (): string | undefined => leading.leader,
  };
  const leading: Leading = new Leading({
    store,
    candidate: () => formatCandidate(self()),
    ...named('leading'),
    begin: (leadership) =>
      beginTerm(leadership, {
        ...named('term'),
        ...known,
        store,
        database,
        stamps,
        log,
        audit,
        ownAddress,
        self,
        host: parts.host,
      }),
  });
  undo.add(() => leading.stop());
  const following = followingTable({ ...named('api'), database, audit, ...known });
  const site: Site = {
    get own() {
      return leading.own;
    },
    following,
    seat: (wait) => leading.seat(wait),
  };
  const link = new LinkCredentials({ view: database.view, clock, self });
  const piper = new Piper({ ...named('api'), credentials: () => link.get(), ownAddress });
  const server = createApiServer({ ...named('api'), site, piper, database, audit });
  undo.add(() => server.stop());
  mkdirSync(options.runFolder, { recursive: true, mode: 0o755 });
  await server.listenLocal(join(options.runFolder, 'manager.sock'));
  port = await server.listenSecure(options.listen.host, port, tls);
  const certificates = certificateLoop({ ...named('ca'), view: database.view, ownAddress }, server, tls);
  certificates.start();
  undo.add(() => certificates.stop());
  leading.start();
  return port;
}

/** Where the managers are reached; `own` when none is stored yet. */
function addressesOf({ nodes }: View, own: string): string[] {
  const known = managerAddresses(nodes.values(), own);
  return known.length === 0 ? [own] : known;
}

async function serverTls(view: View, ownAddress: string, clock: Clock): Promise<TlsMaterial> {
  const { cluster } = view;
  if (cluster === undefined) {
    throw new ShoalError('failed_precondition', 'Cannot start the manager: there is no cluster here yet', {
      next: 'Run `shoal init`.',
    });
  }
  const { certificateAuthority: authority, clusterId } = cluster;
  const own = await createServerCertificate(authority, clusterId, [ownAddress], clock.now());
  return { ...own, certificateAuthorityPem: authority.certificatePem };
}

/** The server's certificate lives in memory alone: it is made at every start, and again when its time has come. */
function certificateLoop(
  { view, ownAddress, clock, log }: { view: View; ownAddress: string; clock: Clock; log: Logger },
  server: ApiServer,
  first: TlsMaterial,
): Loop {
  let current = first;
  return new Loop({
    name: 'server certificate',
    clock,
    log,
    intervalMs: certificateCheckMs,
    tick: async () => {
      if (!isDue(current.certificatePem, clock.now())) return;
      current = await serverTls(view, ownAddress, clock);
      server.replaceCertificate(current);
      log.info('the server has a new certificate');
    },
  });
}
