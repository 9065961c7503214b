import { receivedStatus } from '../../manager/dispatcher/statuses.ts';
import type { Change, View } from '../../manager/store/objects.ts';
import { isTerminal, moveTask, taskStates, type Task, type TaskStatus } from '../../src/spec/task.ts';
import type { Random } from '../../src/util/random.ts';

/** How the agents misbehave; probabilities are per step and task. */
export interface AgentFaults {
  crash: number;
  reject: number;
}

interface LocalTask {
  task: Task;
  status: TaskStatus;
  /** When the step under way is done (ms). */
  readyAt: number;
}

/** The longest that one step of a task takes, and that a container takes to stop. */
const stepMsMax = 600;
const stopMsMax = 2_000;
/** Clocks of hosts are this far from the manager's at most, in either direction. */
const hostClockMsMax = 3_600_000;

/** How much of what an agent has to say comes a step later. */
const lateReports = 0.2;

function isToStop({ desiredState }: Task): boolean {
  return desiredState === 'shutdown' || desiredState === 'remove';
}

/** One host's agent: it knows what it was told last and goes on with that while nobody can reach it. */
export class FakeAgent {
  readonly nodeId: string;
  /** Whether the manager and the agent hear each other. */
  connected = true;
  /** How far the host's clock is from the manager's (ms). */
  readonly #clockMs: number;
  readonly #random: Random;
  readonly #tasks = new Map<string, LocalTask>();

  constructor(nodeId: string, random: Random) {
    this.nodeId = nodeId;
    this.#random = random;
    this.#clockMs = Math.floor((random.next() - 0.5) * 2 * hostClockMsMax);
  }

  /** Tasks whose program runs on the host, whatever the manager knows of it. */
  get running(): Task[] {
    return [...this.#tasks.values()]
      .filter(({ status }) => status.state === 'starting' || status.state === 'running')
      .map(({ task }) => task);
  }

  /** The host loses power: nothing runs any more, and the agent finds that out when it starts again. */
  loseEverything(now: number): void {
    for (const local of this.#tasks.values()) {
      if (local.status.state !== 'starting' && local.status.state !== 'running') continue;
      if (local.task.anchors !== undefined) continue;
      local.status = this.#moved(local.status, 'failed', now, 'the host restarted');
    }
    this.#endCompanions(now);
  }

  /** Takes over what the manager wants; what it does not name is stopped. */
  receive(view: View, now: number): void {
    const assigned = new Map<string, Task>();
    for (const task of view.tasksOfNode(this.nodeId)) {
      const unplaced = task.status.state === 'new' || task.status.state === 'pending';
      if (!unplaced && !isTerminal(task.status.state)) assigned.set(task.id, task);
    }
    for (const id of this.#tasks.keys()) if (!assigned.has(id)) this.#tasks.delete(id);
    for (const task of assigned.values()) {
      const local = this.#tasks.get(task.id);
      if (local === undefined) {
        this.#tasks.set(task.id, { task, status: task.status, readyAt: this.#soon(now, stepMsMax) });
      } else {
        if (local.task.desiredState !== task.desiredState) local.readyAt = this.#soon(now, stopMsMax);
        local.task = task;
      }
    }
  }

  /** Time passes on the host. */
  step(now: number, faults: AgentFaults): void {
    for (const local of this.#tasks.values()) {
      const state = this.#nextState(local, now, faults);
      if (state === undefined) continue;
      local.status = this.#moved(local.status, state, now, state);
      local.readyAt = this.#soon(now, stepMsMax);
    }
    this.#endCompanions(now);
  }

  /** What the manager does not know yet; some of it is late. */
  reports(view: View, now: number): Change[] {
    const changes: Change[] = [];
    for (const [id, { status }] of this.#tasks) {
      if (this.#random.next() < lateReports) continue;
      const task = view.tasks.get(id);
      if (task === undefined || task.status.state === status.state) continue;
      const received = receivedStatus(task, status, now);
      if (received === undefined) continue;
      changes.push({ kind: 'task', action: 'update', object: { ...task, status: received } });
    }
    return changes;
  }

  #nextState(local: LocalTask, now: number, faults: AgentFaults): TaskStatus['state'] | undefined {
    const { task, status, readyAt } = local;
    if (isTerminal(status.state)) return undefined;
    const running = status.state === 'running';
    const { image } = task.template.container;
    if (running && this.#random.next() < faults.crash) return 'failed';
    if (running && image.startsWith('crash') && this.#random.next() < 0.3) return 'failed';
    if (now < readyAt) return undefined;
    if (isToStop(task)) return this.#hasCompanions(task.id) ? undefined : 'shutdown';
    if (status.state === 'preparing' && this.#anchorsOf(task).some((anchor) => anchor !== 'running')) {
      return undefined;
    }
    if (running || (status.state === 'ready' && task.desiredState === 'ready')) return undefined;
    const missing = image.startsWith('missing') || this.#random.next() < faults.reject;
    if (status.state === 'preparing' && missing) return 'rejected';
    return taskStates[taskStates.indexOf(status.state) + 1];
  }

  /** What takes something over from a task ends before it does, or at once when it has ended already. */
  #endCompanions(now: number): void {
    // As often as one may stand on another.
    for (const _ of this.#tasks) {
      let ended = false;
      for (const local of this.#tasks.values()) {
        const endedWith = isTerminal(local.status.state) ? undefined : this.#lostAnchor(local.task);
        if (endedWith === undefined) continue;
        local.status = { ...this.#moved(local.status, 'shutdown', now, 'with its anchor'), endedWith };
        ended = true;
      }
      if (!ended) return;
    }
  }

  #lostAnchor({ anchors = {} }: Task): string | undefined {
    return Object.values(anchors).find((id) => {
      const anchor = this.#tasks.get(id);
      return anchor === undefined || isTerminal(anchor.status.state) || isToStop(anchor.task);
    });
  }

  #anchorsOf({ anchors = {} }: Task): (TaskStatus['state'] | undefined)[] {
    return Object.values(anchors).map((id) => this.#tasks.get(id)?.status.state);
  }

  #hasCompanions(id: string): boolean {
    return [...this.#tasks.values()].some(
      ({ task, status }) => Object.values(task.anchors ?? {}).includes(id) && !isTerminal(status.state),
    );
  }

  #moved(status: TaskStatus, state: TaskStatus['state'], now: number, message: string): TaskStatus {
    const at = now + this.#clockMs;
    const started = state === 'running' ? { startedAt: at } : {};
    return moveTask(status, { ...status, state, at, message, ...started }, 'agent');
  }

  #soon(now: number, msMax: number): number {
    return now + Math.floor(this.#random.next() * msMax);
  }
}
