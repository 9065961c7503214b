import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { FaultLog, Faults } from '../store/isolate.ts';
import type { Database } from '../store/objects.ts';
import { createViewLoop, type ViewLoop } from '../store/view-loop.ts';
import { AllocatorConcerns } from './concerns.ts';
import { allocate } from './plan.ts';
import type { Cursors } from './range.ts';

export interface AllocatorOptions {
  database: Database;
  clock: Clock;
  log: Logger;
}

/** A pass at least this often, for a change that was not understood. */
const passIntervalMs = 10_000;
/** Writes in one pass: three stages, and some that met a conflict. What is left waits for the next poke. */
const roundsMax = 20;

/** The loop that writes what `planAllocation` plans, as long as this manager leads. */
export function createAllocator({ database, clock, log }: AllocatorOptions): ViewLoop {
  let cursors: Cursors = new Map();
  const faultLog = new FaultLog(log);
  const tick = async (signal: AbortSignal) => {
    for (let round = 0; round < roundsMax && !signal.aborted; round++) {
      const faults = new Faults();
      const next = allocate(database.view, clock.now(), cursors, faults);
      faultLog.tell(faults);
      if (next.plan.length === 0) return;
      ({ cursors } = next);
      const { refused } = await database.writeEach(next.plan);
      for (const error of refused) log.warn('a change cannot be written', { error: messageOf(error) });
      if (refused.length > 0) return; // it would be planned again at once; the next change looks again
    }
    loop.poke();
  };
  const noted = new AllocatorConcerns(database.view);
  const loop = createViewLoop({
    name: 'allocator',
    clock,
    log,
    tick,
    intervalMs: passIntervalMs,
    database,
    concerns: (change) => noted.concern(change),
  });
  return loop;
}
