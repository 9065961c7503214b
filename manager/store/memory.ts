import { ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { fenceKey, LocalElection } from './election.ts';
import { History, type HistoryLimits } from './history.ts';
import type {
  Leader,
  Leadership,
  ListOptions,
  Store,
  StoredValue,
  StorePage,
  Transaction,
  TransactionResult,
  WatchBatch,
} from './store.ts';
import { checkTransaction, conflictsOf, eventsOf, foreignResult, isForeign } from './transaction.ts';

/** Keys of a page: few, for tests. */
const pageKeys = 100;

/** A store that forgets everything when the process ends: for unit tests and simulation. */
export function createMemoryStore(limits: HistoryLimits = {}): Store {
  return new MemoryStore(limits);
}

class MemoryStore implements Store {
  readonly lineage = systemRandom.id();
  readonly #values = new Map<string, StoredValue>();
  readonly #history: History;
  readonly #election = new LocalElection();
  #closed = false;

  constructor(limits: HistoryLimits) {
    this.#history = new History(0, limits);
  }

  async get(key: string): Promise<StoredValue | undefined> {
    this.#checkOpen();
    return this.#values.get(key);
  }

  async list(
    prefix: string,
    { keysOnly = false }: ListOptions = {},
  ): Promise<{ revision: number; values: StoredValue[] }> {
    this.#checkOpen();
    const values = [...this.#values.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .map((stored) => (keysOnly ? { ...stored, value: '' } : stored))
      .sort((left, right) => (left.key < right.key ? -1 : 1));
    return { revision: this.#history.revision, values };
  }

  async page(after: string, options: ListOptions = {}): Promise<StorePage> {
    const { revision, values } = await this.list('', options);
    const left = values.filter(({ key }) => key > after);
    return { revision, values: left.slice(0, pageKeys), more: left.length > pageKeys };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.#checkOpen();
    checkTransaction(transaction);
    if (isForeign(transaction, this)) return foreignResult(transaction);
    const revisionOf = (key: string) =>
      key === fenceKey ? this.#election.term : (this.#values.get(key)?.revision ?? 0);
    const conflicts = conflictsOf(transaction.compares, revisionOf);
    if (conflicts.length > 0) return { committed: false, conflicts };
    const events = eventsOf(transaction, revisionOf);
    if (events.length === 0) return { committed: true, revision: this.#history.revision };
    const revision = this.#history.append(events);
    for (const event of events) {
      if (event.type === 'delete') this.#values.delete(event.key);
      else this.#values.set(event.key, { key: event.key, value: event.value, revision });
    }
    return { committed: true, revision };
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch> {
    return this.#history.watch(prefix, fromRevision, signal);
  }

  campaign(candidate: string, signal: AbortSignal): Promise<Leadership> {
    return this.#election.campaign(candidate, signal, () => this.#history.revision);
  }

  watchLeader(signal: AbortSignal): AsyncIterable<Leader | undefined> {
    return this.#election.watchLeader(signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#history.close();
    this.#election.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new ShoalError('unavailable', 'Cannot use the store: it was closed');
  }
}
