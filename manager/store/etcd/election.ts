import type { Clock } from '../../../src/util/clock.ts';
import { ShoalError } from '../../../src/util/errors.ts';
import { fenceKey, LocalElection } from '../election.ts';
import type { Leadership } from '../store.ts';
import type { EtcdClient, EtcdMember } from './client.ts';
import type { Keys } from './keys.ts';

/** How often a manager asks its own member who leads. */
const pollMs = 50;
const statusMs = 300;
/** A leader whose own member has not said for so long that it leads has lost that. */
const silenceMs = 2_000;
const writeMs = 2_000;

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

  constructor(parts: ElectionParts) {
    this.#parts = parts;
  }

  /** See `Store.campaign`. */
  async campaign(candidate: string, signal: AbortSignal): Promise<Leadership> {
    const local = await this.#local.campaign(candidate, signal);
    const waiting = AbortSignal.any([signal, this.#closed.signal]);
    try {
      const revision = await this.#win(candidate, waiting);
      const over = new AbortController();
      const lose = () => over.abort(new ShoalError('unavailable', `${candidate} no longer leads`));
      local.signal.addEventListener('abort', lose, { once: true });
      if (local.signal.aborted) lose();
      this.#leading = this.#watchOver(revision, over.signal, lose).then(async () => {
        await local.resign();
      });
      const resign = async () => {
        lose();
        if (this.#local.waiting === 0) await this.#handOver();
        await this.#leading;
      };
      return { signal: over.signal, fence: { key: fenceKey, revision }, resign };
    } catch (error) {
      await local.resign();
      if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed.abort(new ShoalError('unavailable', 'Cannot lead: the store was closed'));
    this.#local.close();
    await this.#leading;
  }

  get #own(): EtcdMember {
    return this.#parts.client.members[0]!;
  }

  /** Waits until the own member leads, and takes the key; gives its revision. */
  async #win(candidate: string, signal: AbortSignal): Promise<number> {
    const { keys, clock } = this.#parts;
    for (;;) {
      signal.throwIfAborted();
      const isOwn = await this.#leadsOwn().catch(() => false); // asked again in a moment
      const revision = isOwn ? await this.#take(keys.leader, candidate).catch(() => undefined) : undefined; // likewise
      if (revision !== undefined) return revision;
      await clock.sleep(pollMs, signal);
    }
  }

  async #leadsOwn(): Promise<boolean> {
    const { leader, header } = await this.#own.call('Maintenance.Status', {}, statusMs);
    return leader !== '0' && leader === header.memberId;
  }

  async #take(key: Buffer, candidate: string): Promise<number | undefined> {
    const { kvs } = await this.#own.call('KV.Range', { key }, writeMs);
    const modRevision = Number(kvs[0]?.modRevision ?? 0);
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
  async #handOver(): Promise<void> {
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
