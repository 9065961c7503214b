import type { Task } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf } from '../../src/util/errors.ts';
import type { LogLine } from '../../src/wire/session.ts';
import type { LogQuery } from './lines.ts';
import { LineRing, type RingLine } from './ring.ts';

/** How long a stream that broke is left alone before it is opened again. */
export const reopenMs = 1_000;
/** The last output of a task that has ended may come this much later. */
export const lastOutputMs = 3_000;

export interface FeedParts {
  clock: Clock;
  /** Opens a stream of the task's host. Ends when all has come or the signal aborts; throws when it breaks. */
  lines: (task: Task, query: LogQuery, signal: AbortSignal) => AsyncIterable<LogLine>;
  hasEnded: (taskId: string) => boolean;
  /** Calls back whenever tasks have changed; returns how to stop. */
  onTasksChanged: (callback: () => void) => () => void;
  /** A line that says that there are none, and why. */
  warning: (task: Task, error: unknown) => LogLine;
}

/** One who follows the task. */
export interface Seat {
  /** The number of the line it takes next; none while it reads what came before. */
  cursor: number | undefined;
}

/** Where the feed was at some moment. */
export interface Mark {
  sequence: number;
  breaks: number;
}

/** Where to go on in the feed: at this number, and when there is `skipTo`, after the line of that position comes by. */
export interface Entry extends Mark {
  skipTo: string | undefined;
}

/**
 * The one live stream of a task that all who follow it share. It begins when the first of them has read what was there
 * before, and lasts until `leave` has been called by all. It is as fast as the fastest of them and no faster: a slower one
 * finds lines gone, and reads them from the host.
 */
export class TaskFeed {
  readonly #parts: FeedParts;
  readonly #task: Task;
  readonly #seats = new Set<Seat>();
  readonly #stop = new AbortController();
  readonly #waiting = new Set<() => void>();
  #ring: LineRing | undefined;
  /** How often the stream began anew: then lines may be missing between two that follow each other. */
  #breaks = 0;
  #isOver = false;
  #onRoom: (() => void) | undefined;

  constructor(parts: FeedParts, task: Task) {
    this.#parts = parts;
    this.#task = task;
  }

  get isEmpty(): boolean {
    return this.#seats.size === 0;
  }

  /** Whether all lines that will ever be have come. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get isLive(): boolean {
    return this.#ring !== undefined && !this.#isOver;
  }

  get breaks(): number {
    return this.#breaks;
  }

  join(): Seat {
    const seat: Seat = { cursor: undefined };
    this.#seats.add(seat);
    return seat;
  }

  /** The live stream ends with the last. */
  leave(seat: Seat): void {
    this.#seats.delete(seat);
    if (this.#seats.size > 0) return;
    this.#stop.abort();
    this.#onRoom?.();
  }

  /** Where the feed is now; what is read from the host after this goes at least as far. */
  mark(): Mark | undefined {
    return this.#ring && { sequence: this.#ring.next, breaks: this.#breaks };
  }

  /**
   * Where somebody goes on who has had every line up to `last`, the newest of all when they were read, which began after
   * `mark`. Undefined when that cannot be told: then it must read on from `last`. Nobody being here yet, the live stream begins
   * there.
   */
  entryAfter(last: string | undefined, mark: Mark | undefined): Entry | undefined {
    const { breaks } = this;
    if (!this.#ring) {
      this.#ring = new LineRing(last);
      void this.#run(this.#ring, last);
      return { sequence: 0, breaks, skipTo: undefined };
    }
    const found = this.#ring.after(last);
    if (found !== undefined) return { sequence: found, breaks, skipTo: undefined };
    return mark && { ...mark, skipTo: last };
  }

  /** The line that the seat is at; undefined when it has not come yet, `gone` when it is not kept any more. */
  lineAt(cursor: number): RingLine | 'gone' | undefined {
    if (this.#ring === undefined || cursor < this.#ring.first) return 'gone';
    return this.#ring.at(cursor);
  }

  /** The seat goes on to this line: what is before it may go when room is wanted. */
  move(seat: Seat, cursor: number | undefined): void {
    seat.cursor = cursor;
    if (this.#ring && cursor !== undefined && cursor > this.#ring.first) this.#onRoom?.();
  }

  /** Resolves when a line has come or the feed is over, and when the signal aborts. */
  async news(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isOver) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#waiting.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
    this.#waiting.delete(wake);
  }

  /** Keeps the live stream until the task has ended or nobody follows. Never throws. */
  async #run(ring: LineRing, start: string | undefined): Promise<void> {
    const { clock, hasEnded, onTasksChanged } = this.#parts;
    const ended = new AbortController();
    let cancel: (() => void) | undefined;
    const look = () => {
      if (!cancel && hasEnded(this.#task.id)) cancel = clock.after(lastOutputMs, () => ended.abort());
    };
    const unsubscribe = onTasksChanged(look);
    look();
    try {
      const last = await this.#live(ring, start, AbortSignal.any([ended.signal, this.#stop.signal]));
      if (!this.#stop.signal.aborted) await this.#rest(ring, last);
    } finally {
      cancel?.();
      unsubscribe();
      this.#isOver = true;
      this.#wake();
    }
  }

  /** Resolves with the last position when the signal aborts. */
  async #live(ring: LineRing, start: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    const { clock, lines, warning } = this.#parts;
    let last = start;
    let warned = false;
    while (!signal.aborted) {
      try {
        for await (const line of lines(this.#task, { follow: true, after: last }, signal)) {
          await this.#put(ring, line);
          last = line.position ?? last;
          warned = false;
        }
      } catch (error) {
        this.#breaks++;
        if (!warned && !this.#isNothingLeft(error)) await this.#put(ring, warning(this.#task, error));
        warned = true;
      }
      await clock.sleep(reopenMs, signal).catch(() => undefined); // ends early when nobody needs it
    }
    return last;
  }

  /** What the task has said last. */
  async #rest(ring: LineRing, last: string | undefined): Promise<void> {
    const { lines, warning } = this.#parts;
    try {
      for await (const line of lines(this.#task, { follow: false, after: last }, this.#stop.signal)) {
        await this.#put(ring, line);
      }
    } catch (error) {
      if (!this.#isNothingLeft(error)) await this.#put(ring, warning(this.#task, error));
    }
  }

  /** Of a task that has ended nothing may be left on its host; that is no reason to bother anybody. */
  #isNothingLeft(error: unknown): boolean {
    return codeOf(error) === 'not_found' && this.#parts.hasEnded(this.#task.id);
  }

  /** Waits for room: the oldest line goes only when somebody has had it. */
  async #put(ring: LineRing, line: LogLine): Promise<void> {
    while (ring.isFull && !this.#stop.signal.aborted) {
      if ([...this.#seats].some(({ cursor }) => cursor !== undefined && cursor > ring.first)) ring.evict();
      else await new Promise<void>((resolve) => (this.#onRoom = resolve));
      this.#onRoom = undefined;
    }
    ring.push(line);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}
