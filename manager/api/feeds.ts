import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { ApplicationStatus } from '../../src/wire/api.ts';
import type { Database } from '../store/objects.ts';
import { keepAliveMs } from './http.ts';
import { applicationStatus, emptyStatus } from './status.ts';
import { calledWithin, changeAfter } from './view-change.ts';
import { Watched } from './watch.ts';

/** A watch tells changes at most this often, so that a rollout does not send hundreds of pictures a second. */
const intervalMs = 100;
/** Some of what a status says comes with time alone. */
const lookMs = 1_000;
/** Lines that a watcher may be behind; one that reads more slowly is to begin anew. */
const linesBehindMax = 10_000;

interface Parts {
  database: Pick<Database, 'view' | 'onChange'>;
  clock: Clock;
}

/**
 * What applications tell to those who watch them. However many watch one, its status is computed once for all of them.
 */
export class ApplicationFeeds {
  readonly #parts: Parts;
  readonly #behindMax: number;
  readonly #feeds = new Map<string, Feed>();

  constructor(parts: Parts, behindMax = linesBehindMax) {
    this.#parts = parts;
    this.#behindMax = behindMax;
  }

  /**
   * The lines of the whole picture now, and of what has changed after every change; an empty line now and then while nothing does.
   * Throws the signal's reason, and `resource_exhausted` when the watcher does not read them in time.
   */
  async *follow(name: string, signal: AbortSignal): AsyncGenerator<string> {
    let feed = this.#feeds.get(name);
    if (feed === undefined) {
      const created = new Feed(name, this.#parts, this.#behindMax, () => {
        if (this.#feeds.get(name) === created) this.#feeds.delete(name);
      });
      feed = created;
      this.#feeds.set(name, feed);
    }
    yield* feed.follow(signal);
  }
}

interface Watcher {
  lines: string[];
  wake: () => void;
}

/** One application, for as long as somebody watches it. */
class Feed {
  readonly #name: string;
  readonly #parts: Parts;
  readonly #behindMax: number;
  readonly #onEnd: () => void;
  readonly #watched = new Watched();
  readonly #watchers = new Set<Watcher>();
  readonly #over = new AbortController();
  #latest: ApplicationStatus | undefined;
  /** The picture of `#latest` as lines, for those who begin now. */
  #whole: readonly string[] | undefined;
  #failure: Error | undefined;

  constructor(name: string, parts: Parts, behindMax: number, onEnd: () => void) {
    this.#name = name;
    this.#parts = parts;
    this.#behindMax = behindMax;
    this.#onEnd = onEnd;
  }

  async *follow(signal: AbortSignal): AsyncGenerator<string> {
    const watcher: Watcher = { lines: [...this.#picture()], wake: () => undefined };
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) void this.#run();
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#failure !== undefined) throw this.#failure;
        if (watcher.lines.length > this.#behindMax) throw tooSlow(this.#name);
        const lines = watcher.lines.splice(0);
        yield* lines.length > 0 ? lines : [''];
        if (watcher.lines.length === 0) await this.#news(watcher, signal);
      }
    } finally {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) {
        this.#onEnd();
        this.#over.abort(new ShoalError('unavailable', 'Nobody watches'));
      }
    }
  }

  /** As of now: who has just changed something waits for a picture that is not older. */
  #picture(): readonly string[] {
    if (this.#latest?.revision !== this.#parts.database.view.revision) this.#advance();
    return (this.#whole ??= new Watched().advance(this.#latest!));
  }

  /** Looks, and tells all watchers what has changed. */
  #advance(): void {
    const { database, clock } = this.#parts;
    const now = clock.now();
    const { view } = database;
    const status = applicationStatus(view, this.#name, now) ?? emptyStatus(view, this.#name, now);
    this.#latest = status;
    this.#whole = undefined;
    const lines = this.#watched.advance(status);
    if (lines.length === 0) return;
    for (const watcher of this.#watchers) {
      // of one that has been left behind nothing more is kept
      if (watcher.lines.length <= this.#behindMax) watcher.lines.push(...lines);
      watcher.wake();
    }
  }

  /** Tells all watchers what changes, until there are none. Never throws: what it fails with they are told. */
  async #run(): Promise<void> {
    const { database, clock } = this.#parts;
    const { signal } = this.#over;
    try {
      for (let revision = this.#latest!.revision; !signal.aborted;) {
        await changeAfter(database, clock, { revision, waitMs: lookMs, signal });
        ({ revision } = database.view);
        this.#advance();
        await clock.sleep(intervalMs, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#failure = error as Error;
      this.#onEnd();
      for (const { wake } of this.#watchers) wake();
    }
  }

  /** Resolves when there is something for the watcher, or nothing for long; throws when the signal aborts. */
  #news(watcher: Watcher, signal: AbortSignal): Promise<void> {
    return calledWithin(this.#parts.clock, keepAliveMs, signal, (call) => {
      watcher.wake = call;
      return () => {
        watcher.wake = () => undefined;
      };
    });
  }
}

function tooSlow(name: string): ShoalError {
  return new ShoalError(
    'resource_exhausted',
    `Cannot go on telling of ${name}: what was told is not read in time`,
    {
      next: 'Watch it anew.',
    },
  );
}
