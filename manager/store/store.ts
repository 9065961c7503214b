import { ShoalError } from '../../src/util/errors.ts';

/**
 * The store contract. One global revision counts transactions; every backend passes `contract.ts`.
 * Values are JSON text; keys are `KIND/ID`.
 */
export interface StoredValue {
  key: string;
  value: string;
  /** Revision of the transaction that last wrote the key. */
  revision: number;
}

/** Holds when the key's revision is this one; 0: the key does not exist. */
export interface Compare {
  key: string;
  revision: number;
}

export interface Transaction {
  compares: Compare[];
  puts: { key: string; value: string }[];
  deletes: string[];
  /** Of the store in which the revisions of the compares were read: in any other all of them are conflicts. @default not looked at */
  lineage?: string;
}

/** Either everything was written durably at `revision`, or nothing was and `conflicts` names the compares that did not hold. */
export type TransactionResult =
  | { committed: true; revision: number }
  | { committed: false; conflicts: string[] };

export type StoreEvent = { type: 'put'; key: string; value: string } | { type: 'delete'; key: string };

/** All events of one transaction, together and in order. */
export interface WatchBatch {
  revision: number;
  events: StoreEvent[];
}

export interface Leadership {
  /** Aborts when leadership is lost. */
  signal: AbortSignal;
  /** Holds for as long as nobody else has led since: a transaction with it cannot be that of a leader of before. */
  fence: Compare;
  /** A view that has reached this revision of the store shows all that leaders of before have written. */
  revision: number;
  /** The candidate that led before, if it did not resign. */
  before: string | undefined;
  resign(): Promise<void>;
}

/** Of an error of `transact`: it was asked for and not answered, and may have been done, or be done yet. */
const openOutcome = { outcome: 'open' };

/** The error of a transaction that may have been done, or be done yet. */
export function openEnded(cause: ShoalError): ShoalError {
  const { message, next } = cause;
  return new ShoalError(cause.code, message, {
    cause,
    details: openOutcome,
    ...(next !== undefined && { next }),
  });
}

/** Whether nobody knows if what was asked for was done. */
export function leavesOpen(error: unknown): boolean {
  return error instanceof ShoalError && error.details === openOutcome;
}

export interface StorePage {
  revision: number;
  values: StoredValue[];
  more: boolean;
}

export interface ListOptions {
  /** Values are empty then: for revisions alone. @default false */
  keysOnly?: boolean;
}

/**
 * With this reason a watch is ended of which nothing is heard though something should be: a store of several members goes on with
 * another one. Other reasons say nothing about the member.
 */
export const watchStands = new ShoalError('unavailable', 'The watch of the store stands still');

/** Who leads, by its own words. */
export interface Leader {
  candidate: string;
  /** Of its fence. */
  revision: number;
}

/** One member of a store that has several. */
export interface MemberSize {
  endpoint: string;
  isLeader: boolean;
  /** Has no vote, and takes no orders. */
  isLearner: boolean;
  /** Of its file, and of what is in it. */
  bytes: number;
  inUseBytes: number;
}

/** What a member has, as a number: the same for the same data from one revision on up to another. */
export interface MemberHash {
  endpoint: string;
  hash: number;
  /** The past up to here is gone, which counts too. */
  fromRevision: number;
}

/** What a store needs now and then that does not clean up after itself. Everything throws `unavailable` when it cannot be done now. */
export interface StoreUpkeep {
  /** More than this many bytes are refused. */
  readonly quotaBytes: number;
  /** Whether the member of this manager leads the others: then it is this manager that does what follows. */
  isLeading(): Promise<boolean>;
  /** Of all members; undefined for one that does not answer. */
  sizes(): Promise<(MemberSize | undefined)[]>;
  /** Of what each member has as of a revision; undefined for one that does not answer, or has not come so far. */
  hashes(revision: number): Promise<(MemberHash | undefined)[]>;
  /** Whether everything written is refused because the quota is used up. */
  isFull(): Promise<boolean>;
  /** Ends that. It begins anew with the next write when there is no room. */
  endFull(): Promise<void>;
  /** The revision of the store now. */
  revision(): Promise<number>;
  /** Up to which revision the watches of all managers have come that have said something since `sinceRevision`. */
  watchedRevision(sinceRevision: number): Promise<number>;
  /** Says how far the watch of this manager has come. */
  tellWatched(): Promise<void>;
  /** Forgets what was before the revision. */
  compact(revision: number): Promise<void>;
  /** Gives the room of what was forgotten back. The member answers nothing meanwhile. */
  defragment(endpoint: string): Promise<void>;
  /** Has another member lead. */
  handOver(): Promise<void>;
}

export interface Store {
  /**
   * Of which history the revisions are. Those of another lineage mean nothing here, whatever their numbers: a view is made anew
   * when it differs. It may change while the store is open (`ClusterStore`), and then every watch ends.
   */
  readonly lineage: string;
  get(key: string): Promise<StoredValue | undefined>;
  /** Everything under the prefix in key order, as of one revision. */
  list(prefix: string, options?: ListOptions): Promise<{ revision: number; values: StoredValue[] }>;
  /**
   * Everything in key order, a page at a time, after a key ('' for the first page). Each page is as of a revision of its own: what
   * changes meanwhile is told by a watch from the revision of the first. `more`: there is another page after the last key.
   */
  page(after: string, options?: ListOptions): Promise<StorePage>;
  /**
   * Durable when it resolves. Transactions that arrive together are committed together.
   * Throws `resource_exhausted` over 1,024 changes or 8 MiB, and `unavailable` or `no_space` for what passes: the same may be written later.
   * Then nothing was written, unless the error `leavesOpen` whether.
   */
  transact(transaction: Transaction): Promise<TransactionResult>;
  /**
   * Every batch after `fromRevision`, in order, without gaps. Throws `out_of_range` as `failed_precondition` when the history
   * from there is no longer kept: list again. Ends when the signal aborts.
   */
  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch>;
  /** Waits to become the leader. The single-node backend is the leader at once. */
  campaign(candidate: string, signal: AbortSignal): Promise<Leadership>;
  /**
   * Who leads now, and then each change, for whoever reads in time; undefined while nobody does. One that was lost counts until
   * another candidate leads. Ends when the signal aborts.
   */
  watchLeader(signal: AbortSignal): AsyncIterable<Leader | undefined>;
  /** Absent when it needs none. */
  readonly upkeep?: StoreUpkeep | undefined;
  /** Why nothing can be written now; absent when it can. Reads work all the same. */
  readonly problem?: ShoalError | undefined;
  close(): Promise<void>;
}
