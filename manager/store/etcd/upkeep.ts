import { ShoalError } from '../../../src/util/errors.ts';
import type { MemberHash, MemberSize, StoreUpkeep } from '../store.ts';
import { etcdDetails, type EtcdClient, type EtcdMember } from './client.ts';
import type { Keys } from './keys.ts';
import type { Calls } from './protocol.ts';

const statusMs = 1_000;
const callMs = 5_000;
const totalMs = 10_000;
/** Of all keys of a full store. */
const hashMs = 10_000;
/** A file of the whole quota takes half a minute. */
const defragmentMs = 120_000;

interface UpkeepParts {
  client: EtcdClient;
  keys: Keys;
  owner: string;
  quotaBytes: number;
  handOver: () => Promise<void>;
  /** Undefined while nothing is watched. */
  watched: () => number | undefined;
}

/** See `StoreUpkeep`. */
export class EtcdUpkeep implements StoreUpkeep {
  readonly #parts: UpkeepParts;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  get quotaBytes(): number {
    return this.#parts.quotaBytes;
  }

  async isLeading(): Promise<boolean> {
    const { leader, header } = await this.#own('Maintenance.Status', {}, statusMs);
    return leader !== '0' && leader === header.memberId;
  }

  async sizes(): Promise<(MemberSize | undefined)[]> {
    const { members } = this.#parts.client;
    return await Promise.all(members.map((member) => sizeOf(member).catch(() => undefined))); // away
  }

  async hashes(revision: number): Promise<(MemberHash | undefined)[]> {
    const { members } = this.#parts.client;
    const hashes: (MemberHash | undefined)[] = [];
    // one after another, for a member answers little else meanwhile
    for (const member of members) hashes.push(await hashOf(member, revision).catch(() => undefined));
    return hashes;
  }

  async isFull(): Promise<boolean> {
    const { alarms } = await this.#own('Maintenance.Alarm', { action: 0, memberId: '0', alarm: 0 }, callMs);
    return alarms.some(({ alarm }) => alarm === 1);
  }

  async endFull(): Promise<void> {
    const { alarms } = await this.#own('Maintenance.Alarm', { action: 0, memberId: '0', alarm: 0 }, callMs);
    for (const { memberId, alarm } of alarms) {
      if (alarm === 1) await this.#own('Maintenance.Alarm', { action: 2, memberId, alarm }, callMs);
    }
  }

  async revision(): Promise<number> {
    const { header } = await this.#own('Maintenance.Status', {}, statusMs);
    return Number(header.revision);
  }

  async watchedRevision(sinceRevision: number): Promise<number> {
    const { kvs } = await this.#own('KV.Range', this.#parts.keys.watched(), callMs);
    return kvs
      .filter(({ modRevision }) => Number(modRevision) >= sinceRevision)
      .reduce((least, { value }) => Math.min(least, Number(value.toString())), Infinity);
  }

  async tellWatched(): Promise<void> {
    const { client, keys, owner, watched } = this.#parts;
    const revision = watched();
    if (revision === undefined) return;
    const put = { key: keys.watched(owner).key, value: Buffer.from(String(revision)) };
    const request = { compares: [], success: [{ put }], failure: [] };
    await told(client.ask(totalMs, (member) => member.call('KV.Txn', request, callMs)));
  }

  async compact(revision: number): Promise<void> {
    try {
      await this.#own('KV.Compact', { revision }, callMs);
    } catch (error) {
      if (!/has been compacted/.test(String(error))) throw error; // somebody else was faster
    }
  }

  async defragment(endpoint: string): Promise<void> {
    const member = this.#parts.client.members.find((each) => each.endpoint === endpoint);
    if (member !== undefined) await told(member.callPatiently('Maintenance.Defragment', {}, defragmentMs));
  }

  async handOver(): Promise<void> {
    await this.#parts.handOver();
  }

  /** Asks the member of this manager. */
  async #own<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
    timeoutMs: number,
  ): Promise<Calls[Name][1]> {
    return await told(this.#parts.client.members[0]!.call(name, request, timeoutMs));
  }
}

async function sizeOf(member: EtcdMember): Promise<MemberSize> {
  const status = await member.call('Maintenance.Status', {}, statusMs);
  return {
    endpoint: member.endpoint,
    isLeader: status.leader === status.header.memberId,
    isLearner: status.isLearner,
    bytes: Number(status.dbSize),
    inUseBytes: Number(status.dbSizeInUse),
  };
}

async function hashOf(member: EtcdMember, revision: number): Promise<MemberHash> {
  const answer = await member.callPatiently('Maintenance.HashKV', { revision }, hashMs);
  return { endpoint: member.endpoint, hash: answer.hash, fromRevision: Number(answer.compactRevision) };
}

/** What etcd says, as `unavailable`: all of this is tried again later. */
function told<T>(call: Promise<T>): Promise<T> {
  return call.catch((cause: unknown) => {
    if (cause instanceof ShoalError) throw cause;
    throw new ShoalError('unavailable', `Cannot tend the store: ${etcdDetails(cause)}`, { cause });
  });
}
