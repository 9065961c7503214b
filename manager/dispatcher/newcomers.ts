import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { RateLimiter } from '../../src/util/rate.ts';

/** A connection that has not said hello this long after it was opened is closed. */
export const helloMsMax = 5_000;
/** Connections of one node that have not said hello; the oldest makes room. */
export const newcomersOfNodeMax = 2;
/** Sessions that one node opens: more are refused before they are opened. */
export const sessionRate = { perSecond: 2, burst: 20 };

interface Newcomer {
  nodeId: string;
  close(why: string): void;
}

/** Agents that are connected and have not been taken in yet: few of each node, and not for long. */
export class Newcomers<Session extends Newcomer> {
  readonly #clock: Clock;
  /** In the order in which they came. */
  readonly #waiting = new Map<Session, () => void>();
  readonly #rates = new Map<string, RateLimiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws `resource_exhausted` when the node opens sessions too often. */
  admit(nodeId: string): void {
    const rate = this.#rates.get(nodeId) ?? new RateLimiter(sessionRate, this.#clock);
    this.#rates.set(nodeId, rate); // one for each node that ever was in the cluster
    if (rate.take()) return;
    throw new ShoalError('resource_exhausted', `Cannot open a session: node ${nodeId} opens too many`, {
      next: 'Look into the log of its agent for why its sessions end.',
    });
  }

  add(session: Session): void {
    const own = [...this.#waiting.keys()].filter(({ nodeId }) => nodeId === session.nodeId);
    if (own.length >= newcomersOfNodeMax) own[0]?.close('the agent opens one connection after another');
    const cancel = this.#clock.after(helloMsMax, () => session.close('it did not say hello'));
    this.#waiting.set(session, cancel);
  }

  has(session: Session): boolean {
    return this.#waiting.has(session);
  }

  remove(session: Session): void {
    this.#waiting.get(session)?.();
    this.#waiting.delete(session);
  }

  all(): Session[] {
    return [...this.#waiting.keys()];
  }
}
