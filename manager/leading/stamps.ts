import type { Clock } from '../../src/util/clock.ts';
import { steadyClock } from '../../src/util/steady-clock.ts';
import type { Database, ViewChange } from '../store/objects.ts';

/** A clock that is further off than this was wrong, and nobody goes on with it. */
const differenceMsMax = 60_000;
/** What was seen counts for this long, unless more is seen. */
const keptMs = 60_000;

/**
 * How the clock by which the leader stamps what it writes differs from this host's own. A manager that takes over goes on with
 * that clock, which comes back to its own by and by: so a delay that began by the one ends by the other when it is due, and no
 * monitor time is over at once because two hosts' clocks differ.
 */
export class Stamps {
  readonly #clock: Clock;
  #seen: { aheadMs: number; at: number } | undefined;

  constructor(database: Pick<Database, 'view' | 'onChange'>, clock: Clock) {
    this.#clock = clock;
    const { services, tasks, nodes } = database.view;
    const newest = newestOf([...services.values(), ...tasks.values(), ...nodes.values()]);
    // Of one that lies behind it is not known how long ago it was made.
    this.#see(Math.max(newest, clock.now()));
    database.onChange((change) => this.#note(change));
  }

  /** The clock of a term that begins now. */
  clock(): Clock {
    return steadyClock(this.#clock, this.#seen?.aheadMs);
  }

  #note({ objects }: ViewChange): void {
    const newest = newestOf(objects.flatMap(({ after }) => after ?? []));
    if (newest > 0) this.#see(newest);
  }

  /** It was made just now, or some time before: so what seems furthest ahead comes closest. */
  #see(stamp: number): void {
    const aheadMs = stamp - this.#clock.now();
    const at = this.#clock.monotonic();
    if (Math.abs(aheadMs) > differenceMsMax) return;
    const { aheadMs: before, at: beforeAt } = this.#seen ?? { aheadMs, at };
    if (aheadMs >= before || at - beforeAt > keptMs) this.#seen = { aheadMs, at };
  }
}

function newestOf(objects: readonly { updatedAt: number }[]): number {
  let newest = 0;
  // A damaged one may have none, which is not greater.
  for (const { updatedAt } of objects) if (updatedAt > newest) newest = updatedAt;
  return newest;
}
