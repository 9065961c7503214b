import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { EtcdMember, etcdDetails, isAway, type EtcdTls } from '../store/etcd/client.ts';
import type { Member } from '../store/etcd/protocol.ts';
import type { MemberFact } from './plan.ts';

const statusMs = 1_000;
/** A change is committed by more than half of the members. */
const changeMs = 5_000;

export interface MembersNow {
  members: MemberFact[];
  /** Where raft's log ends at this member. */
  leaderIndex: number;
  /** Whether the own member leads etcd. */
  isLeader: boolean;
  /** `HOST:PORT` of the members that can be asked, this one first. */
  endpoints: string[];
}

/** Who etcd's members are, asked and changed by the own member. */
export class EtcdMembers {
  readonly #tls: EtcdTls;
  readonly #clock: Clock;
  readonly #own: EtcdMember;
  /** Connections to the other members, by `HOST:PORT`. */
  readonly #others = new Map<string, EtcdMember>();

  constructor(endpoint: string, options: { tls: EtcdTls; clock: Clock }) {
    this.#tls = options.tls;
    this.#clock = options.clock;
    this.#own = this.#connect(endpoint);
  }

  /** Throws gRPC's errors when the own member does not answer, or has no vote yet. */
  async now(): Promise<MembersNow> {
    const { leader, header, raftIndex } = await this.#own.call('Maintenance.Status', {}, statusMs);
    const { members } = await this.#own.call('Cluster.MemberList', {}, changeMs);
    const facts = await Promise.all(members.map((member) => this.#factOf(member, header.memberId)));
    this.#forget(members.flatMap(endpointOf));
    return {
      members: facts,
      leaderIndex: Number(raftIndex),
      isLeader: leader === header.memberId,
      endpoints: this.#ownFirst(members),
    };
  }

  /** `HOST:PORT` of the members that have started, this one first. Throws as `now` does. */
  async endpoints(): Promise<string[]> {
    const { members } = await this.#own.call('Cluster.MemberList', {}, changeMs);
    return this.#ownFirst(members);
  }

  /** Adds a member without a vote. One that is there already with this address is as good. */
  async add(peerUrl: string): Promise<void> {
    await this.#change('add a manager', () =>
      this.#own.call('Cluster.MemberAdd', { peerUrls: [peerUrl], isLearner: true }, changeMs),
    );
  }

  async promote(id: string): Promise<void> {
    await this.#change('give a manager its vote', () =>
      this.#own.call('Cluster.MemberPromote', { id }, changeMs),
    );
  }

  async remove(id: string): Promise<void> {
    await this.#change('remove a manager', () => this.#own.call('Cluster.MemberRemove', { id }, changeMs));
  }

  /** Throws when this one leads no more. */
  async handOver(id: string): Promise<void> {
    await this.#change('let another manager lead', () =>
      this.#own.call('Maintenance.MoveLeader', { target: id }, changeMs),
    );
  }

  close(): void {
    this.#own.close();
    for (const member of this.#others.values()) member.close();
    this.#others.clear();
  }

  /** Whether it was done is told by the next look: an answer may be lost. */
  async #change(what: string, call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
    } catch (error) {
      const details = etcdDetails(error);
      // Done before, by an attempt whose answer was lost.
      if (/member not found|already exists|can only promote a learner/i.test(details)) return;
      const passes = isAway(error) || /unhealthy cluster|too many learner|in sync|not leader/.test(details);
      throw new ShoalError(passes ? 'unavailable' : 'internal', `Cannot ${what} yet: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  async #factOf(member: Member, ownId: string): Promise<MemberFact> {
    const { id, name, peerUrls, isLearner } = member;
    const fact = { id, name, peerUrl: peerUrls[0] ?? '', isLearner };
    const [endpoint] = endpointOf(member);
    if (endpoint === undefined) return { ...fact, isReachable: false, appliedIndex: 0 };
    try {
      const connection = id === ownId ? this.#own : this.#other(endpoint);
      const status = await connection.call('Maintenance.Status', {}, statusMs);
      const isItself = status.header.memberId === id;
      return { ...fact, isReachable: isItself, appliedIndex: Number(status.raftAppliedIndex) };
    } catch {
      return { ...fact, isReachable: false, appliedIndex: 0 }; // it is away: that is what was asked
    }
  }

  #ownFirst(members: readonly Member[]): string[] {
    const own = this.#own.endpoint;
    return [own, ...members.flatMap(endpointOf).filter((endpoint) => endpoint !== own)];
  }

  #other(endpoint: string): EtcdMember {
    const known = this.#others.get(endpoint);
    if (known !== undefined) return known;
    const member = this.#connect(endpoint);
    this.#others.set(endpoint, member);
    return member;
  }

  #connect(endpoint: string): EtcdMember {
    return new EtcdMember(endpoint, { endpoints: [], tls: this.#tls, clock: this.#clock });
  }

  #forget(endpoints: readonly string[]): void {
    for (const [endpoint, member] of this.#others) {
      if (endpoints.includes(endpoint)) continue;
      member.close();
      this.#others.delete(endpoint);
    }
  }
}

/** Where a member takes questions; none before it has started. */
function endpointOf({ clientUrls }: Member): string[] {
  return clientUrls.slice(0, 1).map((url) => new URL(url).host);
}
