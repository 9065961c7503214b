import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import type { Database, ObjectKind } from '../store/objects.ts';
import { createViewLoop } from '../store/view-loop.ts';
import { planReaping } from './reaper.ts';
import { planRemoval } from './removal.ts';
import { planServices, type TimedPlan } from './services.ts';

export interface OrchestratorOptions {
  database: Database;
  clock: Clock;
  random: Random;
  log: Logger;
}

export interface Orchestrator {
  start(): void;
  /** Resolves when no pass is under way any more. */
  stop(): Promise<void>;
}

interface PlannedLoop {
  name: string;
  /** Changes of these kinds ask for a pass. */
  kinds: readonly ObjectKind[];
  debounceMs: number;
  plan: (options: OrchestratorOptions, now: number) => TimedPlan;
}

/** All loops of the orchestrator: started and stopped from this list and nowhere else. */
const plannedLoops: readonly PlannedLoop[] = [
  {
    name: 'orchestrator services',
    kinds: ['service', 'task', 'node'],
    debounceMs: 5,
    plan: ({ database, random }, now) => planServices(database.view, now, random),
  },
  {
    name: 'orchestrator removal',
    kinds: ['service', 'task', 'network'],
    debounceMs: 20,
    plan: ({ database }) => ({ plan: planRemoval(database.view), wakeAt: undefined }),
  },
  {
    name: 'orchestrator reaper',
    kinds: ['service', 'task', 'node'],
    debounceMs: 100,
    plan: ({ database }, now) => planReaping(database.view, now),
  },
];

/** A pass at least this often, for a clock that was set or a timer that was lost. */
const passIntervalMs = 5_000;

/**
 * The loops that turn services into tasks. Run by the leading manager only; `stop` when leadership is lost. They keep
 * nothing in memory but the time of the next pass.
 */
export function createOrchestrator(options: OrchestratorOptions): Orchestrator {
  const running = plannedLoops.map((planned) => startable(planned, options));
  return {
    start: () => {
      for (const loop of running) loop.start();
    },
    stop: async () => {
      await Promise.all(running.map((loop) => loop.stop()));
    },
  };
}

function startable(planned: PlannedLoop, options: OrchestratorOptions): Orchestrator {
  const { database, clock, log } = options;
  let cancelWake: (() => void) | undefined;
  const loop = createViewLoop({
    database,
    kinds: planned.kinds,
    name: planned.name,
    clock,
    log,
    debounceMs: planned.debounceMs,
    intervalMs: passIntervalMs,
    tick: async (signal) => {
      cancelWake?.();
      cancelWake = undefined;
      const now = clock.now();
      const { plan, wakeAt } = planned.plan(options, now);
      if (plan.length > 0) {
        const { conflicts } = await database.write(plan);
        if (conflicts > 0) loop.poke();
      }
      // What is due later than the next regular pass is found by that one.
      if (wakeAt === undefined || wakeAt > now + passIntervalMs || signal.aborted) return;
      cancelWake = clock.after(Math.max(1, wakeAt - clock.now()), () => loop.poke());
    },
  });
  return {
    start: () => loop.start(),
    stop: async () => {
      await loop.stop();
      cancelWake?.();
    },
  };
}
