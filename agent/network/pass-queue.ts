/** Changes of the host's network, one pass at a time; what can share a pass does. */
import type { Clock } from '../../src/util/clock.ts';
import type { NetworkAssignments, TaskNetwork } from './network.ts';

export type Request =
  | { kind: 'apply'; assignments: NetworkAssignments }
  | { kind: 'attach'; task: TaskNetwork }
  | { kind: 'detach'; taskId: string }
  /** Compares the kernel with what was applied; `all`: with all elements of the packet filter. */
  | { kind: 'check'; all: boolean }
  | { kind: 'purge' };

export interface Pending {
  request: Request;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** What a pass of each kind does. */
export interface Passes {
  apply(assignments: NetworkAssignments): Promise<void>;
  /** Settles every one of them itself. */
  changeTasks(pass: Pending[]): Promise<void>;
  check(all: boolean): Promise<void>;
  purge(): Promise<void>;
}

/** How many attaches and detaches one pass takes together. */
const passSizeMax = 32;

/**
 * Workers that waited for one pass ask for the next within a moment of each other: waiting for it costs less than a
 * pass each. A deletion above all takes the kernel 18 ms, for one link or for many.
 */
const gatherMs = 2;
/** And this much longer while only removals wait: 57 replicas on three hosts went in 33 ms each instead of 42. */
const gatherDetachesMs = 25;

export class PassQueue {
  readonly #passes: Passes;
  readonly #clock: Clock;
  readonly #pending: Pending[] = [];
  #running: Promise<void> | undefined;

  constructor(passes: Passes, clock: Clock) {
    this.#passes = passes;
    this.#clock = clock;
  }

  /** Resolves when a pass has done it. */
  enqueue(request: Request): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ request, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Requests made in the same turn of the event loop share the first pass.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const next = this.#pending[0]!.request.kind;
      if (next === 'attach' || next === 'detach') await this.#gather();
      const pass = takePass(this.#pending);
      try {
        await this.#perform(pass);
        for (const { resolve } of pass) resolve();
      } catch (error) {
        for (const { reject } of pass) reject(error);
      }
    }
    // In the same turn as the last look at the queue: whoever comes after it starts the next run.
    this.#running = undefined;
  }

  async #perform(pass: Pending[]): Promise<void> {
    // Of several whole assignments only the last one counts.
    const last = pass.at(-1)!.request;
    if (last.kind === 'apply') await this.#passes.apply(last.assignments);
    else if (last.kind === 'check') {
      await this.#passes.check(pass.some(({ request }) => request.kind === 'check' && request.all));
    } else if (last.kind === 'purge') await this.#passes.purge();
    else await this.#passes.changeTasks(pass);
  }

  /** Waits for more of what has come; only while nothing but removals waits, which nobody is in a hurry for, a little longer. */
  async #gather(): Promise<void> {
    await this.#clock.sleep(gatherMs);
    if (this.#pending.every(({ request }) => request.kind === 'detach')) {
      await this.#clock.sleep(gatherDetachesMs);
    }
  }
}

/**
 * Takes from the front what one pass may do together: attaches and detaches of different tasks, or requests of one other
 * kind. A whole assignment takes along those that wait behind attaches, for only the last one counts; not behind detaches,
 * which free networks for it.
 */
function takePass(pending: Pending[]): Pending[] {
  const first = pending[0]!.request;
  if (first.kind === 'apply') return takeApplies(pending);
  const tasks = new Set<string>();
  let count = 0;
  for (const { request } of pending) {
    if (first.kind === 'purge' && count > 0) break;
    if (isTaskChange(request)) {
      if (!isTaskChange(first)) break;
      const taskId = request.kind === 'attach' ? request.task.taskId : request.taskId;
      if (tasks.has(taskId) || count === passSizeMax) break;
      tasks.add(taskId);
    } else if (request.kind !== first.kind) break;
    count++;
  }
  return pending.splice(0, count);
}

function takeApplies(pending: Pending[]): Pending[] {
  const kinds = pending.map(({ request }) => request.kind);
  const end = kinds.findIndex((kind) => kind !== 'apply' && kind !== 'attach');
  const reach = pending.splice(0, end === -1 ? pending.length : end);
  pending.unshift(...reach.filter(({ request }) => request.kind !== 'apply'));
  return reach.filter(({ request }) => request.kind === 'apply');
}

type TaskChange = Extract<Request, { kind: 'attach' | 'detach' }>;

const isTaskChange = (request: Request): request is TaskChange =>
  request.kind === 'attach' || request.kind === 'detach';
