import { ShoalError } from '../../src/util/errors.ts';
import type { LogLine } from '../../src/wire/session.ts';
import type { Task } from '../../src/spec/task.ts';
import type { FeedParts } from './feed.ts';
import type { LogQuery } from './lines.ts';
import { placeOf } from './ring.ts';

/** Lines of a file: each file is called by the time of its first line. */
const linesPerFile = 50;

/** A host with the log of one task, for tests: written and read line by line, and it can go away. */
export class FakeHost {
  readonly log: LogLine[] = [];
  /** A line that nothing has ended yet: only those who do not follow see it. */
  unfinished: string | undefined;
  isUp = true;
  hasEnded = false;
  /** Streams that are open now, those that follow among them, and the most that ever were of those that do not. */
  streams = 0;
  live = 0;
  historiesMax = 0;
  opened: LogQuery[] = [];
  /** Called before each step of a stream. */
  pause: () => Promise<void> = () => Promise.resolve();
  readonly #changed = new Set<() => void>();
  readonly #tasksChanged = new Set<() => void>();

  readonly #padding: number;

  /** `padding`: characters of each line's text beside its number. */
  constructor(padding = 0) {
    this.#padding = padding;
  }

  write(count = 1): void {
    for (let index = 0; index < count; index++) {
      const number = this.log.length;
      const file = timeOf(number - (number % linesPerFile));
      const text = `${number}${' '.repeat(this.#padding)}`;
      // where a reader must begin depends on where it began itself: not the same for all
      const position = `${file}/${number % 3}/${number % linesPerFile}`;
      this.log.push({ taskId: 't', at: timeOf(number), stream: 'stdout', text, position });
    }
    this.#wake();
  }

  /** All connections break, and no new ones come to be until it is up again. */
  goAway(): void {
    this.isUp = false;
    this.#wake();
  }

  end(): void {
    this.hasEnded = true;
    for (const callback of this.#tasksChanged) callback();
  }

  get parts(): Omit<FeedParts, 'clock'> {
    return {
      lines: (_task, query, signal) => this.#lines(query, signal),
      hasEnded: () => this.hasEnded,
      onTasksChanged: (callback) => {
        this.#tasksChanged.add(callback);
        return () => this.#tasksChanged.delete(callback);
      },
      warning: ({ id }: Task) => ({ taskId: id, at: '', stream: 'stderr', text: 'no logs', warning: true }),
    };
  }

  /** Who still listens to it. */
  get listeners(): number {
    return this.#changed.size + this.#tasksChanged.size;
  }

  async *#lines(query: LogQuery, signal: AbortSignal): AsyncGenerator<LogLine> {
    this.opened.push(query);
    this.streams++;
    if (query.follow) this.live++;
    this.historiesMax = Math.max(this.historiesMax, this.streams - this.live);
    let isOpen = true;
    const close = () => {
      if (!isOpen) return;
      isOpen = false;
      this.streams--;
      if (query.follow) this.live--;
    };
    signal.addEventListener('abort', close, { once: true });
    if (signal.aborted) close();
    try {
      await this.#step(signal);
      for (let index = this.#start(query); !signal.aborted; index++) {
        while (index >= this.log.length && query.follow) {
          await this.#change(signal);
          await this.#step(signal);
          if (signal.aborted) return;
        }
        const line = this.log[index];
        if (!line) break;
        if (query.since === undefined || line.at >= new Date(query.since).toISOString().slice(0, -1))
          yield line;
        await this.#step(signal);
      }
      if (this.unfinished !== undefined)
        yield { ...this.log[0]!, position: undefined, text: this.unfinished };
    } finally {
      close();
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    await this.pause();
    if (!this.isUp && !signal.aborted) throw new ShoalError('unavailable', 'the host is away');
  }

  #start({ after, tail }: LogQuery): number {
    if (after === undefined) return Math.max(0, this.log.length - (tail ?? Infinity));
    return this.log.findIndex(({ position }) => placeOf(position!) === placeOf(after)) + 1;
  }

  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changed.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    this.#changed.delete(resolve);
  }

  #wake(): void {
    for (const wake of this.#changed) wake();
  }
}

/** The time of a line: a second for each. */
export function timeOf(number: number): string {
  return new Date(number * 1_000).toISOString().replace('Z', '000000Z');
}
