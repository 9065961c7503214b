import { codeOf, ShoalError } from '../../../src/util/errors.ts';
import { systemRandom } from '../../../src/util/random.ts';
import { backoffMs } from '../../../src/util/retry.ts';
import {
  openEnded,
  type Leader,
  type Leadership,
  type ListOptions,
  type Store,
  type StoredValue,
  type StorePage,
  type StoreUpkeep,
  type Transaction,
  type TransactionResult,
  type WatchBatch,
} from '../store.ts';
import { checkTransaction, foreignResult, isForeign } from '../transaction.ts';
import { fenceKey } from '../election.ts';
import { EtcdClient, etcdDetails, isNoSpace, type EtcdClientOptions, type EtcdMember } from './client.ts';
import { quotaBytes } from '../../etcd/flags.ts';
import { after as afterKey, Keys } from './keys.ts';
import { MemberElection } from './election.ts';
import { NonceSlots, type Slot } from './nonces.ts';
import type { KeyValue, ModCompare, Operation, RangeAnswer, TxnAnswer } from './protocol.ts';
import { EtcdUpkeep } from './upkeep.ts';
import { BatchReader, watchPrefix, type WatchParts } from './watch.ts';

export interface EtcdStoreOptions extends EtcdClientOptions {
  /** Before every key; for an etcd that others use too. @default none */
  prefix?: string;
  /** Who writes: no two processes may have the same at one time. */
  owner: string;
  /** Of each member. @default what our own are started with */
  quotaBytes?: number;
}

export interface EtcdStore extends Store {
  readonly upkeep: StoreUpkeep;
  /** The members from now on, as `endpoints` of the options. */
  setEndpoints(endpoints: readonly string[]): void;
}

/** With a leader an answer takes milliseconds; without one etcd itself gives up after 7 s. */
const attemptMs = 2_000;
const totalMs = 10_000;
/** An election takes less. */
const leaderlessMsMax = 2_000;
/** Keys of a page of a listing. Many, for older versions walk the rest of the index for each page. */
const pageKeys = 20_000;
/** Of a page for whoever goes on meanwhile: reading one keeps the process busy. */
const smallPageKeys = 5_000;

/**
 * The store of a cluster with several managers: etcd, by its own replication. `endpoints` begin with the member of this
 * manager, which must be the raft leader for `campaign` to lead. Every transaction is done once, also when its answer was
 * lost and it was asked for again.
 *
 * Throws `unavailable` when no member answers.
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<EtcdStore> {
  const client = new EtcdClient(options);
  const keys = new Keys(options.prefix ?? '');
  try {
    const { kvs, header } = await client.ask(totalMs, (member) =>
      member.call('KV.Range', keys.nonces(options.owner), attemptMs),
    );
    const lineage = header.clusterId;
    const revisions = new Map(kvs.map(({ key, modRevision }) => [slotIndex(key), Number(modRevision)]));
    return new ReplicatedStore({ client, keys, slots: new NonceSlots(revisions), lineage }, options);
  } catch (error) {
    client.close();
    throw translate(error);
  }
}

function slotIndex(key: Buffer): number {
  const text = key.toString();
  return Number(text.slice(text.lastIndexOf('/') + 1));
}

interface EtcdParts {
  client: EtcdClient;
  keys: Keys;
  slots: NonceSlots;
  lineage: string;
}

class ReplicatedStore implements EtcdStore {
  /** The id of etcd's cluster: a new one is made whenever etcd begins anew, also from a snapshot. */
  readonly lineage: string;
  readonly #client: EtcdClient;
  readonly #keys: Keys;
  readonly #slots: NonceSlots;
  readonly #options: EtcdStoreOptions;
  readonly #election: MemberElection;
  readonly upkeep: StoreUpkeep;
  readonly #closed = new AbortController();
  /** Of the last watch of everything: that of this manager's view. */
  #reader: BatchReader | undefined;
  #problem: ShoalError | undefined;

  constructor({ client, keys, slots, lineage }: EtcdParts, options: EtcdStoreOptions) {
    this.lineage = lineage;
    this.#client = client;
    this.#keys = keys;
    this.#slots = slots;
    this.#options = options;
    this.#election = new MemberElection({ client, keys, clock: options.clock });
    this.upkeep = new EtcdUpkeep({
      client,
      keys,
      owner: options.owner,
      quotaBytes: options.quotaBytes ?? quotaBytes,
      handOver: () => this.#election.handOver(),
      watched: () => this.#reader?.reached,
    });
  }

  setEndpoints(endpoints: readonly string[]): void {
    this.#client.setEndpoints(endpoints);
  }

  get problem(): ShoalError | undefined {
    return this.#problem ?? (this.#election.leaderlessMs > leaderlessMsMax ? noMajority() : undefined);
  }

  async get(key: string): Promise<StoredValue | undefined> {
    const { kvs } = await this.#ask((member) =>
      member.call('KV.Range', { key: this.#keys.bytes(key) }, attemptMs),
    );
    return kvs[0] && this.#valueOf(kvs[0]);
  }

  async list(
    prefix: string,
    { keysOnly = false }: ListOptions = {},
  ): Promise<{ revision: number; values: StoredValue[] }> {
    const { key, rangeEnd } = this.#keys.range(prefix);
    const values: StoredValue[] = [];
    let revision = 0;
    for (let from: Buffer | undefined = key; from !== undefined;) {
      const request = { key: from, rangeEnd, limit: pageKeys, keysOnly, ...(revision > 0 && { revision }) };
      const page: RangeAnswer = await this.#ask((member) => member.call('KV.Range', request, totalMs));
      if (revision === 0) revision = Number(page.header.revision);
      for (const kv of page.kvs) if (!kv.key.equals(this.#keys.leader)) values.push(this.#valueOf(kv));
      from = page.more ? afterKey(page.kvs.at(-1)!.key) : undefined;
    }
    return { revision, values };
  }

  async page(after: string, { keysOnly = false }: ListOptions = {}): Promise<StorePage> {
    const { key, rangeEnd } = this.#keys.range('');
    const from = after === '' ? key : afterKey(this.#keys.bytes(after));
    const request = { key: from, rangeEnd, limit: smallPageKeys, keysOnly };
    const { header, kvs, more } = await this.#ask((member) => member.call('KV.Range', request, totalMs));
    const values = kvs.filter((kv) => !kv.key.equals(this.#keys.leader)).map((kv) => this.#valueOf(kv));
    return { revision: Number(header.revision), values, more };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    checkTransaction(transaction);
    if (isForeign(transaction, this)) return foreignResult(transaction);
    if (!mayChange(transaction)) return await this.#attempt(transaction, undefined);
    return await this.#slots.use(async (slot) => await this.#attempt(transaction, slot));
  }

  async *watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    const reader = new BatchReader(this.#keys, fromRevision);
    if (prefix === '') this.#reader = reader;
    for await (const batch of watchPrefix(this.#watching(signal), prefix, fromRevision, signal, reader)) {
      yield { ...batch, events: batch.events.filter(({ key }) => key !== fenceKey) };
    }
  }

  campaign(candidate: string, signal: AbortSignal): Promise<Leadership> {
    return this.#election.campaign(candidate, signal);
  }

  async *watchLeader(signal: AbortSignal): AsyncGenerator<Leader | undefined> {
    try {
      yield* this.#election.watchLeader(this.#watching(signal), signal);
    } catch (error) {
      throw this.#closed.signal.aborted ? this.#closed.signal.reason : translate(error);
    }
  }

  #watching(signal: AbortSignal): WatchParts {
    const { clock } = this.#options;
    const pause = async (failures: number) => {
      const wait = backoffMs(failures + 1, systemRandom, { minMs: 50, maxMs: 1_000 });
      await clock.sleep(wait, AbortSignal.any([signal, this.#closed.signal])).catch(() => undefined);
    };
    return { client: this.#client, keys: this.#keys, closed: this.#closed.signal, pause };
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new ShoalError('unavailable', 'Cannot use the store: it was closed'));
    await this.#election.close();
    this.#client.close();
  }

  /** With a slot it is done at most once, however often it is asked for. */
  async #attempt(transaction: Transaction, slot: Slot | undefined): Promise<TransactionResult> {
    const nonce = systemRandom.id();
    const request = this.#requestOf(transaction, slot, nonce);
    let sent = 0;
    const send = (member: EtcdMember) => {
      sent++;
      return member.call('KV.Txn', request(), attemptMs);
    };
    for (;;) {
      const answer = await this.#ask(send).catch((error: unknown) => {
        // What etcd refuses as it stands was not done, unless it was sent before.
        const isRefused = ['no_space', 'resource_exhausted'].includes(codeOf(error));
        throw sent === 0 || (sent === 1 && isRefused) ? error : openEnded(translate(error));
      });
      const revision = Number(answer.header.revision);
      if (answer.succeeded) {
        if (slot !== undefined) slot.revision = revision;
        this.#problem = undefined;
        return { committed: true, revision };
      }
      const stored = slot && answer.answers[0]?.range?.kvs[0];
      if (slot !== undefined && Number(stored?.modRevision ?? 0) !== slot.revision) {
        slot.revision = Number(stored?.modRevision ?? 0);
        // an attempt whose answer was lost
        if (stored?.value.toString() === nonce) return { committed: true, revision: slot.revision };
        continue; // one that an earlier transaction gave up came late: the place is known again
      }
      return { committed: false, conflicts: conflictsIn(transaction, answer, slot === undefined ? 0 : 1) };
    }
  }

  /** Gives the request as it is now: where the slot stands may become known between two attempts. */
  #requestOf(transaction: Transaction, slot: Slot | undefined, nonce: string) {
    const { compares, puts, deletes } = transaction;
    const guards = compares.map(({ key, revision }) => equal(this.#keys.bytes(key), revision));
    const changes: Operation[] = [
      ...puts.map(({ key, value }) => ({ put: { key: this.#keys.bytes(key), value: Buffer.from(value) } })),
      ...deletes.map((key) => ({ delete: { key: this.#keys.bytes(key) } })),
    ];
    const looks: Operation[] = guards.map(({ key }) => ({ range: { key, keysOnly: true } }));
    if (slot === undefined) return () => ({ compares: guards, success: changes, failure: looks });
    const place = this.#keys.nonce(this.#options.owner, slot.index);
    return () => ({
      compares: [equal(place, slot.revision), ...guards],
      success: [{ put: { key: place, value: Buffer.from(nonce) } }, ...changes],
      failure: [{ range: { key: place } }, ...looks],
    });
  }

  async #ask<T>(attempt: (member: EtcdMember) => Promise<T>): Promise<T> {
    if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
    try {
      return await this.#client.ask(totalMs, attempt);
    } catch (error) {
      if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
      const problem = translate(error);
      if (problem.code === 'no_space') this.#problem = problem;
      throw problem;
    }
  }

  #valueOf({ key, value, modRevision }: KeyValue): StoredValue {
    return { key: this.#keys.text(key), value: value.toString(), revision: Number(modRevision) };
  }
}

/** Whether doing it twice would differ from doing it once. What is deleted without a compare is gone either way. */
function mayChange({ compares, puts, deletes }: Transaction): boolean {
  if (puts.length > 0) return true;
  const deleted = new Set(deletes);
  return compares.some(({ key, revision }) => revision !== 0 && deleted.has(key));
}

function equal(key: Buffer, modRevision: number): ModCompare {
  return { result: 0, target: 2, key, modRevision };
}

function conflictsIn({ compares }: Transaction, { answers }: TxnAnswer, offset: number): string[] {
  return compares
    .filter(({ revision }, index) => {
      const found = answers[index + offset]?.range?.kvs[0];
      return Number(found?.modRevision ?? 0) !== revision;
    })
    .map(({ key }) => key);
}

function noMajority(): ShoalError {
  return new ShoalError(
    'unavailable',
    'Nothing can be changed now: most managers are away or do not reach each other. What runs goes on',
  );
}

/** An error of a call in our words. */
function translate(error: unknown): ShoalError {
  if (error instanceof ShoalError) return error;
  if (isNoSpace(error)) {
    return new ShoalError('no_space', "Cannot write: etcd's quota of space is used up", {
      cause: error,
      next: 'Remove what is not needed; the managers compact and defragment etcd by themselves.',
    });
  }
  const details = etcdDetails(error);
  const code = /request is too large|larger than max/.test(details) ? 'resource_exhausted' : 'internal';
  return new ShoalError(code, `Cannot use the store: ${details}`, { cause: error });
}
