import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../src/util/clock.ts';
import { ShoalError } from '../src/util/errors.ts';
import type { Logger } from '../src/util/log.ts';
import { Loop } from '../src/util/loop.ts';
import { KeyedQueue } from '../src/util/queue.ts';
import type { Random } from '../src/util/random.ts';
import { steadyClock } from '../src/util/steady-clock.ts';
import { createAllocator } from './allocator/allocator.ts';
import { StreamCounter, type ApiContext } from './api/context.ts';
import { ApplicationFeeds } from './api/feeds.ts';
import { createJanitor } from './api/janitor.ts';
import { allRoutes, allUpgrades } from './api/routes.ts';
import type { TlsMaterial } from './api/listeners.ts';
import { createApiServer, type ApiServer } from './api/server.ts';
import { Audit } from './audit/audit.ts';
import { createAdministrators } from './ca/administrators.ts';
import { createServerCertificate, isDue } from './ca/authority.ts';
import { initialiseCluster } from './ca/cluster.ts';
import { createJoiner } from './ca/join.ts';
import { createDispatcher } from './dispatcher/dispatcher.ts';
import { managerAddresses } from './dispatcher/manager-news.ts';
import { watchOwnHost } from './dispatcher/own-host.ts';
import { soundKernel } from './dispatcher/soundings.ts';
import { createLogHub } from './logs/hub.ts';
import { createMover } from './mover/mover.ts';
import type { ManagerOptions } from './options.ts';
import { createOrchestrator } from './orchestrator/orchestrator.ts';
import { createScheduler } from './scheduler/scheduler.ts';
import { openDatabase } from './store/database.ts';
import { createStoreKeeper } from './store/keeper.ts';
import type { Database, View } from './store/objects.ts';
import type { Store } from './store/store.ts';

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
  /** Opens the store; the path is of a file in the manager's own folder. */
  openStore: (path: string) => Promise<Store>;
}

interface Part {
  start(): void;
  stop(): Promise<void>;
}

/**
 * Opens the store, makes the cluster when asked to, and runs the API and every loop. Throws `failed_precondition` when
 * there is no cluster, `port_taken` when it cannot listen, and what the store throws.
 */
export async function startManager(options: ManagerOptions, parts: Parts): Promise<Manager> {
  const { clock, random } = parts;
  const folder = join(options.stateFolder, 'manager');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Not written where it is right already: on a read-only disk a manager still serves reads.
  if ((statSync(folder).mode & 0o777) !== 0o700) chmodSync(folder, 0o700);
  const store = await parts.openStore(join(folder, 'store.sqlite'));
  const undo: (() => Promise<void>)[] = [() => store.close()];
  const undoAll = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const steady = steadyClock(clock);
    const opened = await openDatabase(store, steady, {
      log: parts.log.with({ part: 'store' }),
      auditMs,
    });
    undo.push(() => opened.close());
    const keeper = createStoreKeeper({ store, clock: steady, log: parts.log.with({ part: 'store' }) });
    keeper.start();
    undo.push(() => keeper.stop());
    const leadership = await store.campaign(options.advertiseAddress, new AbortController().signal);
    undo.push(() => leadership.resign());
    const database = opened.fenced(leadership);
    if (options.initialise) await initialiseCluster(database, options.initialise, { clock, random });
    const port = await run(options, parts, { database, steady }, undo);
    return { port, stop: undoAll };
  } catch (error) {
    await undoAll();
    throw error;
  }
}

async function run(
  options: ManagerOptions,
  parts: Parts,
  { database, steady }: { database: Database; steady: Clock },
  undo: (() => Promise<void>)[],
): Promise<number> {
  const { clock, random, log } = parts;
  // What the loops stamp and measure goes by a clock that never steps; certificates go by the one that others have, too.
  const named = (name: string) => ({ database, clock: steady, random, log: log.with({ part: name }) });
  const authority = { database, clock, random, log: log.with({ part: 'ca' }) };
  const ownHost = watchOwnHost(options.advertiseAddress);
  const dispatcher = createDispatcher({
    ...named('dispatcher'),
    wallClock: clock,
    ownHost,
    sound: soundKernel,
  });
  const queue = new KeyedQueue();
  const audit = await Audit.open({
    folder: join(options.stateFolder, 'manager', 'audit'),
    ...authority,
    log: log.with({ part: 'audit' }),
  });
  undo.push(() => audit.stop());
  let port = options.listen.port;
  const context: ApiContext = {
    ...named('api'),
    agents: dispatcher,
    joiner: createJoiner({ ...authority, ownAddress: options.advertiseAddress }),
    administrators: createAdministrators(authority),
    audit,
    queue,
    streams: new StreamCounter(),
    logStreams: new StreamCounter(),
    logs: createLogHub({ database, clock: steady, agents: dispatcher }),
    feeds: new ApplicationFeeds({ database, clock: steady }),
    addresses: () => addressesOf(database.view, `${options.advertiseAddress}:${port}`),
    leader: () => `${options.advertiseAddress}:${port}`,
  };
  const server = createApiServer({
    routes: allRoutes(context),
    upgrades: allUpgrades(context),
    database,
    clock,
    audit,
    log: context.log,
  });
  const tls = await serverTls(options, database, clock);
  // Every loop there is, in the order of the path that a change takes; stopped the other way round.
  const loops: Part[] = [
    createOrchestrator(named('orchestrator')),
    createAllocator(named('allocator')),
    createScheduler(named('scheduler')),
    dispatcher,
    createJanitor({ ...named('janitor'), queue }),
    createMover({ ...named('mover'), hosts: dispatcher, queue }),
    certificateLoop(options, authority, server, tls),
  ];
  for (const loop of loops) {
    loop.start();
    undo.push(() => loop.stop());
  }
  undo.push(() => server.stop());
  mkdirSync(options.runFolder, { recursive: true, mode: 0o755 });
  await server.listenLocal(join(options.runFolder, 'manager.sock'));
  port = await server.listenSecure(options.listen.host, options.listen.port, tls);
  return port;
}

/** Where the managers are reached; `own` when none is stored yet. */
function addressesOf({ nodes }: View, own: string): string[] {
  const known = managerAddresses(nodes.values(), own);
  return known.length === 0 ? [own] : known;
}

async function serverTls(options: ManagerOptions, database: Database, clock: Clock): Promise<TlsMaterial> {
  const { cluster } = database.view;
  if (cluster === undefined) {
    throw new ShoalError('failed_precondition', 'Cannot start the manager: there is no cluster here yet', {
      next: 'Run `shoal init`.',
    });
  }
  const { certificateAuthority: authority, clusterId } = cluster;
  const addresses = [options.advertiseAddress];
  const own = await createServerCertificate(authority, clusterId, addresses, clock.now());
  return { ...own, certificateAuthorityPem: authority.certificatePem };
}

/** The server's certificate lives in memory alone: it is made at every start, and again when its time has come. */
function certificateLoop(
  options: ManagerOptions,
  parts: { database: Database; clock: Clock; log: Logger },
  server: ApiServer,
  first: TlsMaterial,
): Loop {
  const { database, clock, log } = parts;
  let current = first;
  return new Loop({
    name: 'server certificate',
    clock,
    log,
    intervalMs: certificateCheckMs,
    tick: async () => {
      if (!isDue(current.certificatePem, clock.now())) return;
      current = await serverTls(options, database, clock);
      server.replaceCertificate(current);
      log.info('the server has a new certificate');
    },
  });
}
