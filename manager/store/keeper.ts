import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { MemberHash, MemberSize, Store, StoreUpkeep } from './store.ts';

const intervalMs = 60 * 1000;
/** What was written is kept for so long, so that whoever was away goes on where he was. */
const keptMs = 10 * 60 * 1000;
/** Members are compared this often. */
const compareEveryMs = 10 * 60 * 1000;
/** Below this a file is not worth the pause, and above it only when it is mostly room (shares of `inUseBytes`). */
const worthBytes = 256 * 1024 * 1024;
const looseShare = 2;
/** Shares of the quota: it is told; room is made whether or not it is worth it, if there is any to win. */
const toldShare = 0.7;
const pressedShare = 0.8;
const winShare = 1.1;
/** A quota that was used up is opened again below this. */
const roomShare = 0.95;

/** Revisions of the store at times of `Clock.monotonic`, oldest first. */
export class Revisions {
  #seen: { at: number; revision: number }[] = [];

  /** Notes it; those from before the newest that is old enough are forgotten. */
  note(at: number, revision: number): void {
    this.#seen.push({ at, revision });
    const old = this.#seen.findLastIndex((each) => each.at <= at - keptMs);
    if (old > 0) this.#seen = this.#seen.slice(old);
  }

  /** Of `keptMs` ago; undefined when that is not known. */
  old(now: number): number | undefined {
    const oldest = this.#seen[0];
    return oldest !== undefined && oldest.at <= now - keptMs ? oldest.revision : undefined;
  }
}

export type Room =
  | { action: 'defragment'; endpoint: string }
  /** The leader is the only one left: as a follower it makes room without keeping anybody waiting. */
  | { action: 'hand over' }
  | { action: 'nothing' };

/**
 * Which member makes room next: followers first, and none while another one is away, for it answers nothing meanwhile.
 */
export function planRoom(sizes: readonly (MemberSize | undefined)[], quotaBytes: number): Room {
  const members = sizes.filter((size) => size !== undefined);
  if (members.length < sizes.length) return { action: 'nothing' };
  const voters = members.filter(({ isLearner }) => !isLearner);
  const due = voters.filter((size) => isDue(size, quotaBytes));
  const next = due.find(({ isLeader }) => !isLeader) ?? due[0];
  if (next === undefined) return { action: 'nothing' };
  if (next.isLeader && voters.length > 1) return { action: 'hand over' };
  return { action: 'defragment', endpoint: next.endpoint };
}

function isDue({ bytes, inUseBytes }: MemberSize, quotaBytes: number): boolean {
  if (bytes > quotaBytes * pressedShare) return bytes > inUseBytes * winShare;
  return bytes > worthBytes && bytes > inUseBytes * looseShare;
}

/**
 * The members whose data is another one than that of most, or all that differ when no data is that of most. Only those are compared whose
 * past is gone up to the same revision.
 */
export function membersApart(hashes: readonly (MemberHash | undefined)[]): string[] {
  const known = hashes.filter((each) => each !== undefined);
  return [...Map.groupBy(known, ({ fromRevision }) => fromRevision).values()].flatMap((comparable) => {
    const groups = [...Map.groupBy(comparable, ({ hash }) => hash).values()];
    if (groups.length === 1) return [];
    const most = groups.find((group) => group.length > hashes.length / 2);
    return groups.filter((group) => group !== most).flatMap((group) => group.map(({ endpoint }) => endpoint));
  });
}

/** The largest share of the quota that a member uses: 1 is all of it. */
export function shareOf(sizes: readonly (MemberSize | undefined)[], quotaBytes: number): number {
  return Math.max(0, ...sizes.map((size) => (size === undefined ? 0 : size.bytes / quotaBytes)));
}

export interface KeeperParts {
  store: Store;
  clock: Clock;
  log: Logger;
}

/**
 * Keeps a store small that does not do so itself: forgets what is older than ten minutes, unless a manager's watch is behind that,
 * gives room back, and tells when the quota comes near. Runs in every manager for its whole life; the one whose member leads does
 * it, whether or not it leads the cluster, for with a full store nobody can begin to.
 */
export function createStoreKeeper({ store, clock, log }: KeeperParts): Loop {
  const keeper = new Keeper(clock, log);
  return new Loop({
    name: 'keeper of the store',
    clock,
    log,
    intervalMs,
    tick: async () => {
      if (store.upkeep !== undefined) await keeper.pass(store.upkeep);
    },
  });
}

class Keeper {
  readonly #clock: Clock;
  readonly #log: Logger;
  #revisions = new Revisions();
  #of: StoreUpkeep | undefined;
  #compacted = 0;
  #comparedAt = Number.NEGATIVE_INFINITY;
  /** Whether it was told that the quota comes near. */
  #isTold = false;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  async pass(upkeep: StoreUpkeep): Promise<void> {
    if (this.#of !== upkeep) this.#begin(upkeep);
    // A full store refuses it, and that is told below.
    await upkeep.tellWatched().catch(() => undefined);
    const revision = await upkeep.revision();
    this.#revisions.note(this.#clock.monotonic(), revision);
    if (!(await upkeep.isLeading())) return;
    const sizes = await upkeep.sizes();
    const isFull = await upkeep.isFull();
    const share = shareOf(sizes, upkeep.quotaBytes);
    this.#tell(share, isFull);
    await this.#compact(upkeep, isFull || share > pressedShare ? revision : undefined);
    if (isFull) await this.#open(upkeep);
    else await this.#makeRoom(upkeep);
    await this.#compare(upkeep, revision);
  }

  #begin(upkeep: StoreUpkeep): void {
    this.#of = upkeep;
    this.#revisions = new Revisions();
    this.#compacted = 0;
  }

  /** To the revision of ten minutes ago; `pressing` is that of now, when there is no room for so much. */
  async #compact(upkeep: StoreUpkeep, pressing: number | undefined): Promise<void> {
    const old = this.#revisions.old(this.#clock.monotonic());
    const wished = pressing ?? old;
    if (wished === undefined) return;
    // Whoever has said nothing for ten minutes is not waited for.
    const watched = await upkeep.watchedRevision(old ?? 0);
    const target = Math.min(wished, watched);
    if (target <= this.#compacted) return;
    await upkeep.compact(target);
    this.#compacted = target;
  }

  async #makeRoom(upkeep: StoreUpkeep): Promise<void> {
    // What was just forgotten counts.
    const room = planRoom(await upkeep.sizes(), upkeep.quotaBytes);
    if (room.action === 'hand over') {
      this.#log.info('another manager leads from now on: the file of this one is to be made smaller');
      await upkeep.handOver();
    } else if (room.action === 'defragment') {
      await upkeep.defragment(room.endpoint);
      this.#log.info('a member of the store was made smaller', { endpoint: room.endpoint });
    }
  }

  /** A member that differs answers wrongly and says nothing of it. Nothing is done about it: which data is right is for people. */
  async #compare(upkeep: StoreUpkeep, revision: number): Promise<void> {
    const now = this.#clock.monotonic();
    if (now - this.#comparedAt < compareEveryMs) return;
    this.#comparedAt = now;
    const members = membersApart(await upkeep.hashes(revision));
    if (members.length === 0) return;
    this.#log.error('members of the store have other data than the rest', {
      members,
      revision,
      next: 'Back up, then take the manager with that member out (`shoal node demote`) and in again: it gets the data of the others.',
    });
  }

  /** All members one after another, the leader last, for nothing can be written anyway. */
  async #open(upkeep: StoreUpkeep): Promise<void> {
    const known = (await upkeep.sizes()).filter((size) => size !== undefined && !size.isLearner);
    const inOrder = known.toSorted((left, right) => Number(left?.isLeader) - Number(right?.isLeader));
    for (const size of inOrder) {
      if (size !== undefined && size.bytes > size.inUseBytes * winShare)
        await upkeep.defragment(size.endpoint);
    }
    const share = shareOf(await upkeep.sizes(), upkeep.quotaBytes);
    if (share < roomShare) await upkeep.endFull();
    const how = { percent: percentOf(share) };
    if (share < roomShare) this.#log.info('the store takes changes again', how);
    else this.#log.error('the store is full of what is in use: remove applications, secrets or configs', how);
  }

  /** Once each time that the quota comes near; each time while it is used up. */
  #tell(share: number, isFull: boolean): void {
    const how = { percent: percentOf(share) };
    if (isFull)
      this.#log.error("the store's quota is used up: nothing can be changed until there is room", how);
    else if (share > toldShare && !this.#isTold) this.#log.warn("the store's quota comes near", how);
    this.#isTold = share > toldShare;
  }
}

function percentOf(share: number): number {
  return Math.round(share * 100);
}
