import { isDeepStrictEqual } from 'node:util';
import type { Node, NodeDescription } from '../../src/spec/node.ts';
import { AttemptBudget } from '../../src/util/attempts.ts';

/**
 * What a host says of itself may change so often in a minute. Others act on it: with another MTU every host of its networks
 * sets its links anew.
 */
export const descriptionChangesMax = 6;

/** Whether what hosts say of themselves is heeded: whoever changes it again and again is heard when the minute is over. */
export class HostFacts {
  readonly #changes = new AttemptBudget(descriptionChangesMax);

  /** Whether `said` is to be stored, which counts when it is another than the stored one. `nowMs` is monotonic. */
  heeds({ id, description }: Node, said: NodeDescription, nowMs: number): boolean {
    if (description === undefined || isDeepStrictEqual(description, said)) return true;
    return this.#changes.take(id, nowMs);
  }

  /** Whether another change would be heeded now. */
  hears(nodeId: string, nowMs: number): boolean {
    return !this.#changes.isSpent(nodeId, nowMs);
  }
}
