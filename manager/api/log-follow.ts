import type { Task } from '../../src/spec/task.ts';
import type { LogLine } from '../../src/wire/session.ts';
import type { FollowRequest } from '../logs/follower.ts';
import { sizeOf } from '../logs/ring.ts';
import type { ApiContext } from './context.ts';
import { keepAliveMs, writeLine } from './http.ts';
import type { Call } from './router.ts';

/** Lines that come this close together are put in order of their times. */
const orderingMs = 50;
/** Tasks that come or go are looked for this often at most, and not at all when none has changed. */
const selectionMs = 250;
/** Roughly how much is held for ordering; the tasks' lines wait when it is more. */
const heldBytesMax = 1024 * 1024;

/** Something to wait for that may have happened already. */
class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves when it has rung since the last time, or after `ms`. */
  async rung(context: ApiContext, ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const cancel = context.clock.after(ms, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
    }
    this.#rung = false;
    this.#wake = undefined;
  }
}

export interface FollowOptions {
  request: FollowRequest;
  /** Tasks followed at a time; more wait until one has ended. */
  tasksMax: number;
  /** The tasks meant as of now, newest first. */
  select: () => Task[];
}

/** Writes lines as they come, from tasks that are there and those that come later, until the caller has gone. */
export async function followLogs(context: ApiContext, call: Call, options: FollowOptions): Promise<void> {
  const { response, signal } = call;
  const { database, clock } = context;
  const follower = new Follower(context, options, signal);
  const unsubscribe = database.onChange(({ kinds }) => {
    if (kinds.has('task') || kinds.has('service')) follower.changed();
  });
  const onAbort = () => follower.bell.ring();
  signal.addEventListener('abort', onAbort, { once: true });
  let writtenAt = clock.monotonic();
  await writeLine(response, '', signal);
  try {
    while (!signal.aborted) {
      const lookAgainMs = follower.look();
      const lines = follower.take();
      for (const line of lines) await writeLine(response, JSON.stringify(line), signal);
      const quietMs = clock.monotonic() - writtenAt;
      if (lines.length === 0 && quietMs >= keepAliveMs) await writeLine(response, '', signal);
      if (lines.length > 0 || quietMs >= keepAliveMs) writtenAt = clock.monotonic();
      await follower.bell.rung(context, Math.min(keepAliveMs, lookAgainMs));
      // What comes right after the first line is put in order with it.
      if (follower.holdsLines) await clock.sleep(orderingMs, signal);
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', onAbort);
    await follower.end();
  }
}

class Follower {
  /** Rings when there is a line, or a task may have come. */
  readonly bell = new Bell();
  readonly #context: ApiContext;
  readonly #options: FollowOptions;
  readonly #signal: AbortSignal;
  readonly #followed = new Map<string, Promise<void>>();
  /** Those whose lines have all come. */
  readonly #finished = new Set<string>();
  #held: LogLine[] = [];
  #heldBytes = 0;
  #room = Promise.withResolvers<void>();
  #hasChanged = true;
  #lookedAt = -Infinity;

  constructor(context: ApiContext, options: FollowOptions, signal: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#signal = signal;
  }

  get holdsLines(): boolean {
    return this.#held.length > 0;
  }

  changed(): void {
    if (this.#hasChanged) return;
    this.#hasChanged = true;
    this.bell.ring();
  }

  /** Begins to follow tasks that have come; gives when it must be called again at the latest (ms). */
  look(): number {
    if (!this.#hasChanged) return Infinity;
    const waitMs = this.#lookedAt + selectionMs - this.#context.clock.monotonic();
    if (waitMs > 0) return waitMs;
    this.#hasChanged = false;
    this.#lookedAt = this.#context.clock.monotonic();
    const tasks = this.#options.select();
    const there = new Set(tasks.map(({ id }) => id));
    for (const id of this.#finished) if (!there.has(id)) this.#finished.delete(id);
    for (const task of tasks) {
      if (this.#followed.has(task.id) || this.#finished.has(task.id)) continue;
      if (this.#followed.size >= this.#options.tasksMax) break;
      this.#followed.set(task.id, this.#pump(task));
    }
    return Infinity;
  }

  /** The lines held, in order of their times; those of one task in the order in which they came. */
  take(): LogLine[] {
    const latest = new Map<string, string>();
    const ordered = this.#held.map((line) => {
      const before = latest.get(line.taskId) ?? '';
      const at = line.at > before ? line.at : before;
      latest.set(line.taskId, at);
      return { line, at };
    });
    this.#held = [];
    this.#heldBytes = 0;
    this.#room.resolve();
    this.#room = Promise.withResolvers();
    ordered.sort((left, right) => (left.at < right.at ? -1 : left.at > right.at ? 1 : 0));
    return ordered.map(({ line }) => line);
  }

  async end(): Promise<void> {
    this.#room.resolve();
    await Promise.allSettled(this.#followed.values());
  }

  async #pump(task: Task): Promise<void> {
    for await (const line of this.#context.logs.follow(task, this.#options.request, this.#signal)) {
      this.#held.push(line);
      this.#heldBytes += sizeOf(line);
      this.bell.ring();
      while (this.#heldBytes >= heldBytesMax && !this.#signal.aborted) await this.#room.promise;
    }
    this.#followed.delete(task.id);
    this.#finished.add(task.id);
    this.changed(); // another may have waited for its place
  }
}
