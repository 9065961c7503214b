import type { TaskTemplate } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { assert, codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import { silentLogger, type Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { Sealer } from '../sealing/sealer.ts';
import type { Change, Database, Plan, View, ViewChange, WriteResult } from './objects.ts';
import {
  leavesOpen,
  openEnded,
  watchStands,
  type Compare,
  type Leadership,
  type Store,
  type StoredValue,
  type Transaction,
  type TransactionResult,
} from './store.ts';
import { isMissingTemplate, templateId } from './templates.ts';
import { transactionChangesMax } from './transaction.ts';
import { pagesOf } from './pages.ts';
import { differencesOf } from './view-audit.ts';
import { encodeObject, encodeTask, keyOf, MutableView, parseKey, sealedKinds } from './view.ts';

/** A group is one transaction; a larger one is a fault of the planner. */
export const groupChangesMax = transactionChangesMax;

/** How long a write waits to be seen before the watch begins anew, and how often. */
const seenMsMax = 5_000;
const seenRoundsMax = 3;

export interface DatabaseOptions {
  /** @default nothing is told */
  log?: Logger;
  /** How often the view is compared with a listing of the store (ms). @default never */
  auditMs?: number;
  /** Seals what holds secrets or keys. @default stored as it is */
  sealer?: Sealer | undefined;
}

export interface OpenDatabase extends Database {
  /**
   * The same, for who leads: every group is written only while nobody else has led since, and refused with `unavailable`
   * afterwards. A write of which nobody knows whether it was done ends the leadership: nothing is planned without it, and the
   * fence of the next one keeps it from being done later. What is written is stamped with `clock`. @default the database's own
   */
  fenced(leadership: Leadership, clock?: Clock): Database;
  /** Resolves when the view shows what was written up to this revision. Throws `unavailable` when it does not in good time. */
  reached(revision: number): Promise<void>;
  /**
   * Compares the view with a listing of the store; gives the keys that differ. Then the view is made anew, for whatever was planned
   * from it. Throws what the store throws.
   */
  audit(): Promise<string[]>;
  /** What is to be sealed and is not yet, or with a key of before: written once more as it is. */
  unsealed(): Plan;
  close(): Promise<void>;
}

/**
 * Loads everything the store holds and follows it from there. `close` ends the following; the store stays open.
 * Throws what the store throws when it cannot be read.
 */
export async function openDatabase(
  store: Store,
  clock: Clock,
  options: DatabaseOptions = {},
): Promise<OpenDatabase> {
  const database = new StoreDatabase(store, clock, options);
  await database.open();
  return database;
}

/** Keys that are named when the view differs. */
const differencesTold = 5;

/** A writer whose change is not in the view yet. */
interface Waiting {
  isShown: () => boolean;
  resolve: () => void;
  reject: (error: Error) => void;
}

/** A leadership, and whether it is over before the store says so. */
interface Term {
  leadership: Leadership;
  isOver: boolean;
}

class StoreDatabase implements OpenDatabase {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #view: MutableView;
  readonly #sealer: Sealer | undefined;
  readonly #callbacks = new Set<(change: ViewChange) => void>();
  readonly #stop = new AbortController();
  /** Templates that writes under way refer to, and how many do. */
  readonly #writing = new Map<string, number>();
  readonly #log: Logger;
  readonly #auditing: Loop | undefined;
  /** Writers that wait for the view to reach a revision. */
  #waiting = new Set<Waiting>();
  #following: Promise<void> | undefined;
  /** The watch under way. */
  #watching = new AbortController();
  /** How often the view was read from a listing. */
  #loads = 0;
  /** Keys that have changed since an audit began. */
  #touched: Set<string> | undefined;
  /** What the last audit that found something found. */
  #found = '';
  #repeatedTold = 0;

  constructor(store: Store, clock: Clock, { log = silentLogger, auditMs, sealer }: DatabaseOptions) {
    this.#store = store;
    this.#view = new MutableView(sealer);
    this.#sealer = sealer;
    this.#clock = clock;
    this.#log = log;
    if (auditMs === undefined) return;
    const tick = async () => void (await this.audit());
    this.#auditing = new Loop({ name: 'audit of the view', clock, log, intervalMs: auditMs, tick });
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
    this.#auditing?.start();
  }

  fenced(leadership: Leadership, clock = this.#clock): Database {
    const problem = () => this.problem;
    const term: Term = { leadership, isOver: false };
    return {
      view: this.#view,
      get problem() {
        return problem();
      },
      write: async (plan) => orFirstRefusal(await this.#writePlan(plan, clock, term)),
      writeEach: (plan) => this.#writePlan(plan, clock, term),
      onChange: (callback) => this.onChange(callback),
    };
  }

  async write(plan: Plan): Promise<{ conflicts: number }> {
    return orFirstRefusal(await this.#writePlan(plan, this.#clock));
  }

  writeEach(plan: Plan): Promise<WriteResult> {
    return this.#writePlan(plan, this.#clock);
  }

  reached(revision: number): Promise<void> {
    const { lineage } = this.#store;
    return this.#reached(revision, () => this.#view.lineage === lineage && revision <= this.#view.revision);
  }

  async #writePlan(plan: Plan, clock: Clock, term?: Term): Promise<WriteResult> {
    if (term !== undefined && (term.isOver || term.leadership.signal.aborted)) throw notLeading();
    const now = clock.now();
    const fence = term?.leadership.fence;
    const groups = plan.filter((group) => group.length > 0);
    const results = await Promise.allSettled(groups.map((group) => this.#writeGroup(group, now, fence)));
    if (term !== undefined && results.some(isLeftOpen)) this.#end(term);
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

  /** The view may lack what was asked for, and what is planned from it may be there already. */
  #end(term: Term): void {
    if (term.isOver) return;
    term.isOver = true;
    this.#log.warn('nobody knows whether a change was written: the term ends, and the next one will know');
    const failed = (error: unknown) => this.#log.warn('cannot resign', { error: messageOf(error) });
    term.leadership.resign().catch(failed);
  }

  async #writeGroup(group: Change[], now: number, fence: Compare | undefined): Promise<TransactionResult> {
    const templates = new Map(group.flatMap(templatesOf).map((template) => [templateId(template), template]));
    const isInUse = ({ kind, action, object }: Change) =>
      kind === 'template' && action === 'delete' && this.#writing.has(object.id);
    // A task that refers to it is on its way.
    if (group.some(isInUse)) return { committed: false, conflicts: [] };
    for (const id of templates.keys()) this.#writing.set(id, (this.#writing.get(id) ?? 0) + 1);
    try {
      const transaction = this.#sealed(transactionOf(group, templates, this.#view, now));
      if (fence !== undefined) transaction.compares.push(fence);
      const result = await this.#store.transact(transaction);
      if (!result.committed && fence !== undefined && result.conflicts.includes(fence.key))
        throw notLeading();
      // Until the view shows that they are in use.
      if (!result.committed) return result;
      const { lineage } = transaction;
      // What was written in another lineage came over with all the rest.
      const isShown = () => lineage !== this.#view.lineage || result.revision <= this.#view.revision;
      await this.#reached(result.revision, isShown);
      return result;
    } finally {
      for (const id of templates.keys()) {
        const writers = this.#writing.get(id)! - 1;
        if (writers > 0) this.#writing.set(id, writers);
        else this.#writing.delete(id);
      }
    }
  }

  #sealed({ puts, ...transaction }: Transaction): Transaction {
    const isSealedKind = (key: string) => sealedKinds.has(parseKey(key)!.kind);
    const seal = (put: { key: string; value: string }) =>
      this.#sealer !== undefined && isSealedKind(put.key)
        ? { ...put, value: this.#sealer.seal(put.value, put.key) }
        : put;
    return { ...transaction, puts: puts.map(seal) };
  }

  onChange(callback: (change: ViewChange) => void): () => void {
    // Wrapped, so that the same function given twice is called twice and stopped one at a time.
    const entry = (change: ViewChange) => callback(change);
    this.#callbacks.add(entry);
    return () => this.#callbacks.delete(entry);
  }

  async close(): Promise<void> {
    this.#stop.abort(new ShoalError('unavailable', 'The database was closed'));
    await Promise.all([this.#following, this.#auditing?.stop()]);
    const closed = new ShoalError(
      'unavailable',
      'Cannot wait for the write to show: the database was closed',
    );
    for (const waiting of this.#waiting) waiting.reject(closed);
  }

  unsealed(): Plan {
    return this.#view.unsealed();
  }

  async audit(): Promise<string[]> {
    const { lineage } = this.#store;
    const loads = this.#loads;
    this.#touched = new Set();
    const values: StoredValue[] = [];
    for await (const page of pagesOf(this.#store, { keysOnly: true })) values.push(...page.values);
    let found = differencesOf(this.#view.revisions(), values, this.#touched);
    if (found.length > 0) {
      // What has been written is on its way here: only what stays different differs.
      await this.#clock.sleep(seenMsMax, this.#stop.signal);
      found = differencesOf(this.#view.revisions(), values, this.#touched);
    }
    this.#touched = undefined;
    if (this.#view.repeated > this.#repeatedTold) {
      this.#repeatedTold = this.#view.repeated;
      this.#log.warn('the store has told the same changes again', { times: this.#repeatedTold });
    }
    // It was made anew meanwhile.
    if (lineage !== this.#store.lineage || loads !== this.#loads) return [];
    if (found.length > 0) this.#differs(found);
    return found;
  }

  #differs(keys: string[]): void {
    const [count, first] = [keys.length, keys.slice(0, differencesTold).join(', ')];
    const found = `${count}: ${first}`;
    // A listing does not mend what a listing has brought.
    if (found === this.#found) return;
    this.#found = found;
    this.#log.error('the view of the store differed from the store, and is read anew', { count, first });
    this.#watching.abort(watchStands);
  }

  /** Reads everything, of one lineage. */
  async #load(): Promise<void> {
    for (;;) {
      const { lineage } = this.#store;
      const { revision, values } = await this.#store.list('');
      if (lineage !== this.#store.lineage) continue;
      this.#loads++;
      this.#changed(this.#view.reset({ lineage, revision, values }));
      return;
    }
  }

  /**
   * Follows the watch until closed. A watch that breaks (history compacted, backend away, another store) or stands still begins
   * anew from a listing.
   */
  async #follow(): Promise<void> {
    const signal = this.#stop.signal;
    let failures = 0;
    let isLoaded = true;
    while (!signal.aborted) {
      this.#watching = new AbortController();
      try {
        if (!isLoaded || this.#view.lineage !== this.#store.lineage) await this.#load();
        isLoaded = false;
        const either = AbortSignal.any([signal, this.#watching.signal]);
        for await (const batch of this.#store.watch('', this.#view.revision, either)) {
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
    for (const waiting of this.#waiting) waiting.reject(error);
    throw error;
  }

  #changed(change: ViewChange): void {
    for (const { isShown, resolve } of this.#waiting) if (isShown()) resolve();
    for (const { kind, id } of this.#touched === undefined ? [] : change.objects)
      this.#touched?.add(keyOf(kind, id));
    if (change.objects.length > 0) for (const callback of this.#callbacks) callback(change);
  }

  /**
   * Resolves when the view shows what was written. A watch by which it does not come begins anew. Throws `unavailable` when it still
   * does not show.
   */
  async #reached(revision: number, isShown: () => boolean): Promise<void> {
    if (isShown()) return;
    this.#stop.signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { isShown, resolve, reject };
    this.#waiting.add(waiting);
    let cancel: (() => void) | undefined;
    const look = (rounds: number) => {
      cancel = this.#clock.after(seenMsMax, () => {
        if (rounds === seenRoundsMax) return reject(notSeen());
        const log = { revision, seen: this.#view.revision };
        this.#log.warn('what was written does not show: the watch of the store begins anew', log);
        this.#watching.abort(watchStands);
        look(rounds + 1);
      });
    };
    look(1);
    try {
      await promise;
    } finally {
      cancel?.();
      this.#waiting.delete(waiting);
    }
  }
}

/** Whether a write failed for a reason that passes, such as a full disk, and not for what was to be written. */
function mayPass(error: Error): boolean {
  return ['unavailable', 'no_space'].includes(codeOf(error));
}

function isLeftOpen(result: PromiseSettledResult<unknown>): boolean {
  return result.status === 'rejected' && leavesOpen(result.reason);
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

function notSeen(): ShoalError {
  const next = 'Look at it before you try again.';
  const message = 'Cannot see the change in this manager, though it was written: the store tells nothing';
  return openEnded(new ShoalError('unavailable', message, { next }));
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
  view: MutableView,
  now: number,
): Transaction {
  assert(
    group.length <= groupChangesMax,
    `a group has at most ${groupChangesMax} changes, not ${group.length}`,
  );
  const transaction: Transaction = { compares: [], puts: [], deletes: [], lineage: view.lineage };
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
