import type { TaskTemplate } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { assert, codeOf, ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { Change, Database, Plan, View, ViewChange, WriteResult } from './objects.ts';
import type { Compare, Leadership, Store, Transaction, TransactionResult } from './store.ts';
import { isMissingTemplate, templateId } from './templates.ts';
import { transactionChangesMax } from './transaction.ts';
import { encodeObject, encodeTask, keyOf, MutableView } from './view.ts';

/** A group is one transaction; a larger one is a fault of the planner. */
export const groupChangesMax = transactionChangesMax;

export interface OpenDatabase extends Database {
  /**
   * The same, for who leads: every group is written only while nobody else has led since, and refused with `unavailable`
   * afterwards.
   */
  fenced(leadership: Leadership): Database;
  close(): Promise<void>;
}

/**
 * Loads everything the store holds and follows it from there. `close` ends the following; the store stays open.
 * Throws what the store throws when it cannot be read.
 */
export async function openDatabase(store: Store, clock: Clock): Promise<OpenDatabase> {
  const database = new StoreDatabase(store, clock);
  await database.open();
  return database;
}

class StoreDatabase implements OpenDatabase {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #view = new MutableView();
  readonly #callbacks = new Set<(change: ViewChange) => void>();
  readonly #stop = new AbortController();
  /** Templates that writes under way refer to, and how many do. */
  readonly #writing = new Map<string, number>();
  /** Writers that wait for the view to reach a revision. */
  #waiting: { revision: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  #following: Promise<void> | undefined;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  get view(): View {
    return this.#view;
  }

  get problem(): ShoalError | undefined {
    return this.#store.problem;
  }

  async open(): Promise<void> {
    await this.#load();
    this.#following = this.#follow();
  }

  fenced({ fence }: Leadership): Database {
    const problem = () => this.problem;
    return {
      view: this.#view,
      get problem() {
        return problem();
      },
      write: async (plan) => orFirstRefusal(await this.#writePlan(plan, fence)),
      writeEach: (plan) => this.#writePlan(plan, fence),
      onChange: (callback) => this.onChange(callback),
    };
  }

  async write(plan: Plan): Promise<{ conflicts: number }> {
    return orFirstRefusal(await this.#writePlan(plan, undefined));
  }

  writeEach(plan: Plan): Promise<WriteResult> {
    return this.#writePlan(plan, undefined);
  }

  async #writePlan(plan: Plan, fence: Compare | undefined): Promise<WriteResult> {
    const now = this.#clock.now();
    const groups = plan.filter((group) => group.length > 0);
    const results = await Promise.allSettled(groups.map((group) => this.#writeGroup(group, now, fence)));
    let conflicts = 0;
    const refused: Error[] = [];
    for (const result of results) {
      if (result.status === 'rejected') {
        const error = result.reason as Error;
        // What the disk or the backend cannot do now is tried again with all the rest.
        if (mayPass(error)) throw error;
        refused.push(error);
      } else if (!result.value.committed) conflicts++;
    }
    return { conflicts, refused };
  }

  async #writeGroup(group: Change[], now: number, fence: Compare | undefined): Promise<TransactionResult> {
    const templates = new Map(group.flatMap(templatesOf).map((template) => [templateId(template), template]));
    const isInUse = ({ kind, action, object }: Change) =>
      kind === 'template' && action === 'delete' && this.#writing.has(object.id);
    // A task that refers to it is on its way.
    if (group.some(isInUse)) return { committed: false, conflicts: [] };
    for (const id of templates.keys()) this.#writing.set(id, (this.#writing.get(id) ?? 0) + 1);
    try {
      const transaction = transactionOf(group, templates, this.#view, now);
      if (fence !== undefined) transaction.compares.push(fence);
      const result = await this.#store.transact(transaction);
      if (!result.committed && fence !== undefined && result.conflicts.includes(fence.key))
        throw notLeading();
      // Until the view shows that they are in use.
      if (result.committed) await this.#reached(result.revision);
      return result;
    } finally {
      for (const id of templates.keys()) {
        const writers = this.#writing.get(id)! - 1;
        if (writers > 0) this.#writing.set(id, writers);
        else this.#writing.delete(id);
      }
    }
  }

  onChange(callback: (change: ViewChange) => void): () => void {
    // Wrapped, so that the same function given twice is called twice and stopped one at a time.
    const entry = (change: ViewChange) => callback(change);
    this.#callbacks.add(entry);
    return () => this.#callbacks.delete(entry);
  }

  async close(): Promise<void> {
    this.#stop.abort(new ShoalError('unavailable', 'The database was closed'));
    await this.#following;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new ShoalError('unavailable', 'Cannot wait for the write to show: the database was closed'));
    }
  }

  async #load(): Promise<void> {
    const { revision, values } = await this.#store.list('');
    this.#changed(this.#view.reset(revision, values));
  }

  /** Follows the watch until closed. A watch that breaks (history compacted, backend away) begins anew from a listing. */
  async #follow(): Promise<void> {
    const signal = this.#stop.signal;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (failures > 0) await this.#load();
        for await (const batch of this.#store.watch('', this.#view.revision, signal)) {
          failures = 0;
          this.#changed(this.#view.apply(batch));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ShoalError) || error.code === 'internal') this.#fail(error);
        failures++;
        await this.#clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined);
      }
    }
  }

  /** A bug, not the world's fault. Nothing may plan from a view that stands still: the process ends by this rejection. */
  #fail(cause: unknown): never {
    const error = new ShoalError('internal', 'Cannot keep the view of the store up to date', { cause });
    this.#stop.abort(error);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    throw error;
  }

  #changed(change: ViewChange): void {
    const reached = this.#waiting.filter(({ revision }) => revision <= this.#view.revision);
    if (reached.length > 0) {
      this.#waiting = this.#waiting.filter(({ revision }) => revision > this.#view.revision);
      for (const { resolve } of reached) resolve();
    }
    if (change.objects.length > 0) for (const callback of this.#callbacks) callback(change);
  }

  #reached(revision: number): Promise<void> {
    if (revision <= this.#view.revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (this.#stop.signal.aborted) reject(this.#stop.signal.reason as Error);
      else this.#waiting.push({ revision, resolve, reject });
    });
  }
}

/** Whether a write failed for a reason that passes, such as a full disk, and not for what was to be written. */
function mayPass(error: Error): boolean {
  return ['unavailable', 'no_space'].includes(codeOf(error));
}

function orFirstRefusal({ conflicts, refused }: WriteResult): { conflicts: number } {
  if (refused[0] !== undefined) throw refused[0];
  return { conflicts };
}

function notLeading(): ShoalError {
  return new ShoalError('unavailable', 'Cannot write: another manager leads the cluster now', {
    next: 'Try again: the request then goes to that manager.',
  });
}

function templatesOf({ kind, action, object }: Change): TaskTemplate[] {
  if (kind !== 'task' || action === 'delete' || action === 'check') return [];
  return isMissingTemplate(object.template) ? [] : [object.template];
}

/**
 * One group as a transaction that is guarded by the revisions its objects had when they were read. The templates that its tasks
 * refer to are written with it when they are not there yet, and must still be there when they are.
 */
function transactionOf(
  group: Change[],
  templates: ReadonlyMap<string, TaskTemplate>,
  view: View,
  now: number,
): Transaction {
  assert(
    group.length <= groupChangesMax,
    `a group has at most ${groupChangesMax} changes, not ${group.length}`,
  );
  const transaction: Transaction = { compares: [], puts: [], deletes: [] };
  for (const [id, template] of templates) {
    const key = keyOf('template', id);
    const stored = view.templates.get(id);
    if (stored !== undefined) transaction.compares.push({ key, revision: stored.revision });
    else {
      const object = { id, createdAt: now, updatedAt: now, revision: 0, template };
      transaction.puts.push({ key, value: encodeObject(object) });
    }
  }
  for (const { kind, action, object } of group) {
    const key = keyOf(kind, object.id);
    transaction.compares.push({ key, revision: action === 'create' ? 0 : object.revision });
    if (action === 'delete') transaction.deletes.push(key);
    else if (action !== 'check') {
      const current = { ...object, updatedAt: now };
      const value = kind === 'task' ? encodeTask(current as Task) : encodeObject(current);
      transaction.puts.push({ key, value });
    }
  }
  return transaction;
}
