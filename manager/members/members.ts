import type { Cluster } from '../../src/spec/cluster.ts';
import type { Node } from '../../src/spec/node.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { MemberAnswer, MemberBody } from '../../src/wire/members.ts';
import { createAuthority, type Authority } from '../ca/authority.ts';
import { peerUrl } from '../etcd/flags.ts';
import type { ClusterStore } from '../store/cluster-store.ts';
import type { Database } from '../store/objects.ts';
import type { EtcdMembers, MembersNow } from './etcd-members.ts';
import type { MemberHost } from './host.ts';
import {
  lagMax,
  nodeOfMember,
  planMembers,
  retryMs,
  whyNotAdded,
  type Ask,
  type MembersView,
  type Note,
  type Step,
} from './plan.ts';

/** How often members are looked at. */
const lookMs = 1_000;
/** Whoever has not asked again by then does not want a place any more. */
const askMs = 15_000;
/** A manager that loses its data more often than this waits. */
const lostMs = 60 * 60_000;
/** A move of the store that failed is tried again after this. */
const moveRetryMs = 30_000;

export interface MembersParts {
  /** Of the leader: fenced. */
  database: Database;
  store: ClusterStore;
  host: MemberHost;
  /** A clock that never steps, in ms since the epoch: phases of members are stamped with it. */
  clock: Clock;
  log: Logger;
  /** The node that this manager runs on; not known before its host has joined. */
  selfId: () => string | undefined;
}

/** Of the leader: makes etcd's members what nodes are wished to be, and gives places to managers that ask. */
export interface MembersLoop {
  start(): void;
  stop(): Promise<void>;
  /** The place of the node's manager. Throws `unavailable` with the reason while there is none. */
  ask(node: Node, body: MemberBody): Promise<MemberAnswer>;
}

/** Made anew in each term. */
export function createMembersLoop(parts: MembersParts): MembersLoop {
  return new Members(parts);
}

class Members implements MembersLoop {
  readonly #parts: MembersParts;
  readonly #loop: Loop;
  readonly #termSince: number;
  readonly #asks = new Map<string, Ask & { at: number }>();
  readonly #strangerSince = new Map<string, number>();
  readonly #caughtUpAt = new Map<string, number>();
  readonly #waitsUntil = new Map<string, number>();
  readonly #lostAt = new Map<string, number>();
  #moveAfter = 0;
  /** Why the store could not be moved. */
  #moveProblem: string | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(parts: MembersParts) {
    this.#parts = parts;
    this.#termSince = parts.clock.now();
    this.#loop = new Loop({
      name: 'members',
      clock: parts.clock,
      log: parts.log,
      intervalMs: lookMs,
      tick: (signal) => this.#tick(signal),
    });
  }

  start(): void {
    this.#loop.start();
    const onChange = ({ kinds }: { kinds: ReadonlySet<string> }) => kinds.has('node') && this.#loop.poke();
    this.#unsubscribe = this.#parts.database.onChange(onChange);
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    await this.#loop.stop();
  }

  async ask(node: Node, { ports, lost }: MemberBody): Promise<MemberAnswer> {
    const address = node.approvedAddress ?? node.description?.address;
    if (node.role !== 'manager') {
      throw new ShoalError(
        'permission_denied',
        `Cannot give ${node.id} a place in the store: it is a worker`,
        {
          next: 'Promote it on a manager: `shoal node promote`.',
        },
      );
    }
    if (address === undefined) throw wait('its address is not known yet');
    const now = this.#parts.clock.now();
    const ask = { nodeId: node.id, peerUrl: peerUrl(address, ports.peer), lost, at: now };
    this.#asks.set(node.id, ask);
    this.#loop.poke();
    const { running } = this.#parts.host;
    if (this.#parts.store.backend === 'embedded' || running === undefined) {
      throw wait(this.#moveProblem ?? 'the store is being moved to etcd');
    }
    const found = await running.members.now();
    const view = this.#viewOf(found);
    const own = view.members.find((member) => nodeOfMember(view, member) === node.id);
    if (own === undefined) throw wait(whyNotAdded(view, ask, now) ?? 'it is being added');
    if (own.id === lost) throw wait('its member that has lost its data is being removed');
    const sealing = await this.#parts.host.sealingKeys();
    return {
      generation: running.place.generation,
      authority: running.authority,
      ...(sealing && { sealing }),
      memberId: own.id,
      isStarted: own.name !== '',
      members: view.members.map(({ name, peerUrl: url }) => ({
        name: name === '' ? node.id : name,
        peerUrl: url,
      })),
      endpoints: found.endpoints,
    };
  }

  async #tick(signal: AbortSignal): Promise<void> {
    const { host, store, clock } = this.#parts;
    const members = host.running?.members;
    if (store.backend === 'etcd' && members === undefined) return; // it is just ending
    const found = store.backend === 'etcd' && members !== undefined ? await members.now() : nobody;
    if (store.backend === 'etcd' && !found.isLeader) return; // another one leads in a moment
    const view = this.#viewOf(found);
    this.#remember(view);
    const step = planMembers(view, clock.now());
    if (step === undefined || signal.aborted) return;
    this.#parts.log.debug(`members: ${step.type}`);
    try {
      await this.#take(step, members);
    } catch (error) {
      if (codeOf(error) !== 'unavailable') throw error;
      this.#parts.log.debug('members are not what they should be yet', { error: messageOf(error) });
      return; // the next look is in a second
    }
    if (step.type !== 'move store') this.#loop.poke();
  }

  #viewOf({ members, leaderIndex }: MembersNow): MembersView {
    const { database, store, selfId, clock } = this.#parts;
    const now = clock.now();
    for (const [id, { at }] of this.#asks) if (now - at > askMs) this.#asks.delete(id);
    return {
      backend: store.backend,
      selfId: selfId() ?? '',
      nodes: [...database.view.nodes.values()],
      members,
      leaderIndex,
      asks: [...this.#asks.values()],
      memory: {
        termSince: this.#termSince,
        strangerSince: this.#strangerSince,
        caughtUpAt: this.#caughtUpAt,
        waitsUntil: this.#waitsUntil,
      },
    };
  }

  #remember(view: MembersView): void {
    const now = this.#parts.clock.now();
    const ids = new Set(view.members.map(({ id }) => id));
    for (const map of [this.#strangerSince, this.#caughtUpAt]) {
      for (const id of map.keys()) if (!ids.has(id)) map.delete(id);
    }
    for (const nodeId of this.#waitsUntil.keys()) {
      if (!view.nodes.some(({ id }) => id === nodeId)) this.#waitsUntil.delete(nodeId);
    }
    for (const [nodeId, at] of this.#lostAt) if (now - at > lostMs) this.#lostAt.delete(nodeId);
    for (const { id, name, isLearner, isReachable, appliedIndex } of view.members) {
      if (name === '' && !this.#strangerSince.has(id)) this.#strangerSince.set(id, now);
      const hasAll = isLearner && isReachable && appliedIndex >= view.leaderIndex - lagMax;
      if (hasAll) this.#caughtUpAt.set(id, now);
    }
  }

  async #take(step: Step, members: EtcdMembers | undefined): Promise<void> {
    const { log } = this.#parts;
    if (step.type === 'move store') return await this.#move(step.backend);
    if (step.type === 'note') return await this.#note(step.notes);
    if (members === undefined) return;
    switch (step.type) {
      case 'add':
        await members.add(step.ask.peerUrl);
        return log.info('a manager was added to the store', { nodeId: step.ask.nodeId });
      case 'promote':
        await members.promote(step.member.id);
        return log.info('a manager has all of the store and got a vote', { nodeId: step.member.name });
      case 'hand over':
        return await this.#handOver(
          members,
          step.targets.map(({ id }) => id),
        );
      case 'remove':
        return await this.#remove(members, step);
      default:
        return unreachable(step);
    }
  }

  async #handOver(members: EtcdMembers, targets: readonly string[]): Promise<void> {
    this.#parts.log.info('another manager is to lead: this one is no manager any more');
    let failure: unknown;
    for (const id of targets) {
      try {
        return await members.handOver(id);
      } catch (error) {
        failure = error; // the next one may be nearer
      }
    }
    throw failure;
  }

  async #remove(
    members: EtcdMembers,
    { member, why, fault }: Extract<Step, { type: 'remove' }>,
  ): Promise<void> {
    const { clock, log, database } = this.#parts;
    const now = clock.now();
    const asker = [...this.#asks.values()].find(({ lost }) => lost === member.id)?.nodeId;
    await members.remove(member.id);
    log.warn('a manager was removed from the store', { nodeId: member.name, member: member.id, why });
    if (asker !== undefined) {
      if (this.#lostAt.has(asker)) this.#waitsUntil.set(asker, now + lostMs);
      this.#lostAt.set(asker, now);
    }
    if (fault === undefined) return;
    this.#waitsUntil.set(fault.nodeId, now + retryMs);
    const manager = database.view.nodes.get(fault.nodeId)?.manager;
    if (manager === undefined) return;
    const { address } = manager;
    await this.#note([{ nodeId: fault.nodeId, manager: { address, problem: fault.problem } }]);
  }

  async #note(notes: Note[]): Promise<void> {
    const { database } = this.#parts;
    const groups = notes.flatMap(({ nodeId, manager }) => {
      const node = database.view.nodes.get(nodeId);
      if (node === undefined) return [];
      const { manager: _before, ...rest } = node;
      const object = { ...rest, ...(manager !== undefined && { manager }) };
      return [[{ kind: 'node' as const, action: 'update' as const, object }]];
    });
    await database.write(groups); // a conflict is seen at the next look
  }

  async #move(backend: 'embedded' | 'etcd'): Promise<void> {
    const { clock, log, host, store, selfId } = this.#parts;
    const nodeId = selfId();
    if (nodeId === undefined || clock.now() < this.#moveAfter) return;
    this.#moveAfter = clock.now() + moveRetryMs;
    log.info('the store moves', { to: backend });
    try {
      const moved =
        backend === 'embedded'
          ? await host.moveBack(store)
          : await host.moveToEtcd(store, nodeId, await this.#authority());
      log.info('the store has moved', { to: backend, heldMs: Math.round(moved.heldMs) });
      this.#moveProblem = undefined;
    } catch (error) {
      const { next } = error instanceof ShoalError ? error : { next: undefined };
      this.#moveProblem = [messageOf(error), next].filter(Boolean).join('. ');
      log.error('the store cannot move', { to: backend, error: this.#moveProblem });
    }
  }

  /** etcd's own authority, made at the first need of it and copied with everything else. */
  async #authority(): Promise<Authority> {
    const { database, clock } = this.#parts;
    const cluster = requireCluster(database.view.cluster);
    if (cluster.storeAuthority !== undefined) return cluster.storeAuthority;
    const storeAuthority = await createAuthority(`${cluster.clusterId} etcd`, clock.now());
    const object = { ...cluster, storeAuthority };
    const { conflicts } = await database.write([[{ kind: 'cluster', action: 'update', object }]]);
    if (conflicts > 0) throw wait('the cluster is just being changed');
    return storeAuthority;
  }
}

const nobody: MembersNow = { members: [], leaderIndex: 0, isLeader: true, endpoints: [] };

function requireCluster(cluster: Cluster | undefined): Cluster {
  if (cluster !== undefined) return cluster;
  throw new ShoalError('failed_precondition', 'Cannot move the store: there is no cluster here yet');
}

/** What a manager is told that asks too early. */
function wait(why: string): ShoalError {
  return new ShoalError('unavailable', `Cannot give this manager a place in the store yet: ${why}`, {
    next: 'It asks again by itself.',
  });
}
