import type { NodeConditionType } from '../../src/spec/node.ts';
import type { ReportedCondition } from './conditions.ts';

/** A host's clock may differ from the manager's by so much before the node has the condition `ClockSkewed`. */
export const clockSkewMsMax = 10_000;
/** It must differ for this long: what waited while the manager stood still looks late, all of it at once. */
const skewHoldsMs = 3_000;

/**
 * An agent whose loop stands still is not a dead host, whose tasks would be replaced, for so long. Beyond it, nobody on
 * that host looks after anything.
 */
export const agentStalledMsMax = 60_000;

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

  /** The agent is alive, and has stood still for so long; 0: it has not. */
  noteStall(stalledMs: number): boolean {
    const tens = Math.floor(stalledMs / 10_000) * 10;
    const long = tens === 0 ? 'some seconds' : `more than ${tens} s`;
    const message = `its agent, or the disk of its state, has not answered for ${long}: see the host's disk and load`;
    return this.note('AgentStalled', stalledMs === 0 ? undefined : message);
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

/** What is said of a node that is silent and not called down; the same words for long, for each change is written. */
export function unreachableFor(silentMs: number): ReportedCondition {
  const [, long] = durations.find(([atLeastMs]) => silentMs >= atLeastMs) ?? durations.at(-1)!;
  const message =
    `silent for ${long}: whether it is down is not known, for the manager may be the one that is cut off; ` +
    'if it is gone for good, `shoal node rm --force` has its tasks replaced';
  return { type: 'Unreachable', message };
}

const durations = [
  [86_400_000, 'more than a day'],
  [3_600_000, 'more than an hour'],
  [600_000, 'more than 10 min'],
  [60_000, 'more than a minute'],
  [10_000, 'more than 10 s'],
  [0, 'some seconds'],
] as const;

/** In words that stay the same from one heartbeat to the next. */
function roughly(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return 'more than 10 s';
  return minutes < 120 ? `about ${minutes} min` : `about ${Math.round(minutes / 60)} h`;
}
