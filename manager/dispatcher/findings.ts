import type { NodeConditionType } from '../../src/spec/node.ts';
import type { ReportedCondition } from './conditions.ts';

/** A host's clock may differ from the manager's by so much before the node has the condition `ClockSkewed`. */
export const clockSkewMsMax = 10_000;
/** It must differ for this long: what waited while the manager stood still looks late, all of it at once. */
const skewHoldsMs = 3_000;

/** What the manager alone can see of one node, over its session. */
export class Findings {
  readonly #held = new Map<NodeConditionType, string>();
  /** When its clock was first seen to differ, without a right time since. */
  #skewedSince: number | undefined;

  /** What holds now: all that the manager says of the node. */
  list(): ReportedCondition[] {
    return [...this.#held].map(([type, message]) => ({ type, message }));
  }

  /** Notes what is wrong, or that nothing is; gives whether that is news. */
  note(type: NodeConditionType, message: string | undefined): boolean {
    if (this.#held.get(type) === message) return false;
    if (message === undefined) this.#held.delete(type);
    else this.#held.set(type, message);
    return true;
  }

  noteVersion(own: string, others: string): boolean {
    const message = `it runs Shoal ${others}, the manager ${own}: upgrade the older one`;
    return this.note('VersionMismatch', own === others ? undefined : message);
  }

  /** The host's clock showed `at` a moment before the manager's shows `now`; `monotonic` is the manager's as well. */
  noteTime(at: number, now: number, monotonic: number): boolean {
    const aheadMs = at - now;
    if (Math.abs(aheadMs) <= clockSkewMsMax) {
      this.#skewedSince = undefined;
      return this.note('ClockSkewed', undefined);
    }
    this.#skewedSince ??= monotonic;
    if (monotonic - this.#skewedSince < skewHoldsMs) return false;
    const side = aheadMs > 0 ? 'ahead of' : 'behind';
    return this.note(
      'ClockSkewed',
      `its clock is ${roughly(Math.abs(aheadMs))} ${side} the manager's: set it, best by NTP`,
    );
  }
}

/** In words that stay the same from one heartbeat to the next. */
function roughly(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return 'more than 10 s';
  return minutes < 120 ? `about ${minutes} min` : `about ${Math.round(minutes / 60)} h`;
}
