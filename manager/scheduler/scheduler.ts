import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { FaultLog, Faults } from '../store/isolate.ts';
import type { Database } from '../store/objects.ts';
import { createViewLoop, type ViewLoop } from '../store/view-loop.ts';
import { SchedulerConcerns } from './concerns.ts';
import { planSchedule } from './plan.ts';

export interface SchedulerOptions {
  database: Database;
  clock: Clock;
  log: Logger;
}

/** A pass at least this often, for a change that was not understood. */
const passIntervalMs = 10_000;
/** Long enough for the tasks of one commit to come together, short beside the time that a container takes to start. */
const debounceMs = 2;
/** Plans in one pass that met a conflict. What is left waits for the next poke. */
const roundsMax = 10;

/** The loop that writes what `planSchedule` plans, as long as this manager leads. */
export function createScheduler({ database, clock, log }: SchedulerOptions): ViewLoop {
  const faultLog = new FaultLog(log);
  const tick = async (signal: AbortSignal) => {
    for (let round = 0; round < roundsMax && !signal.aborted; round++) {
      const faults = new Faults();
      const plan = planSchedule(database.view, clock.now(), faults);
      faultLog.tell(faults);
      if (plan.length === 0) return;
      const { conflicts, refused } = await database.writeEach(plan);
      for (const error of refused) log.warn('a change cannot be written', { error: messageOf(error) });
      if (conflicts === 0) return;
    }
    loop.poke();
  };
  const noted = new SchedulerConcerns(database.view);
  const loop = createViewLoop({
    name: 'scheduler',
    clock,
    log,
    tick,
    debounceMs,
    intervalMs: passIntervalMs,
    database,
    concerns: (change) => noted.concern(change),
  });
  return loop;
}
