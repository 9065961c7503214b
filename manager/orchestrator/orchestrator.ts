import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import { FaultLog, Faults } from '../store/isolate.ts';
import type { Database, ObjectKind } from '../store/objects.ts';
import { createViewLoop } from '../store/view-loop.ts';
import { planReaping } from './reaper.ts';
import { planRemoval } from './removal.ts';
import { Scope, type Services } from './scope.ts';
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
  debounceMs: number;
  plan: (options: OrchestratorOptions, now: number, services: Services) => TimedPlan;
}

/** All loops of the orchestrator: started and stopped from this list and nowhere else. */
const plannedLoops: readonly PlannedLoop[] = [
  {
    name: 'orchestrator services',
    debounceMs: 5,
    plan: ({ database, random }, now, services) => planServices(database.view, now, random, services),
  },
  {
    name: 'orchestrator removal',
    debounceMs: 20,
    plan: ({ database }, _now, services) => {
      const faults = new Faults();
      return { plan: planRemoval(database.view, services, faults), due: new Map(), faults };
    },
  },
  {
    name: 'orchestrator reaper',
    debounceMs: 100,
    plan: ({ database }, now, services) => planReaping(database.view, now, services),
  },
];

/** Everything is looked at this often, for a timer that was lost or a change that was not understood. */
const passIntervalMs = 10_000;

/**
 * The loops that turn services into tasks. Run by the leading manager only; `stop` when leadership is lost. They keep
 * nothing in memory but what has changed since the last pass, and when the next one is due.
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

const kinds: readonly ObjectKind[] = ['service', 'task', 'node', 'network', 'volume'];

function startable(planned: PlannedLoop, options: OrchestratorOptions): Orchestrator {
  const { database, clock, log } = options;
  const scope = new Scope(database.view);
  const faultLog = new FaultLog(log);
  let cancelWake: (() => void) | undefined;
  let allAt = 0;
  const loop = createViewLoop({
    database,
    concerns: (change) => {
      scope.note(change);
      return kinds.some((kind) => change.kinds.has(kind));
    },
    name: planned.name,
    clock,
    log,
    debounceMs: planned.debounceMs,
    intervalMs: passIntervalMs,
    tick: async (signal) => {
      cancelWake?.();
      cancelWake = undefined;
      if (clock.monotonic() >= allAt) scope.noteAll();
      const now = clock.now();
      const services = scope.take(now);
      try {
        const { plan, due, faults = [] } = planned.plan(options, now, services);
        faultLog.tell(faults);
        const { conflicts, refused } = await database.writeEach(plan);
        for (const error of refused) log.warn('a change cannot be written', { error: messageOf(error) });
        scope.set(services, due);
        if (services === undefined) allAt = clock.monotonic() + passIntervalMs;
        if (conflicts > 0) {
          scope.giveBack(services);
          loop.poke();
        }
      } catch (error) {
        scope.giveBack(services);
        throw error; // the loop tries again
      }
      const { wakeAt } = scope;
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
