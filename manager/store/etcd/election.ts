import type { Clock } from '../../../src/util/clock.ts';
import { codeOf, ShoalError } from '../../../src/util/errors.ts';
import { fenceKey, LocalElection } from '../election.ts';
import type { Leader, Leadership } from '../store.ts';
import type { EtcdClient, EtcdMember } from './client.ts';
import type { Keys } from './keys.ts';
import { watchPrefix, type WatchParts } from './watch.ts';

/** How often a manager asks its own member who leads. */
const pollMs = 50;
const statusMs = 300;
/** A leader whose own member has not said for so long that it leads has lost that. */
const silenceMs = 2_000;
const writeMs = 2_000;
/** Until some member says who leads. */
const findMs = 10_000;

export interface ElectionParts {
  client: EtcdClient;
  keys: Keys;
  clock: Clock;
}

/**
 * Leads the manager whose own member of etcd is the raft leader: then its writes travel least, and it knows of the end of
 * its term as soon as etcd does. It proves its leadership by the revision of one key, in every transaction; no clock and
 * no lease decides.
 */
export class MemberElection {
  readonly #parts: ElectionParts;
  /** Candidates of this process come one after another. */
  readonly #local = new LocalElection();
  readonly #closed = new AbortController();
  #leading: Promise<void> = Promise.resolve();
  /** Since when the own member has known of no leader of etcd. */
  #leaderlessAt: number | undefined;

  constructor(parts: ElectionParts) {
    this.#parts = parts;
  }

  /** See `Store.campaign`. */
  async campaign(candidate: string, signal: AbortSignal): Promise<Leadership> {
    const local = await this.#local.campaign(candidate, signal, () => 0);
    const waiting = AbortSignal.any([signal, this.#closed.signal]);
    try {
      const { revision, before } = await this.#win(candidate, waiting);
      const over = new AbortController();
      const lose = () => over.abort(new ShoalError('unavailable', `${candidate} no longer leads`));
      local.signal.addEventListener('abort', lose, { once: true });
      if (local.signal.aborted) lose();
      this.#leading = this.#watchOver(revision, over.signal, lose).then(async () => {
        await local.resign();
      });
      const resign = async () => {
        const isLast = this.#local.waiting === 0;
        await this.#clear(revision);
        lose();
        if (isLast) await this.handOver();
        await this.#leading;
      };
      return { signal: over.signal, fence: { key: fenceKey, revision }, revision, before, resign };
    } catch (error) {
      await local.resign();
      if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
      throw error;
    }
  }

  /** See `Store.watchLeader`. */
  async *watchLeader(parts: WatchParts, signal: AbortSignal): AsyncGenerator<Leader | undefined> {
    const { client, keys } = this.#parts;
    let told: number | undefined;
    while (!signal.aborted) {
      const range = { key: keys.leader };
      const { kvs, header } = await client.ask(findMs, (member) => member.call('KV.Range', range, statusMs));
      const revision = Number(kvs[0]?.modRevision ?? 0);
      const candidate = kvs[0]?.value.toString();
      if (revision !== told) yield candidate === undefined ? undefined : { candidate, revision };
      told = revision;
      try {
        for await (const batch of watchPrefix(parts, fenceKey, Number(header.revision), signal)) {
          for (const event of batch.events) {
            told = event.type === 'put' ? batch.revision : 0;
            yield event.type === 'put' ? { candidate: event.value, revision: told } : undefined;
          }
        }
      } catch (error) {
        // What happened meanwhile is no longer kept: only who leads now counts.
        if (codeOf(error) !== 'failed_precondition') throw error;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new ShoalError('unavailable', 'Cannot lead: the store was closed'));
    this.#local.close();
    await this.#leading;
  }

  /** For how long the own member has said that nobody leads etcd; 0 when somebody does, or it says nothing. */
  get leaderlessMs(): number {
    return this.#leaderlessAt === undefined ? 0 : this.#parts.clock.monotonic() - this.#leaderlessAt;
  }

  get #own(): EtcdMember {
    return this.#parts.client.members[0]!;
  }

  /** Waits until the own member leads, and takes the key; gives its revision, and who had it. */
  async #win(
    candidate: string,
    signal: AbortSignal,
  ): Promise<{ revision: number; before: string | undefined }> {
    const { clock } = this.#parts;
    for (let before: string | undefined; ;) {
      signal.throwIfAborted();
      try {
        if (await this.#leadsOwn()) {
          const found = await this.#holder();
          // its own, from an attempt whose answer was lost or a term of before
          if (found.candidate !== candidate) before = found.candidate;
          const revision = await this.#take(candidate, found.revision);
          if (revision !== undefined) return { revision, before };
        }
      } catch {
        // asked again in a moment
      }
      await clock.sleep(pollMs, signal);
    }
  }

  async #leadsOwn(): Promise<boolean> {
    const { leader, header } = await this.#own.call('Maintenance.Status', {}, statusMs);
    if (leader !== '0') this.#leaderlessAt = undefined;
    else this.#leaderlessAt ??= this.#parts.clock.monotonic();
    return leader !== '0' && leader === header.memberId;
  }

  async #holder(): Promise<{ candidate: string | undefined; revision: number }> {
    const { kvs } = await this.#own.call('KV.Range', { key: this.#parts.keys.leader }, writeMs);
    return { candidate: kvs[0]?.value.toString(), revision: Number(kvs[0]?.modRevision ?? 0) };
  }

  /** Takes the key if it is as it was seen; gives its revision. */
  async #take(candidate: string, modRevision: number): Promise<number | undefined> {
    const { leader: key } = this.#parts.keys;
    const answer = await this.#own.call(
      'KV.Txn',
      {
        compares: [{ result: 0, target: 2, key, modRevision }],
        success: [{ put: { key, value: Buffer.from(candidate) } }],
        failure: [],
      },
      writeMs,
    );
    return answer.succeeded ? Number(answer.header.revision) : undefined;
  }

  /** Says that nobody leads any more, unless somebody else does: who comes next knows that nothing was lost. */
  async #clear(modRevision: number): Promise<void> {
    const { leader: key } = this.#parts.keys;
    const compares = [{ result: 0 as const, target: 2 as const, key, modRevision }];
    const request = { compares, success: [{ delete: { key } }], failure: [] };
    // Where it cannot be said the next leader takes this one for lost, and is careful.
    await this.#own.call('KV.Txn', request, writeMs).catch(() => undefined);
  }

  /** Looks whether it still leads until it does not. Never throws. */
  async #watchOver(revision: number, signal: AbortSignal, lose: () => void): Promise<void> {
    const { keys, clock } = this.#parts;
    let heardAt = clock.monotonic();
    while (!signal.aborted) {
      await clock.sleep(pollMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        if (!(await this.#leadsOwn())) return lose();
        const { kvs } = await this.#own.call('KV.Range', { key: keys.leader, keysOnly: true }, statusMs);
        if (Number(kvs[0]?.modRevision ?? 0) !== revision) return lose();
        heardAt = clock.monotonic();
      } catch {
        // not known: what is written meanwhile is fenced
        if (clock.monotonic() - heardAt > silenceMs) return lose();
      }
    }
  }

  /** Lets another member lead etcd, so that its manager can. What cannot be handed over is found by the others in time. */
  async handOver(): Promise<void> {
    try {
      const { leader, header } = await this.#own.call('Maintenance.Status', {}, statusMs);
      if (leader !== header.memberId) return;
      const { members } = await this.#own.call('Cluster.MemberList', {}, statusMs);
      for (const { id, isLearner } of members) {
        if (id === leader || isLearner) continue;
        const moved = await this.#own.call('Maintenance.MoveLeader', { target: id }, writeMs).then(
          () => true,
          () => false, // this one is away: the next
        );
        if (moved) return;
      }
    } catch {
      // a member that does not answer does not lead for long
    }
  }
}
