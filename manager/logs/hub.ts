import type { Task } from '../../src/spec/task.ts';
import type { LogLine } from '../../src/wire/session.ts';
import { TaskFeed, type FeedParts } from './feed.ts';
import { Follower, type FollowRequest } from './follower.ts';
import { hasEnded, linesOfHost, warningLine, type LineParts } from './lines.ts';
import { Places } from './places.ts';

/** Reads of what came before, of all who follow tasks of one host; further ones wait. The host has room for more streams. */
export const historiesMax = 32;

/** Everybody who follows logs: one live stream for each task that somebody follows, however many they are. */
export class LogHub {
  readonly #parts: FeedParts;
  readonly #feeds = new Map<string, TaskFeed>();
  readonly #places = new Places(historiesMax);

  constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /** Tasks that are followed. */
  get size(): number {
    return this.#feeds.size;
  }

  /**
   * The lines of a task that are asked for and those that come later, each once and in order, until the task has ended
   * or the signal aborts. A host that cannot be reached gives one warning line and is tried again. Never throws.
   */
  async *follow(task: Task, request: FollowRequest, signal: AbortSignal): AsyncGenerator<LogLine> {
    const feed = this.#feeds.get(task.id) ?? new TaskFeed(this.#parts, task);
    this.#feeds.set(task.id, feed);
    const seat = feed.join();
    try {
      const parts = { ...this.#parts, feed, seat, places: this.#places };
      yield* new Follower(parts, task, request, signal).lines();
    } finally {
      feed.leave(seat);
      if (feed.isEmpty) this.#feeds.delete(task.id);
    }
  }
}

/** A hub whose lines come from agents. */
export function createLogHub(parts: LineParts): LogHub {
  const { clock, database } = parts;
  return new LogHub({
    clock,
    lines: (task, query, signal) => linesOfHost(parts, task, query, signal),
    hasEnded: (taskId) => hasEnded(database, taskId),
    onTasksChanged: (callback) => database.onChange(({ kinds }) => kinds.has('task') && callback()),
    warning: (task, error) => warningLine(parts, task, error),
  });
}
