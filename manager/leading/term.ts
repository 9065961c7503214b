import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import { createAllocator } from '../allocator/allocator.ts';
import { StreamCounter, type ApiContext } from '../api/context.ts';
import { ApplicationFeeds } from '../api/feeds.ts';
import { createJanitor } from '../api/janitor.ts';
import { allRoutes, allUpgrades } from '../api/routes.ts';
import type { Audit } from '../audit/audit.ts';
import { createAdministrators } from '../ca/administrators.ts';
import { createJoiner } from '../ca/join.ts';
import { createDispatcher } from '../dispatcher/dispatcher.ts';
import { watchOwnHost } from '../dispatcher/own-host.ts';
import { soundKernel } from '../dispatcher/soundings.ts';
import { createLogHub } from '../logs/hub.ts';
import type { MemberHost } from '../members/host.ts';
import { createMembersLoop } from '../members/members.ts';
import { createMover } from '../mover/mover.ts';
import { createOrchestrator } from '../orchestrator/orchestrator.ts';
import { createScheduler } from '../scheduler/scheduler.ts';
import type { ClusterStore } from '../store/cluster-store.ts';
import type { OpenDatabase } from '../store/database.ts';
import type { Leadership } from '../store/store.ts';
import { nodeOfCandidate, parseCandidate, type Candidate } from './candidate.ts';
import type { Term } from './leading.ts';
import type { Stamps } from './stamps.ts';

export interface TermParts {
  store: ClusterStore;
  database: OpenDatabase;
  /** The machine's own, by which certificates go. */
  clock: Clock;
  stamps: Stamps;
  random: Random;
  log: Logger;
  audit: Audit;
  /** The underlay address of this manager's host. */
  ownAddress: string;
  self: () => Candidate;
  /** Its own member of etcd; absent where the store stays embedded. */
  host: MemberHost | undefined;
  /** As in `ApiContext`. */
  addresses: () => string[];
  leader: () => string | undefined;
}

interface Part {
  start(): void;
  stop(): Promise<void>;
}

/**
 * Makes anew all that only the leader has, once the view shows whatever leaders of before have written. Throws `unavailable` when
 * it does not in good time.
 */
export async function beginTerm(leadership: Leadership, parts: TermParts): Promise<Term> {
  await parts.database.reached(leadership.revision);
  await sealAll(leadership, parts);
  const { context, loops } = makeTerm(leadership, parts);
  for (const loop of loops) loop.start();
  return {
    seat: {
      kind: 'own',
      routes: allRoutes(context),
      upgrades: allUpgrades(context),
      over: leadership.signal,
    },
    stop: async () => {
      for (const loop of loops.toReversed()) await loop.stop();
    },
  };
}

/** Seals what a store of before has in clear. What cannot be written now is sealed by a later term. */
async function sealAll(leadership: Leadership, { database, stamps, log }: TermParts): Promise<void> {
  const plan = database.unsealed();
  if (plan.length === 0) return;
  try {
    await database.fenced(leadership, stamps.clock()).writeEach(plan);
    log.info('secrets and keys in the store are sealed now', { values: plan.length });
  } catch (error) {
    log.warn('secrets and keys in the store are not all sealed yet', { error: messageOf(error) });
  }
}

/** What the routes of the leader work with, and every loop there is, in the order of the path that a change takes. */
function makeTerm(leadership: Leadership, parts: TermParts): { context: ApiContext; loops: Part[] } {
  const { clock, stamps, random, log, audit, ownAddress, addresses, leader } = parts;
  // What the loops stamp and measure goes by a clock that never steps; certificates go by the one that others have, too.
  const steady = stamps.clock();
  const database = parts.database.fenced(leadership, steady);
  const named = (name: string) => ({ database, clock: steady, random, log: log.with({ part: name }) });
  const authority = { database, clock, random, log: log.with({ part: 'ca' }) };
  const before = leadership.before === undefined ? undefined : parseCandidate(leadership.before);
  const dispatcher = createDispatcher({
    ...named('dispatcher'),
    wallClock: clock,
    ownHost: watchOwnHost(ownAddress),
    sound: soundKernel,
    lostNodeId: before && nodeOfCandidate(database.view, before)?.id,
  });
  const queue = new KeyedQueue();
  const members =
    parts.host &&
    createMembersLoop({
      ...named('members'),
      store: parts.store,
      host: parts.host,
      selfId: () => nodeOfCandidate(database.view, parts.self())?.id,
    });
  const context: ApiContext = {
    ...named('api'),
    ...(members && { members }),
    agents: dispatcher,
    joiner: createJoiner({ ...authority, ownAddress }),
    administrators: createAdministrators(authority),
    audit,
    queue,
    streams: new StreamCounter(),
    logStreams: new StreamCounter(),
    logs: createLogHub({ database, clock: steady, agents: dispatcher }),
    feeds: new ApplicationFeeds({ database, clock: steady }),
    addresses,
    leader,
  };
  const loops: Part[] = [
    createOrchestrator(named('orchestrator')),
    createAllocator(named('allocator')),
    createScheduler(named('scheduler')),
    dispatcher,
    createJanitor({ ...named('janitor'), queue }),
    createMover({ ...named('mover'), hosts: dispatcher, queue }),
    ...(members === undefined ? [] : [members]),
  ];
  return { context, loops };
}
