import { allowsRestart, endedByItself } from '../../src/spec/restart.ts';
import type { RestartPolicy } from '../../src/spec/service.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import type { LocalTask } from './step.ts';
import type { Worker } from './worker.ts';

/** Without a session for this long, no manager is going to replace what ends here: one that is restarted is back sooner. */
export const aloneAfterMs = 5_000;
/** A program that ends again and again is run again this long after its end, at the least: doubling, up to the second. */
export const pauseMs = { min: 250, max: 30_000 } as const;
const lookMs = 250;

/**
 * How long after its end a task is to be run again by the restart policy in its template; undefined: it is not. The
 * manager counts attempts over the slot's tasks; a host counts only those that it made itself.
 */
export function restartDelayMs(
  policy: RestartPolicy,
  ended: TaskStatus,
  restartsBefore: number,
): number | undefined {
  const { delayMs, maxAttempts } = policy;
  // It was stopped only because what it shares with had ended: it goes where that goes.
  const withAnchor = ended.state === 'shutdown' && ended.endedWith !== undefined;
  if (!withAnchor && !endedByItself(ended.state)) return undefined;
  if (!allowsRestart(policy, ended.state)) return undefined;
  if (maxAttempts > 0 && restartsBefore >= maxAttempts) return undefined;
  return Math.max(delayMs, Math.min(pauseMs.max, pauseMs.min * 2 ** Math.min(restartsBefore, 20)));
}

/** A task as far as it matters for running it again. */
export interface Candidate {
  assignment: AssignedTask | undefined;
  local: LocalTask;
}

/** Whether it has ended, is wanted, and everything of it is gone. */
export function isEndedButWanted({ assignment, local }: Candidate): boolean {
  return assignment?.desiredState === 'running' && local.phase.at === 'gone';
}

export interface LocalRestartsOptions {
  worker: Worker;
  /** Whether a manager is heard that takes what it is told. */
  isConnected: () => boolean;
  /** Whether no manager knows how the task ended; one that does replaces it. */
  isUntold: (taskId: string) => boolean;
  clock: Clock;
  log: Logger;
}

/**
 * Applies the restart policy to this host's tasks while no manager can be reached, or the one that is cannot write. The same task is run again, with its
 * addresses, so that the other hosts find it where it was; a manager that comes back is told how often.
 */
export class LocalRestarts {
  readonly #options: LocalRestartsOptions;
  readonly #loop: Loop;
  /** When an end was first seen, by task (monotonic ms). */
  readonly #endedAt = new Map<string, number>();
  #heardAt: number;

  constructor(options: LocalRestartsOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#heardAt = clock.monotonic();
    this.#loop = new Loop({
      name: 'restarts without a manager',
      clock,
      log,
      intervalMs: lookMs,
      tick: async () => this.#look(),
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  #look(): void {
    const { worker, clock, isConnected, isUntold, log } = this.#options;
    const now = clock.monotonic();
    if (isConnected()) this.#heardAt = now;
    const ended = [...worker.entries].filter(([, entry]) => isEndedButWanted(entry));
    const ids = new Set(ended.map(([id]) => id));
    for (const id of this.#endedAt.keys()) if (!ids.has(id)) this.#endedAt.delete(id);
    for (const [id, { assignment, local }] of ended) {
      const endedAt = this.#endedAt.get(id) ?? now;
      this.#endedAt.set(id, endedAt);
      if (now - this.#heardAt < aloneAfterMs || !isUntold(id)) continue;
      if (worker.anchors.lostBy(id) !== undefined) continue; // what it shares with comes first
      const delayMs = restartDelayMs(assignment!.template.restart, local.status, local.again?.times ?? 0);
      if (delayMs === undefined || now - endedAt < delayMs) continue;
      log.info('running a task again without a manager', { task: id, ended: local.status.message });
      this.#endedAt.delete(id);
      worker.runAgain(id);
    }
  }
}
