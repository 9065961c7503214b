import { ShoalError } from '../../../src/util/errors.ts';

/** Transactions that are under way at a time. */
export const slotsMax = 256;
const waitingMax = 50_000;

/** One place for a nonce: a key that this process alone writes, one transaction after another. */
export interface Slot {
  index: number;
  /** When the key was written last, as far as is known; 0: never. */
  revision: number;
}

/**
 * Places for nonces. A transaction writes its nonce together with its changes, guarded by when the place was written last. So a
 * transaction whose answer was lost can be asked for again: it is done once, and its second attempt finds its own nonce. And
 * an attempt that was given up and comes late is refused once the place has been used again.
 */
export class NonceSlots {
  readonly #free: Slot[];
  readonly #waiting: ((slot: Slot) => void)[] = [];

  /** `revisions`: of the places that were written by an earlier process of the same owner. */
  constructor(revisions: ReadonlyMap<number, number>) {
    this.#free = Array.from({ length: slotsMax }, (_, index) => ({
      index,
      revision: revisions.get(index) ?? 0,
    }));
  }

  /** Runs work that has a place for itself. Throws `unavailable` when too many wait for one. */
  async use<T>(work: (slot: Slot) => Promise<T>): Promise<T> {
    const slot = await this.#take();
    try {
      return await work(slot);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(slot);
      else this.#free.push(slot);
    }
  }

  async #take(): Promise<Slot> {
    const slot = this.#free.pop();
    if (slot) return slot;
    if (this.#waiting.length >= waitingMax) {
      throw new ShoalError('unavailable', 'Cannot write: too many transactions wait for the store');
    }
    return await new Promise((resolve) => this.#waiting.push(resolve));
  }
}
