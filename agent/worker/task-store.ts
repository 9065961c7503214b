import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { AssignmentKind, AssignmentPut, TaskAssignment } from '../../src/wire/session.ts';
import { Journal } from './journal.ts';
import type { LocalTask } from './step.ts';

/** Kinds whose content is never written to a disk: they come again with the next session. */
const memoryOnly: ReadonlySet<AssignmentKind> = new Set(['secret', 'config']);
/** The file is written anew once it is this large and four times what it would have to be. */
const rewriteBytesMin = 1024 * 1024;
const rewriteGrowth = 4;
/** About as much is written at a time. */
const writeBytesMax = 256 * 1024;
/** A write that takes longer is not waited for: whoever must know that something is on the disk goes on without. */
export const settleMsMax = 1_000;
/** A write that takes longer than this is a disk that does not answer, and not a busy one. */
export const silentDiskMs = 5_000;
const retryMsMax = 5_000;

export interface TaskStoreOptions {
  path: string;
  clock: Clock;
  log: Logger;
  /** Told why nothing can be written, again at each attempt, and `undefined` once it can. */
  onTrouble?: (error: Error | undefined) => void;
}

type Kind = AssignmentKind | 'local';
/** One line of the file: what there is under a key now, or that there is nothing any more. */
type Line = [Kind, string, unknown] | [Kind, string];

/**
 * What the agent must know after a restart: its assignments and how far each task is. All of it is in memory, and follows
 * to a file of JSON lines of which the last one of a key counts, whole after a kill at any moment. Nothing waits for the
 * disk unless it asks to (`settled`), and nothing fails with it: what cannot be written is tried again until it can, the
 * newest of each key only, while the agent goes on from memory.
 */
export class TaskStore {
  readonly #options: TaskStoreOptions;
  readonly #journal: Journal;
  /** Templates come first, before the tasks that refer to them. */
  readonly #values = new Map<Kind, Map<string, unknown>>([['template', new Map()]]);
  /** Keys whose newest value is not on disk, with their kind and id, in the order in which they have changed. */
  #dirty = new Map<string, [Kind, string]>();
  readonly #stop = new AbortController();
  #waiting: { version: number; resolve: () => void }[] = [];
  /** Counts changes; `#durable` is the one up to which all is on disk. */
  #version = 0;
  #durable = 0;
  /** The disk takes nothing now, or takes long: nobody waits for it. */
  #isPassedBy = false;
  /** The disk takes nothing now: it refuses, or it has not answered for a while. */
  #isStuck = false;
  /** When the write under way began (monotonic ms). */
  #writingSince: number | undefined;
  /** Size of the file when it was written anew last. */
  #freshBytes = 0;
  #flushing: Promise<void> | undefined;

  private constructor(options: TaskStoreOptions, journal: Journal) {
    this.#options = options;
    this.#journal = journal;
  }

  /** Reads the file, which is made with the first write, readable by its owner only. */
  static async open(options: TaskStoreOptions): Promise<TaskStore> {
    await mkdir(dirname(options.path), { recursive: true, mode: 0o700 });
    const { journal, lines } = await Journal.open(options.path);
    const store = new TaskStore(options, journal);
    for (const text of lines) store.#read(text);
    return store;
  }

  /** For how long the disk has not answered a write; 0 when there is none under way. */
  get stalledMs(): number {
    if (this.#writingSince === undefined) return 0;
    return this.#options.clock.monotonic() - this.#writingSince;
  }

  assignments(): AssignmentPut[] {
    return [...this.#values].flatMap(([kind, values]) =>
      kind === 'local' ? [] : [...values.values()].map((value) => ({ kind, value }) as AssignmentPut),
    );
  }

  /** Takes one message's worth of changes; `replace` drops everything that was there. */
  changeAssignments(
    put: readonly AssignmentPut[],
    remove: readonly { kind: AssignmentKind; id: string }[],
    replace: boolean,
  ): void {
    if (replace) {
      const kept = new Set(put.map(({ kind, value }) => `${kind}/${value.id}`));
      for (const { kind, value } of this.assignments()) {
        if (!kept.has(`${kind}/${value.id}`)) this.#remove(kind, value.id);
      }
    }
    for (const { kind, id } of remove) this.#remove(kind, id);
    for (const { kind, value } of put) if (!memoryOnly.has(kind)) this.#put(kind, value.id, value);
  }

  tasks(): Map<string, LocalTask> {
    return new Map(this.#of('local')) as Map<string, LocalTask>;
  }

  putTask(id: string, task: LocalTask): void {
    this.#put('local', id, task);
  }

  removeTask(id: string): void {
    this.#remove('local', id);
  }

  /** Resolves once all that was given so far is on disk, or when the disk takes nothing for `settleMsMax`. */
  async settled(): Promise<void> {
    const version = this.#version;
    if (this.#isPassedBy || this.#durable >= version) return;
    await new Promise<void>((resolve) => this.#waiting.push({ version, resolve }));
  }

  /** Writes what can still be written, and lets go of the file. */
  async close(): Promise<void> {
    await this.settled();
    this.#stop.abort();
    // A write that hangs in the kernel is not waited for.
    if (this.#isPassedBy) return;
    await this.#flushing;
    await this.#journal.close();
  }

  #of(kind: Kind): Map<string, unknown> {
    const values = this.#values.get(kind) ?? new Map<string, unknown>();
    this.#values.set(kind, values);
    return values;
  }

  #put(kind: Kind, id: string, value: unknown): void {
    const values = this.#of(kind);
    // Every new session begins with all of it, and most of that is known.
    if (isDeepStrictEqual(values.get(id), value)) return;
    values.set(id, value);
    this.#changed(kind, id);
  }

  #remove(kind: Kind, id: string): void {
    if (this.#of(kind).delete(id)) this.#changed(kind, id);
  }

  #changed(kind: Kind, id: string): void {
    this.#version++;
    // A kill may leave the first of these lines only: a template is written before its tasks.
    this.#dirty.delete(`${kind}/${id}`);
    this.#dirty.set(`${kind}/${id}`, [kind, id]);
    this.#flushing ??= this.#flush();
  }

  /** Writes until nothing is left to write, trying again for as long as the disk refuses. Never throws. */
  async #flush(): Promise<void> {
    const { clock } = this.#options;
    await Promise.resolve(); // what changes in the same turn goes together
    for (let failures = 0; this.#dirty.size > 0 && !this.#stop.signal.aborted;) {
      const version = this.#version;
      const keys = new Map<string, [Kind, string]>();
      const cancels = [
        clock.after(settleMsMax, () => this.#passBy()),
        clock.after(silentDiskMs, () => this.#stuck(new Error('the disk does not answer'))),
      ];
      const cancel = () => cancels.forEach((each) => each());
      this.#writingSince = clock.monotonic();
      try {
        await this.#journal.append(this.#linesOf(keys));
        await this.#rewriteIfLarge();
        failures = 0;
        this.#unstuck();
        this.#writingSince = undefined;
        if (this.#dirty.size === 0) this.#reached(version);
      } catch (error) {
        this.#dirty = new Map([...keys].filter(([key]) => !this.#dirty.has(key)).concat([...this.#dirty]));
        this.#writingSince = undefined;
        failures++;
        this.#stuck(error as Error);
        cancel();
        const wait = backoffMs(failures, systemRandom, { maxMs: retryMsMax });
        await clock.sleep(wait, this.#stop.signal).catch(() => undefined); // ends early only when closing
      } finally {
        cancel();
      }
    }
    this.#flushing = undefined; // at once with the last look: nothing can have changed in between
  }

  /** The lines to write next, whose keys are moved from `#dirty` to `keys`. */
  #linesOf(keys: Map<string, [Kind, string]>): string {
    let text = '';
    for (const [key, value] of this.#dirty) {
      if (text.length >= writeBytesMax) break;
      this.#dirty.delete(key);
      keys.set(key, value);
      text += this.#lineOf(...value);
    }
    return text;
  }

  #lineOf(kind: Kind, id: string): string {
    const value = this.#of(kind).get(id);
    const line: Line = value === undefined ? [kind, id] : [kind, id, value];
    return `${JSON.stringify(line)}\n`;
  }

  async #rewriteIfLarge(): Promise<void> {
    const limit = Math.max(rewriteBytesMin, this.#freshBytes * rewriteGrowth);
    if (this.#journal.bytes < limit) return;
    await this.#journal.replace(this.#parts());
    this.#freshBytes = this.#journal.bytes;
  }

  /** Everything, as lines. What changes while it is written is written once more afterwards. */
  *#parts(): Generator<string> {
    let text = '';
    for (const [kind, values] of this.#values) {
      for (const id of values.keys()) {
        text += this.#lineOf(kind, id);
        if (text.length < writeBytesMax) continue;
        yield text;
        text = '';
      }
    }
    yield text;
  }

  #reached(version: number): void {
    this.#durable = version;
    this.#release(({ version: wanted }) => wanted <= version);
  }

  #stuck(why: Error): void {
    const { log, path, onTrouble } = this.#options;
    if (!this.#isStuck) log.error('the state of this host cannot be written', told(path, why));
    onTrouble?.(why);
    this.#isStuck = true;
    this.#passBy();
  }

  #passBy(): void {
    this.#isPassedBy = true;
    this.#release(() => true);
  }

  #unstuck(): void {
    this.#isPassedBy = false;
    if (!this.#isStuck) return;
    this.#isStuck = false;
    this.#options.log.info('the state of this host is written again', { path: this.#options.path });
    this.#options.onTrouble?.(undefined);
  }

  #release(isDue: (waiter: { version: number }) => boolean): void {
    const due = this.#waiting.filter(isDue);
    this.#waiting = this.#waiting.filter((waiter) => !isDue(waiter));
    for (const { resolve } of due) resolve();
  }

  /** Older versions kept its template in each task: it becomes one of its own until the managers tell of theirs. */
  #readTask(id: string, { template, ...task }: TaskAssignment & { template?: unknown }): void {
    if (template !== undefined) this.#of('template').set(id, { id, template });
    this.#of('task').set(id, template === undefined ? task : { ...task, templateId: id });
  }

  #read(text: string): void {
    try {
      const [kind, id, value] = JSON.parse(text) as [Kind, string, unknown?];
      if (value === undefined) this.#of(kind).delete(id);
      else if (kind === 'task') this.#readTask(id, value as TaskAssignment & { template?: unknown });
      else this.#of(kind).set(id, value);
    } catch (error) {
      this.#options.log.warn(
        'a line of the state of this host cannot be read',
        told(this.#options.path, error),
      );
    }
  }
}

function told(path: string, error: unknown): { path: string; error: string } {
  return { path, error: messageOf(error) };
}
