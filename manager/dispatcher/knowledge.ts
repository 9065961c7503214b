import type { AssignmentSet } from './assignments.ts';
import type { EndpointKnowledge } from './drain.ts';

/**
 * What one session's node has been sent and has confirmed. Pure bookkeeping: sequences in, answers out.
 * Invariant: the node's kernel may only use endpoints for which `mayUse` is true.
 */
export class SentState implements EndpointKnowledge {
  /** The set as of the last message sent. */
  sent: AssignmentSet = new Map();
  #sequence = 0;
  /** Last part of the complete set that this session began with: what the node had before is unknown until it is applied. */
  #baseline: number | undefined;
  #applied = 0;
  /** Endpoints that were removed, with the sequence of the message that said so. */
  readonly #removals = new Map<string, number>();

  get sequence(): number {
    return this.#sequence;
  }

  /** Whether the session has begun with a complete set, so that increments may follow. */
  get begun(): boolean {
    return this.#baseline !== undefined;
  }

  /** The number of the next message. */
  nextSequence(): number {
    return ++this.#sequence;
  }

  /** A complete set went out; its last part is the newest message. */
  completed(set: AssignmentSet): void {
    this.sent = set;
    this.#baseline = this.#sequence;
    this.#removals.clear();
  }

  /** Increments went out that led from the last set to this one; the newest message is their last. */
  advanced(set: AssignmentSet, removedEndpoints: Iterable<string>): void {
    for (const taskId of removedEndpoints) this.#removals.set(taskId, this.#sequence);
    this.sent = set;
  }

  /** The node says that its kernel matches this sequence. Numbers never sent are ignored; gives whether it was news. */
  applied(sequence: number): boolean {
    if (!Number.isInteger(sequence) || sequence <= this.#applied || sequence > this.#sequence) return false;
    this.#applied = sequence;
    for (const [taskId, removal] of this.#removals) if (removal <= sequence) this.#removals.delete(taskId);
    return true;
  }

  mayUse(taskId: string): boolean {
    if (this.#baseline === undefined || this.#applied < this.#baseline) return true;
    return this.sent.has(`endpoint/${taskId}`) || this.#removals.has(taskId);
  }
}
