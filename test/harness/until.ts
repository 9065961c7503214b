import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';

const limitMs = 60_000;
const pollMs = 100;

/** Looks until it is so; what `look` throws means not yet. Throws `deadline_exceeded` with `what` after a minute. */
export async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const limit = systemClock.monotonic() + limitMs;
  while (!(await look().catch(() => false))) {
    if (systemClock.monotonic() > limit) throw new ShoalError('deadline_exceeded', `Cannot see ${what}`);
    await systemClock.sleep(pollMs);
  }
}
