import { isNoSpace } from '../disk/space.ts';
import type { ContainerExit, ContainerInfo } from '../engine/engine.ts';
import type { Hook } from '../../src/spec/settings.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import { codeOf, messageOf, unreachable, ShoalError } from '../../src/util/errors.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { AssignedTask, ServiceAssignment } from '../../src/wire/session.ts';
import { Anchors } from './anchors.ts';
import { runHealthchecks } from './health-runner.ts';
import { hooksMsMax, runHooks } from './hooks.ts';
import { lastLine } from './last-line.ts';
import { portsToListenOn, untilListening } from './listening.ts';
import type { WorkerParts } from './parts.ts';
import { Preparer, type PrepareContext } from './prepare.ts';
import {
  again,
  firstSight,
  step,
  toldStatus,
  type LocalTask,
  type TaskAction,
  type TaskEvent,
} from './step.ts';
import { stopProcess } from './stopping.ts';
import type { TaskStore } from './task-store.ts';

/** The kernel ends all processes of a namespace before the one whose it is: only this long after is it known whether that went. */
const anchorEndMs = 250;
/** The end of a task is told after this long even when removing what is left of it takes longer. */
const releaseWaitMs = 2_000;
const killedExitCode = 128 + 9;
/** A start that the engine does not finish in its time limit is looked at again this often. */
const lateStartsMax = 2;

const notWanted = { code: 'aborted', message: 'it is not wanted any more' };

/** What a task needs of the assignments around it. */
export type TaskSources = Pick<PrepareContext, 'networksReady' | 'contents'> & {
  /** The ports of its service that are published on all hosts. */
  publishedPorts(task: AssignedTask): ServiceAssignment['ports'];
};

interface Entry {
  /** Absent once the manager has taken it away. */
  assignment: AssignedTask | undefined;
  local: LocalTask;
  preparation?: AbortController;
  /** The start under way. One that has lost its engine gives its place to the next. */
  starting?: symbol;
  /** Starts whose end the engine did not tell in time. */
  lateStarts: number;
  stopping?: AbortController;
  health?: AbortController;
  cleaning: boolean;
}

export interface WorkerOptions extends WorkerParts {
  store: TaskStore;
  sources: TaskSources;
  /** Called when something found no room on the disk of this name. */
  onNoSpace?: (disk: 'state' | 'images' | 'run') => void;
  /** Called with every new status of a task that is assigned here. */
  onStatus: (taskId: string, status: TaskStatus) => void;
  /** Called when a task is in another phase. */
  onPhase?: (taskId: string) => void;
}

/**
 * Runs the tasks of this host: feeds what is wished and what happens to `step`, and does what it says. Different tasks go
 * on side by side; for one task there is never more than one piece of work of a kind.
 * `adopt` of `adoption.ts` must have told what exists before anything is done; until then wishes are only noted.
 */
export class Worker {
  readonly options: WorkerOptions;
  readonly preparer: Preparer;
  readonly entries = new Map<string, Entry>();
  readonly anchors: Anchors;
  readonly #stop = new AbortController();
  readonly #work = new Set<Promise<void>>();
  #acting = false;

  constructor(options: WorkerOptions) {
    this.options = options;
    this.preparer = new Preparer(options);
    this.anchors = new Anchors(this.entries, options.clock);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The whole of what the manager wants here, by task id. */
  assign(tasks: ReadonlyMap<string, AssignedTask>): void {
    for (const [id, entry] of this.entries) {
      if (tasks.has(id) || entry.assignment === undefined) continue;
      entry.assignment = undefined;
      this.dispatch(id, { type: 'wished' });
    }
    for (const [id, assignment] of tasks) this.#assignOne(id, assignment);
    this.anchors.changed();
    // Only now is it known which of them are here.
    if (this.#acting) for (const id of tasks.keys()) this.#checkAnchors(id);
  }

  /** Brings back what an earlier process knew of a task. */
  restore(id: string, local: LocalTask): void {
    this.entries.set(id, { assignment: undefined, local, lateStarts: 0, cleaning: false });
    this.preparer.adopt(id, local.status.hostPorts ?? []);
  }

  /** What the world looks like is known: from now on wishes are acted upon. */
  act(): void {
    this.#acting = true;
    for (const id of this.entries.keys()) {
      this.#checkAnchors(id);
      this.dispatch(id, { type: 'wished' });
    }
  }

  /** The latest status of every task that is assigned here. */
  statuses(): Map<string, TaskStatus> {
    const assigned = [...this.entries].filter(([, entry]) => entry.assignment !== undefined);
    return new Map(assigned.map(([id, entry]) => [id, toldStatus(entry.local)]));
  }

  /** Whether new connections may go to the task: false for one of this host that does not run. */
  mayServe(id: string): boolean {
    const entry = this.entries.get(id);
    return entry === undefined || entry.local.phase.at === 'running';
  }

  /** Runs a task that has ended once more. Does nothing for any other. */
  runAgain(id: string): void {
    const entry = this.entries.get(id);
    if (!entry?.assignment || entry.local.phase.at !== 'gone' || this.signal.aborted) return;
    entry.local = again(entry.local, this.options.clock.now());
    this.options.store.putTask(id, entry.local);
    this.anchors.changed();
    this.dispatch(id, { type: 'wished' });
  }

  /** Ends all work under way, leaving containers as they are. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the agent is stopping'));
    for (const entry of this.entries.values()) this.#halt(entry);
    await Promise.allSettled(this.#work);
  }

  /** Something happened to a task. Does nothing for a task that is not known, or once stopped. */
  dispatch(id: string, event: TaskEvent): void {
    const entry = this.entries.get(id);
    if (!entry || this.signal.aborted) return;
    if (!this.#acting && event.type === 'wished') return;
    const { clock, store, onStatus } = this.options;
    const before = entry.local;
    const { task, actions } = step(before, entry.assignment?.desiredState ?? 'absent', event, clock.now());
    entry.local = task;
    if (task !== before && event.type !== 'progress') store.putTask(id, task);
    const told = toldStatus(task);
    if (told !== toldStatus(before) && entry.assignment) onStatus(id, told);
    if (task.phase.at !== before.phase.at) {
      this.options.log.debug('a task moved on', { task: id, phase: task.phase.at, state: task.status.state });
      this.#leave(entry);
      this.anchors.changed();
      this.options.onPhase?.(id);
      for (const companion of this.anchors.companionsOf(id)) this.#checkAnchors(companion);
    }
    for (const action of actions) this.#perform(id, entry, action);
  }

  /** Does `work` in the background until `stop`, which waits for it. A failure that it did not handle is logged. */
  background(what: string, work: () => Promise<void>): void {
    const done = work()
      .catch((error: unknown) => {
        if (this.signal.aborted) return;
        this.options.log.error(`${what} failed`, { error: messageOf(error) });
      })
      .finally(() => this.#work.delete(done));
    this.#work.add(done);
  }

  /** A task whose anchor is ending ends with it, before it. */
  #checkAnchors(id: string): void {
    const lost = this.anchors.lostBy(id);
    if (lost !== undefined) this.#endWithAnchor(id, lost);
  }

  #endWithAnchor(id: string, anchorId: string): void {
    this.dispatch(id, { type: 'anchorEnded', id: anchorId, name: this.anchors.nameOf(anchorId) });
  }

  #assignOne(id: string, assignment: AssignedTask): void {
    const { clock, store, onStatus } = this.options;
    const known = this.entries.get(id);
    if (known) {
      const changed = known.assignment?.desiredState !== assignment.desiredState;
      known.assignment = assignment;
      if (changed) this.dispatch(id, { type: 'wished' });
      return;
    }
    const grace = assignment.template.container.stopGracePeriodMs;
    const anchors = Object.values(assignment.anchors ?? {});
    const seen = firstSight(assignment.status, grace, clock.now());
    const local = anchors.length === 0 ? seen : { ...seen, anchors };
    this.entries.set(id, { assignment, local, lateStarts: 0, cleaning: false });
    store.putTask(id, local);
    if (local.status !== assignment.status) onStatus(id, local.status);
    if (local.phase.at === 'cleaning') this.dispatch(id, { type: 'found', container: 'missing' });
    else this.dispatch(id, { type: 'wished' });
  }

  /** Ends the work that belongs to a phase that the task has left. */
  #leave(entry: Entry): void {
    const { at } = entry.local.phase;
    if (at !== 'checking' && at !== 'running') {
      entry.health?.abort();
      delete entry.health;
    }
    if (at !== 'stopping') {
      entry.stopping?.abort(new Error('it has ended'));
      delete entry.stopping;
    }
  }

  #halt(entry: Entry): void {
    const reason = new Error('the agent is stopping');
    entry.preparation?.abort(reason);
    entry.stopping?.abort(reason);
    entry.health?.abort(reason);
  }

  #perform(id: string, entry: Entry, action: TaskAction): void {
    switch (action) {
      case 'prepare':
        return this.background('preparing', () => this.#prepare(id, entry));
      case 'cancel':
        return entry.preparation?.abort(new Error('it is not wanted any more'));
      case 'start':
        return entry.starting ? undefined : this.background('starting', () => this.#start(id, entry));
      case 'probe':
        return this.#probe(id, entry);
      case 'stop': {
        if (entry.stopping) return;
        const controller = new AbortController();
        entry.stopping = controller;
        return this.background('stopping', () => this.#stopTask(id, entry, controller.signal));
      }
      case 'clean':
        return entry.cleaning ? undefined : this.background('cleaning', () => this.#clean(id, entry));
      case 'forget':
        return this.background('forgetting', () => this.#forget(id, entry));
      default:
        return unreachable(action);
    }
  }

  async #prepare(id: string, entry: Entry): Promise<void> {
    const { assignment } = entry;
    if (!assignment) return;
    const controller = new AbortController();
    entry.preparation = controller;
    let event: TaskEvent;
    try {
      event = await this.preparer.prepare(assignment, {
        ...this.options.sources,
        taken: (task, signal) => this.anchors.ready(task, signal),
        report: (message) => this.dispatch(id, { type: 'progress', message }),
        signal: controller.signal,
      });
    } catch (error) {
      event = { type: 'failed', error: this.#failureOf(error) };
      // That an anchor has ended may show here before its end is heard of.
      if (codeOf(error) === 'namespace_gone') this.#endWithAnchor(id, String((error as ShoalError).details));
      if (!controller.signal.aborted) {
        const { code, message } = event.error;
        this.options.log.warn('a task could not be prepared', { task: id, code, error: message });
      }
    }
    delete entry.preparation;
    this.dispatch(id, event);
  }

  /** What went wrong, as the task's status says it. A full disk is called one, whoever ran into it. */
  #failureOf(error: unknown): { code: string; message: string } {
    const isFull = isNoSpace(error);
    // what we write ourselves is beside our state, and what the engine writes beside its images
    if (isFull) this.options.onNoSpace?.(error instanceof ShoalError ? 'images' : 'state');
    return { code: isFull ? 'no_space' : codeOf(error), message: messageOf(error) };
  }

  async #start(id: string, entry: Entry): Promise<void> {
    const start = Symbol('start');
    entry.starting = start;
    try {
      // A process whose record is older than it would be taken for a leftover after a restart.
      await this.options.store.settled();
      if (entry.local.phase.at !== 'starting') return this.dispatch(id, { type: 'failed', error: notWanted });
      const failure =
        (await this.#initialise(id, entry)) ??
        (await this.#startWithHooks(id, entry.local.hooks?.postStart ?? []));
      if (failure === undefined) this.dispatch(id, { type: 'started' });
      else this.dispatch(id, { type: 'failed', error: { code: 'hook_failed', message: failure } });
    } catch (error) {
      const isLate = codeOf(error) === 'deadline_exceeded';
      if (isLate) entry.lateStarts++;
      const isNotKnown = codeOf(error) === 'unavailable' || (isLate && entry.lateStarts <= lateStartsMax);
      if (isNotKnown) await this.#observeAfterLoss(id, entry, error);
      else this.dispatch(id, { type: 'failed', error: this.#failureOf(error) });
    } finally {
      if (entry.starting === start) delete entry.starting;
    }
  }

  /** Runs the task's init containers; gives what went wrong. */
  async #initialise(id: string, entry: Entry): Promise<string | undefined> {
    const steps = entry.local.hooks?.preStart ?? [];
    if (steps.length === 0) return undefined;
    const failure = await this.preparer.initContainers.run(id, {
      steps,
      onStep: (message) => this.dispatch(id, { type: 'initialising', message }),
      isWanted: () => entry.local.phase.at === 'starting',
      signal: this.signal,
    });
    if (failure === undefined) {
      this.dispatch(id, { type: 'initialised' });
      return undefined;
    }
    const said = await lastLine(id, this.options, this.signal);
    return `pre_start: ${failure.message}${said === undefined ? '' : `: ${said}`}`;
  }

  /** Starts the container and runs its hooks; gives what went wrong with those. */
  async #startWithHooks(id: string, hooks: Hook[]): Promise<string | undefined> {
    const { engine, clock } = this.options;
    // an earlier process may have come as far as the hooks
    const earlier = hooks.length === 0 ? undefined : (await engine.list()).find((one) => one.id === id);
    if (earlier?.state === 'unknown') {
      throw new ShoalError('unavailable', `Cannot start ${id}: its shim does not answer`);
    }
    const started = earlier?.state === 'running' ? undefined : await this.preparer.start(id);
    const run = { engine, containerId: id, hooks, timeoutMs: hooksMsMax, signal: this.signal };
    const failure = await runHooks({ ...run, now: () => clock.monotonic() });
    if (started && failure === undefined) await this.#untilListening(id, started.pid);
    return failure === undefined ? undefined : `post_start: ${failure}`;
  }

  /** Waits until the program listens on the ports that are published for it, when nothing else will say that it may be used. */
  async #untilListening(id: string, pid: number): Promise<void> {
    const { network, sources } = this.options;
    const entry = this.entries.get(id);
    if (!entry?.assignment || entry.local.healthcheck) return;
    const ports = portsToListenOn(sources.publishedPorts(entry.assignment), entry.local.status.hostPorts);
    const look = { look: () => network.listening(pid), isWanted: () => entry.local.phase.at === 'starting' };
    await untilListening({ ...this.options, task: id, ports, ...look, signal: this.signal });
  }

  /** The engine went away during a start: what became of it shows once the engine answers again. */
  async #observeAfterLoss(id: string, entry: Entry, cause: unknown): Promise<void> {
    this.options.log.warn('the engine went away during a start', { task: id, error: messageOf(cause) });
    try {
      await this.preparer.waitForEngine(this.signal);
      delete entry.starting;
      await this.observe(id);
    } catch (error) {
      this.dispatch(id, { type: 'failed', error: { code: codeOf(error), message: messageOf(error) } });
    }
  }

  /** Asks the engine what it has of the task now. */
  async observe(id: string): Promise<void> {
    this.found(
      id,
      (await this.options.engine.list()).find((one) => one.id === id),
    );
  }

  /** Tells the task what the engine has of it. */
  found(id: string, container: ContainerInfo | undefined): void {
    const { state = 'missing', exitCode, outOfMemory } = container ?? {};
    this.dispatch(id, {
      type: 'found',
      container: state,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(outOfMemory ? { outOfMemory, ...this.#memoryLimit(id) } : {}),
    });
  }

  /** Tells the task that its process has ended. */
  exited(exit: ContainerExit): void {
    const { clock } = this.options;
    const mayGoWithAnchor = exit.exitCode === killedExitCode && this.anchors.endsWithProcesses(exit.id);
    if (mayGoWithAnchor) clock.after(anchorEndMs, () => this.#tellExit(exit));
    else this.#tellExit(exit);
  }

  #tellExit({ id, exitCode, outOfMemory }: ContainerExit): void {
    this.dispatch(id, {
      type: 'exited',
      exitCode,
      outOfMemory,
      ...(outOfMemory ? this.#memoryLimit(id) : {}),
    });
  }

  #memoryLimit(id: string): { memoryLimitBytes?: number } {
    const limit = this.entries.get(id)?.assignment?.template.limits.memoryBytes;
    return limit === undefined ? {} : { memoryLimitBytes: limit };
  }

  #probe(id: string, entry: Entry): void {
    const { engine, clock, log } = this.options;
    const plan = entry.local.healthcheck;
    if (entry.health || !plan) return;
    const controller = new AbortController();
    entry.health = controller;
    const { status, phase } = entry.local;
    const run = {
      engine,
      clock,
      log,
      containerId: id,
      plan,
      startedAt: status.startedAt ?? status.at,
      healthy: phase.at === 'running',
      signal: controller.signal,
      onVerdict: (verdict: 'healthy' | 'unhealthy', output: string) =>
        this.dispatch(id, verdict === 'healthy' ? { type: 'healthy' } : { type: 'unhealthy', output }),
      onFailing: (words: string) => this.dispatch(id, { type: 'failing', words }),
      // the pipes of a check, and what the engine notes of it, are in the run folder
      onNotMade: (error: unknown) => {
        if (isNoSpace(error)) this.options.onNoSpace?.('run');
      },
    };
    this.background('healthchecks', () => runHealthchecks(run));
  }

  async #stopTask(id: string, entry: Entry, signal: AbortSignal): Promise<void> {
    try {
      const { options, preparer, anchors } = this;
      const graceOf = (other: string) => this.entries.get(other)?.local.stopGracePeriodMs ?? 0;
      const observe = () => this.observe(id);
      await stopProcess({
        id,
        local: entry.local,
        parts: options,
        preparer,
        anchors,
        graceOf,
        observe,
        signal,
      });
    } catch (error) {
      if (signal.aborted) return; // it has ended, as it should
      this.options.log.warn('a task could not be stopped; the next look at the engine tries again', {
        task: id,
        error: messageOf(error),
      });
      if (entry.stopping?.signal === signal) delete entry.stopping;
    }
  }

  /** Until it is done: nothing may stay behind. */
  async #clean(id: string, entry: Entry): Promise<void> {
    const { clock, random, log } = this.options;
    entry.cleaning = true;
    const cancel = clock.after(releaseWaitMs, () => this.dispatch(id, { type: 'released' }));
    try {
      // Removing it removes what could tell after a restart how it ended.
      await this.options.store.settled();
      for (let attempt = 1; !this.signal.aborted; attempt++) {
        try {
          await this.preparer.clean(id);
          break;
        } catch (error) {
          log.warn('what is left of a task could not be removed yet', {
            task: id,
            attempt,
            error: messageOf(error),
          });
          await clock.sleep(backoffMs(attempt, random), this.signal);
        }
      }
    } finally {
      cancel();
      entry.cleaning = false;
    }
    const { phase } = entry.local;
    const exited = phase.at === 'cleaning' && phase.ending.error?.code === 'exited';
    const said = exited ? await lastLine(id, this.options, this.signal) : undefined;
    this.dispatch(id, { type: 'cleaned', ...(said === undefined ? {} : { lastLine: said }) });
  }

  async #forget(id: string, entry: Entry): Promise<void> {
    await this.options.logs.remove(id);
    if (this.entries.get(id) !== entry || entry.assignment) return;
    this.entries.delete(id);
    this.anchors.changed();
    this.options.store.removeTask(id);
  }
}
