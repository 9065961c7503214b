import type { AssignmentRemove, ManagerMessage } from '../../src/wire/session.ts';
import type { Fragment } from './fragment.ts';

/** Parts are filled up to about this size; one object larger than it goes alone. Well under `sessionMessageBytesMax`. */
const partBytesMax = 512 * 1024;
const removalsPerMessage = 10_000;

export interface Batch {
  mode: Extract<ManagerMessage, { type: 'assignments' }>['mode'];
  puts: readonly Fragment[];
  removals: readonly AssignmentRemove[];
  /** Told the number of the batch's last message once it has one. */
  numbered: (sequence: number) => void;
}

/**
 * What one session is still to be sent. Messages are made only when they can go out, so that what waits is little more
 * than references to what all sessions share. A complete set is spread over parts linked by `more`; a large increment
 * becomes several, whose removals come last, so that nothing is gone before what replaces it is there.
 */
export class Outgoing {
  readonly #nextSequence: () => number;
  readonly #batches: Batch[] = [];
  /** How much of the first batch has gone out. */
  #puts = 0;
  #removals = 0;

  constructor(nextSequence: () => number) {
    this.#nextSequence = nextSequence;
  }

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  /** There is at least one message of each batch. */
  push(batch: Batch): void {
    this.#batches.push(batch);
  }

  /** The next message as text; undefined when there is none. */
  next(): string | undefined {
    const batch = this.#batches[0];
    if (batch === undefined) return undefined;
    const { mode, puts, removals } = batch;
    const texts: string[] = [];
    for (let bytes = 0; this.#puts < puts.length; this.#puts++) {
      const { text } = puts[this.#puts]!;
      if (bytes > 0 && bytes + text.length > partBytesMax) break;
      bytes += text.length;
      texts.push(text);
    }
    let remove: readonly AssignmentRemove[] = [];
    if (this.#puts === puts.length) {
      remove = removals.slice(this.#removals, this.#removals + removalsPerMessage);
      this.#removals += remove.length;
    }
    const isLast = this.#puts === puts.length && this.#removals === removals.length;
    const sequence = this.#nextSequence();
    const more = mode === 'complete' && !isLast;
    const head = JSON.stringify({ type: 'assignments', mode, sequence, more, remove });
    if (isLast) {
      this.#batches.shift();
      this.#puts = this.#removals = 0;
      batch.numbered(sequence);
    }
    return `${head.slice(0, -1)},"put":[${texts.join(',')}]}`;
  }
}
