/**
 * What one session's node has been sent and has confirmed. Pure bookkeeping: sequences in, answers out.
 * Invariant: the node's kernel may use an endpoint that it was told to remove only while `isSettled` is false or
 * `isUnconfirmed` is true.
 */
export class SentState {
  #sequence = 0;
  /** Last part of the newest complete set: what the node had before is unknown until it is applied. */
  #baseline: number | undefined;
  #applied = 0;
  /** Endpoints that were removed, with the number of the message that says so; Infinity: it has none yet. */
  readonly #removals = new Map<string, number>();

  /** The number of the next message. */
  nextSequence(): number {
    return ++this.#sequence;
  }

  /** Whether the node has confirmed a complete set, so that what it was told since is all that is not certain. */
  get isSettled(): boolean {
    return this.#baseline !== undefined && this.#applied >= this.#baseline;
  }

  isUnconfirmed(taskId: string): boolean {
    return this.#removals.has(taskId);
  }

  /** A complete set is about to go out. Gives the removals that it stands for. */
  completing(): string[] {
    this.#baseline = Infinity;
    const covered = [...this.#removals.keys()];
    this.#removals.clear();
    return covered;
  }

  /** The last part of the complete set has this number. */
  completed(sequence: number): void {
    this.#baseline = sequence;
  }

  /** Removals of endpoints are about to go out. Gives those that were not under way already. */
  removing(taskIds: Iterable<string>): string[] {
    const news: string[] = [];
    for (const taskId of taskIds) {
      if (!this.#removals.has(taskId)) news.push(taskId);
      this.#removals.set(taskId, Infinity);
    }
    return news;
  }

  /** The message with these removals has this number. */
  removed(taskIds: Iterable<string>, sequence: number): void {
    for (const taskId of taskIds) if (this.#removals.has(taskId)) this.#removals.set(taskId, sequence);
  }

  /** The node says that its kernel matches this sequence: gives the removals it confirms; undefined when that is no news. */
  applied(sequence: number): string[] | undefined {
    if (!Number.isInteger(sequence) || sequence <= this.#applied || sequence > this.#sequence)
      return undefined;
    this.#applied = sequence;
    const confirmed = [...this.#removals]
      .filter(([, removal]) => removal <= sequence)
      .map(([taskId]) => taskId);
    for (const taskId of confirmed) this.#removals.delete(taskId);
    return confirmed;
  }

  /** The session is over: gives what it never confirmed. */
  end(): string[] {
    return this.completing();
  }
}
