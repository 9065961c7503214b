import type { Task } from '../../src/spec/task.ts';
import { codeOf } from '../../src/util/errors.ts';
import type { LogLine } from '../../src/wire/session.ts';
import { reopenMs, type Entry, type FeedParts, type Seat, type TaskFeed } from './feed.ts';
import { withoutPosition, type LogQuery } from './lines.ts';
import type { Places } from './places.ts';
import { placeOf, ringBytesMax, sizeOf } from './ring.ts';

/** One who takes nothing for this long gives its stream back, and reads on by another one when it takes again. */
export const stallMs = 2_000;

/** What of a task's log is wanted beside what comes. */
export type FollowRequest = Pick<LogQuery, 'tail' | 'since' | 'ageMs'>;

/** How far a read went: to the newest line there was, to the newest that the filters let through, or not to its end. */
type Reach = 'newest' | 'filtered' | 'part';

interface FollowerParts extends FeedParts {
  feed: TaskFeed;
  seat: Seat;
  places: Places;
}

/**
 * One who follows one task. It reads what is there by a stream of its own, up to the newest line, and goes on with the feed
 * after that line. When it is too slow for the feed, or the two do not meet, it reads on from its last line.
 */
export class Follower {
  readonly #parts: FollowerParts;
  readonly #task: Task;
  readonly #request: FollowRequest;
  readonly #signal: AbortSignal;
  readonly #from: string | undefined;
  /** Position of the last line seen: by place and not by time, for the host's clock may have been set back. */
  #last: string | undefined;
  #warned = false;

  constructor(parts: FollowerParts, task: Task, request: FollowRequest, signal: AbortSignal) {
    this.#parts = parts;
    this.#task = task;
    this.#request = request;
    this.#signal = signal;
    const { since } = request;
    this.#from = since === undefined ? undefined : new Date(since).toISOString().slice(0, -1);
  }

  async *lines(): AsyncGenerator<LogLine> {
    const { feed, seat, hasEnded, clock, warning } = this.#parts;
    while (!this.#signal.aborted) {
      // asked before reading: what is read then is all there will ever be
      const isAll = feed.isOver || (!feed.isLive && hasEnded(this.#task.id));
      const mark = feed.mark();
      let reach: Reach;
      try {
        reach = yield* this.#history(isAll);
      } catch (error) {
        if (this.#signal.aborted || (isAll && codeOf(error) === 'not_found')) return;
        if (!this.#warned) yield warning(this.#task, error);
        this.#warned = true;
        if (isAll) return;
        await clock.sleep(reopenMs, this.#signal).catch(() => undefined);
        continue;
      }
      if (reach === 'part') continue;
      if (isAll) return;
      const entry = feed.entryAfter(this.#last, reach === 'newest' ? mark : undefined);
      if (!entry) continue;
      if ((yield* this.#live(entry)) === 'ended') return;
      feed.move(seat, undefined);
    }
  }

  /** What is there: after the last line seen, or what was asked for. */
  async *#history(isAll: boolean): AsyncGenerator<LogLine, Reach> {
    const { tail, since, ageMs } = this.#request;
    if (this.#last !== undefined) return yield* this.#read({ follow: false, after: this.#last }, isAll);
    if (tail === 0) {
      this.#last = await this.#newest();
      return 'newest';
    }
    const query = { follow: false, ...this.#request };
    const reach = yield* this.#read(query, isAll);
    if (reach === 'part' || (since === undefined && ageMs === undefined)) return reach;
    if (this.#last !== undefined) return 'filtered';
    // Nothing is new enough, and the live stream must begin somewhere: at the newest line, if nothing has come since.
    const newest = await this.#newest();
    const again = yield* this.#read(query, isAll);
    if (this.#last !== undefined && again === 'newest') return 'filtered';
    this.#last ??= newest;
    return again;
  }

  /** Position of the newest line there is. */
  async #newest(): Promise<string | undefined> {
    const { places, lines } = this.#parts;
    const release = await places.take(this.#task.nodeId ?? '');
    let newest: string | undefined;
    try {
      const query = { follow: false, tail: 1 };
      for await (const { position } of lines(this.#task, query, this.#signal)) newest = position ?? newest;
    } finally {
      release();
    }
    return newest;
  }

  async *#read(query: LogQuery, isAll: boolean): AsyncGenerator<LogLine, Reach> {
    const { clock, lines, places } = this.#parts;
    const release = await places.take(this.#task.nodeId ?? '');
    const stalled = new AbortController();
    const giveUp = () => {
      stalled.abort();
      release();
    };
    let cancel: (() => void) | undefined;
    try {
      const signal = AbortSignal.any([this.#signal, stalled.signal]);
      for await (const line of lines(this.#task, query, signal)) {
        // A line that nothing has ended yet has no position; it comes whole.
        if (line.position === undefined && !isAll) continue;
        this.#last = line.position ?? this.#last;
        this.#warned = false;
        if (!this.#isWanted(line)) continue;
        cancel = clock.after(stallMs, giveUp);
        yield withoutPosition(line);
        cancel();
        if (stalled.signal.aborted) return 'part';
      }
      return this.#signal.aborted ? 'part' : 'newest';
    } finally {
      cancel?.();
      release();
    }
  }

  /** Lines as they come. Returns when all have come, and `behind` when the next one is not kept any more. */
  async *#live({ sequence, breaks, skipTo }: Entry): AsyncGenerator<LogLine, 'ended' | 'behind'> {
    const { feed, seat } = this.#parts;
    const until = skipTo === undefined ? undefined : placeOf(skipTo);
    let isSkipping = until !== undefined;
    let skippedBytes = 0;
    feed.move(seat, sequence);
    for (let cursor = sequence; !this.#signal.aborted;) {
      const isOver = feed.isOver; // asked before looking: nothing comes after that
      const next = feed.lineAt(cursor);
      if (next === 'gone') return 'behind';
      if (next === undefined) {
        if (isOver) return isSkipping ? 'behind' : 'ended';
        await feed.news(this.#signal);
        continue;
      }
      feed.move(seat, ++cursor);
      if (isSkipping) {
        isSkipping = next.place !== until;
        skippedBytes += sizeOf(next.line);
        // The line that should have come by has not: what is after it on the host is asked for again.
        if (isSkipping && (feed.breaks !== breaks || skippedBytes > ringBytesMax)) return 'behind';
        continue;
      }
      this.#last = next.position ?? this.#last;
      if (next.line.warning === true || this.#isWanted(next.line)) yield next.line;
    }
    return 'ended';
  }

  #isWanted({ at }: LogLine): boolean {
    return this.#from === undefined || at >= this.#from;
  }
}
