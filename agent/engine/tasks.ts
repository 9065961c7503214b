import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Bundles } from './bundles.ts';
import { isNotFound, type ContainerdClient } from './client.ts';
import { earlierAttemptRemains, shimWasEnding, startError } from './failures.ts';
import { endOf, sendSignal } from './kernel-processes.ts';
import type { Calls, ContainerRecord, TaskProcess } from './messages.ts';
import type { ShimBudget } from './shim-budget.ts';
import { groupAnnotation, ShimGroups } from './shim-groups.ts';
import type { Slowness } from './slowness.ts';
import { describeTask, ignoreMissing, type TaskState } from './task-state.ts';

const signalKill = 9;
const createAttempts = 4;
/**
 * A start takes a fraction of a second. Seen once in 80 kills of containerd in the middle of one: `runc start` hangs in
 * the shim until this deadline, which containerd passes on to it, and everything about that container with it.
 */
const startTimeoutMs = 30_000;
/** Sending a signal, or being asked what a container does, takes milliseconds; a shim that needs this long hangs. */
const answerTimeoutMs = 10_000;
/** containerd asks one shim after another, and waits 2 s for each that does not answer. */
const listTimeoutMs = 3_000;
const deleteTimeoutMs = 30_000;
/** A shim that does not answer is ended this long after all its containers have: nothing else would ever remove those. */
const hungShimMs = 20_000;
/** A daemon killed in the middle of a creation comes back while containerd still clears what it had begun. */
const earlierAttemptPauseMs = 250;

export interface ShimTasksOptions {
  client: ContainerdClient;
  bundles: Bundles;
  budget: ShimBudget;
  slowness: Slowness;
  /** Processes of a container, from its control group. */
  processesOf: (id: string) => number[];
  clock: Clock;
  log: Logger;
}

/**
 * The running side of containers, which their shims look after. Every call keeps to the shim's budget and to a time limit
 * of seconds; where a shim does not answer, the kernel is asked or told instead.
 */
export class ShimTasks {
  readonly groups = new ShimGroups();
  /** Shims that do not answer and whose containers have all ended, and since when, by their names. */
  readonly #hungSince = new Map<string, number>();
  readonly #options: ShimTasksOptions;

  constructor(options: ShimTasksOptions) {
    this.#options = options;
  }

  /** Makes the container's process, not yet started. */
  async create(request: Calls['Tasks.Create'][0]): Promise<void> {
    const { client, clock, log, budget } = this.#options;
    const id = request.containerId;
    for (let attempt = 1; ; attempt++) {
      try {
        await budget.call(this.groups.shimOf(id), 'start', () => client.call('Tasks.Create', request));
        return;
      } catch (error) {
        const again = shimWasEnding(error) || earlierAttemptRemains(error);
        if (attempt >= createAttempts || !again) throw error;
        log.debug('containerd is not done with what came before, trying again', {
          container: id,
          error: messageOf(error),
        });
        await this.delete(id);
        if (earlierAttemptRemains(error)) await clock.sleep(attempt * earlierAttemptPauseMs);
      }
    }
  }

  async start(id: string): Promise<{ pid: number }> {
    const { client, budget } = this.#options;
    const control = { timeoutMs: startTimeoutMs };
    try {
      return await budget.call(this.groups.shimOf(id), 'start', () =>
        client.call('Tasks.Start', { containerId: id }, control),
      );
    } catch (error) {
      throw startError(error, []);
    }
  }

  /** Signal by number. A process that has ended already is no error. One whose shim hangs gets it from us. */
  async kill(id: string, signal: number): Promise<void> {
    const { client, budget, log } = this.#options;
    const control = { timeoutMs: answerTimeoutMs };
    try {
      if (await this.#hangs(id)) throw doesNotAnswer(id);
      await budget.call(this.groups.shimOf(id), 'stop', () =>
        client.call('Tasks.Kill', { containerId: id, signal }, control),
      );
    } catch (error) {
      if (isNotFound(error)) return;
      const pid = codeOf(error) === 'deadline_exceeded' ? await this.#initPid(id) : undefined;
      if (pid === undefined) throw error;
      log.warn('a shim does not answer; its container gets the signal from the agent', {
        container: id,
        signal,
        pid,
      });
      sendSignal(pid, signal);
    }
  }

  /** Deletes the task. One that lives is killed first; so is one that has not started, or its shim waits 2 s for output. */
  async delete(id: string): Promise<void> {
    const { client, budget, bundles } = this.#options;
    const containerId = id;
    if (await this.#hangs(id)) throw doesNotAnswer(id);
    const shim = this.groups.shimOf(id);
    const control = { timeoutMs: answerTimeoutMs };
    try {
      await budget.call(shim, 'stop', () =>
        client.call('Tasks.Kill', { containerId, signal: signalKill }, control),
      );
    } catch (error) {
      if (codeOf(error) === 'unavailable' || codeOf(error) === 'deadline_exceeded') throw error;
      // it has ended or never was; if there is another reason the deletion meets it again
    }
    // one that ended by itself may not have been noticed by its shim yet
    await ignoreMissing(client.call('Tasks.Wait', { containerId }, control));
    await budget.call(shim, 'stop', () =>
      ignoreMissing(client.call('Tasks.Delete', { containerId }, { timeoutMs: deleteTimeoutMs })),
    );
    await bundles.clear(id);
  }

  /** What each of these containers does. One whose shim does not answer is `unknown`, unless the kernel saw its end. */
  async states(records: readonly ContainerRecord[]): Promise<Map<string, TaskState>> {
    for (const record of records) this.#adopt(record);
    const tasks = await this.#list(records.map(({ id }) => id));
    const states = new Map<string, TaskState>();
    const silent: string[] = [];
    for (const { id } of records) {
      const task = tasks.get(id);
      const described = describeTask(task);
      const isSilent = task === undefined ? await this.#hasShim(id) : described.state === 'unknown';
      if (isSilent) silent.push(id);
      states.set(id, isSilent ? await this.#stateByKernel(id) : described);
    }
    this.#options.slowness.seen(silent);
    await this.#endHungShims(silent.filter((id) => this.#isOver(id, states)));
    return states;
  }

  async #list(ids: string[]): Promise<Map<string, TaskProcess>> {
    const listed = await this.#listed();
    // Those that were not told in time are asked side by side: one that hangs hides those that come after it.
    const unclear = ids.filter((id) => listed === undefined || listed.get(id)?.status === 'UNKNOWN');
    const asked = await Promise.all(unclear.map(async (id) => [id, await this.#ask(id)] as const));
    const all = new Map(listed);
    for (const [id, task] of asked) {
      if (task === undefined) all.delete(id);
      else all.set(id, task);
    }
    return all;
  }

  /** What containerd says of all tasks at once; nothing when that takes it too long. */
  async #listed(): Promise<Map<string, TaskProcess> | undefined> {
    try {
      const { tasks } = await this.#options.client.call('Tasks.List', {}, { timeoutMs: listTimeoutMs });
      return new Map(tasks.map((task) => [task.id === '' ? task.containerId : task.id, task]));
    } catch (error) {
      if (codeOf(error) !== 'deadline_exceeded') throw error;
      return undefined;
    }
  }

  /** containerd answers for a shim that does not: UNKNOWN, after 2 s. */
  async #ask(containerId: string): Promise<TaskProcess | undefined> {
    const { client } = this.#options;
    try {
      const { process } = await client.call('Tasks.Get', { containerId }, { timeoutMs: answerTimeoutMs });
      return process ?? undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /**
   * A container without a task has lost it, to a crash or a restart of the machine; but a shim that is there and that
   * containerd cannot reach just now is no such loss.
   */
  async #hasShim(id: string): Promise<boolean> {
    return (await this.#options.bundles.shimOf(id)) !== undefined;
  }

  /** Whether the container and all that share its shim have ended. */
  #isOver(id: string, states: ReadonlyMap<string, TaskState>): boolean {
    return this.groups.sharing(id).every((other) => (states.get(other)?.state ?? 'stopped') === 'stopped');
  }

  /** Ends shims that have stood still for long and have nothing left to look after. containerd clears up after them. */
  async #endHungShims(ids: readonly string[]): Promise<void> {
    const { bundles, clock, log } = this.#options;
    const byShim = new Map(ids.map((id) => [this.groups.shimOf(id), id]));
    for (const shim of this.#hungSince.keys()) if (!byShim.has(shim)) this.#hungSince.delete(shim);
    for (const [shim, id] of byShim) {
      const since = this.#hungSince.get(shim) ?? clock.monotonic();
      this.#hungSince.set(shim, since);
      const pid = clock.monotonic() - since < hungShimMs ? undefined : await bundles.shimOf(id);
      if (pid === undefined) continue;
      log.warn('a shim that does not answer is ended: all its containers have ended', { shim, pid });
      sendSignal(pid, signalKill);
    }
  }

  /** What the kernel says of a container whose shim says nothing: it has ended, or nothing is known. */
  async #stateByKernel(id: string): Promise<TaskState> {
    const pid = await this.#options.bundles.initPid(id);
    const end = pid === undefined ? undefined : endOf(pid);
    return end === undefined ? { state: 'unknown' } : { state: 'stopped', ...end };
  }

  #adopt({ id, spec }: ContainerRecord): void {
    if (this.groups.has(id) || spec === null) return;
    const { annotations } = JSON.parse(Buffer.from(spec.value).toString()) as {
      annotations?: Record<string, string>;
    };
    this.groups.adopt(annotations?.[groupAnnotation] ?? id, id);
  }

  /** Whether a shim that was seen to hang still does. The others are not asked. */
  async #hangs(id: string): Promise<boolean> {
    return this.#options.slowness.doubts(id) && (await this.#ask(id))?.status === 'UNKNOWN';
  }

  /** The container's first process, if it is still that. */
  async #initPid(id: string): Promise<number | undefined> {
    const pid = await this.#options.bundles.initPid(id);
    return pid !== undefined && this.#options.processesOf(id).includes(pid) ? pid : undefined;
  }
}

function doesNotAnswer(id: string): ShoalError {
  return new ShoalError('deadline_exceeded', `Cannot reach the shim of ${id}: it does not answer`, {
    next: 'See `shoal node ls`; it is tried again.',
  });
}
