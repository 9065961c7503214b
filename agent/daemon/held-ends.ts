import type { Clock } from '../../src/util/clock.ts';
import type { AssignedTask } from '../../src/wire/session.ts';

/**
 * A host that was away learns in one message that a task is to end and that nothing is to be sent there any more. Its
 * kernel has to know the second first, or its own connections meet a program that is ending.
 */

/** A task is told to end after this long even when the network has not followed. */
export const heldMsMax = 2_000;

type Tasks = ReadonlyMap<string, AssignedTask>;

/** The tasks that ran on and are to end now, or are not assigned any more, as they were assigned before. */
export function newlyEnding(before: Tasks, after: Tasks): Tasks {
  return new Map([...before].filter(([id, task]) => runsOn(task) && !runsOn(after.get(id))));
}

function runsOn(task: AssignedTask | undefined): boolean {
  return task?.desiredState === 'running';
}

/** Tasks that are to end, and go on as they were assigned until they are released. */
export class HeldEnds {
  readonly #clock: Clock;
  readonly #onLate: () => void;
  #held: Tasks = new Map();
  #cancelTimer: (() => void) | undefined;

  /** `onLate`: called when some have been held for too long, after they were released. */
  constructor(clock: Clock, onLate: () => void) {
    this.#clock = clock;
    this.#onLate = onLate;
  }

  /** Another object each time that something is held, or released. */
  get held(): Tasks {
    return this.#held;
  }

  /** Holds these too. What is held already is not held any longer for it. */
  hold(tasks: Tasks): void {
    if (tasks.size === 0) return;
    this.#held = new Map([...this.#held, ...tasks]);
    this.#cancelTimer ??= this.#clock.after(heldMsMax, () => {
      this.release();
      this.#onLate();
    });
  }

  release(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#held = new Map();
  }

  /** What the worker is to be told: the tasks, with those that are held as they were. */
  over(tasks: Tasks): Tasks {
    const held = [...this.#held].filter(([id]) => !runsOn(tasks.get(id)));
    return held.length === 0 ? tasks : new Map([...tasks, ...held]);
  }
}
