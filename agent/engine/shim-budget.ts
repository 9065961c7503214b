import type { Clock } from '../../src/util/clock.ts';
import { codeOf, ShoalError } from '../../src/util/errors.ts';
import { PriorityLimiter } from './priority-limiter.ts';

/**
 * A shim has 32 places for exits that it has not dealt with, and one that is full stands still for good: whoever waits for
 * an exit holds what dealing with it needs (containerd#2709, #13814, #3572). What may end at one moment is therefore kept
 * below that: `shimContainersMax` (10) containers, these commands, and these calls, each of which runs runc once.
 */
export const shimExecsMax = 14;
/** Of those, by people: checks and hooks have the others to themselves. */
export const shimCommandsMax = 10;
export const shimCallsMax = 6;

/** A command that a person asked for waits this long for a place. */
export const execWaitMs = 60_000;
/** More of them do not wait. */
export const execsWaitingMax = 256;
/** Calls wait for others of the same shim, which have their own time limits; more than a shim's containers can ask for. */
const callWaitMs = 120_000;
const callsWaitingMax = 1_000;

/** What a call to a shim is for, the most urgent first. */
export const callPriorities = { stop: 0, check: 1, start: 2, command: 3 } as const;
export type CallPurpose = keyof typeof callPriorities;

/** What a command in a container is for. */
export type ExecPurpose = 'check' | 'command';

interface Places {
  calls: PriorityLimiter;
  execs: PriorityLimiter;
}

/** Divides each shim's places. A shim is known by its name (`ShimGroups`). */
export class ShimBudget {
  readonly #clock: Clock;
  readonly #places = new Map<string, Places>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs a call that makes the shim run runc once a place is free. */
  async call<T>(shim: string, purpose: CallPurpose, work: () => Promise<T>): Promise<T> {
    const { calls } = this.#placesOf(shim);
    const giveBack = await calls.take(callPriorities[purpose], this.#clock, callWaitMs);
    try {
      return await work();
    } finally {
      giveBack();
      this.#drop(shim);
    }
  }

  /**
   * Resolves with how to give back a place for a command, to be done once it has ended. Throws `resource_exhausted` when
   * none is free for long.
   */
  async takeExec(shim: string, purpose: ExecPurpose): Promise<() => void> {
    const { execs } = this.#placesOf(shim);
    try {
      const giveBack = await execs.take(purpose === 'check' ? 0 : 1, this.#clock, execWaitMs);
      return () => {
        giveBack();
        this.#drop(shim);
      };
    } catch (error) {
      if (codeOf(error) !== 'resource_exhausted') throw error;
      throw new ShoalError(
        'resource_exhausted',
        `Cannot run a command: ${shimCommandsMax} run already in this container and those that share its shim`,
        { cause: error, next: 'Wait until one of them has ended.' },
      );
    }
  }

  #placesOf(shim: string): Places {
    const places = this.#places.get(shim) ?? {
      calls: new PriorityLimiter(
        [shimCallsMax, shimCallsMax - 1, shimCallsMax - 2, shimCallsMax - 2],
        callsWaitingMax,
      ),
      execs: new PriorityLimiter([shimExecsMax, shimCommandsMax], execsWaitingMax),
    };
    this.#places.set(shim, places);
    return places;
  }

  #drop(shim: string): void {
    const places = this.#places.get(shim);
    if (places?.calls.isIdle && places.execs.isIdle) this.#places.delete(shim);
  }
}
