import type { JoinedContainers } from '../engine/engine.ts';
import { withImageVolumes, type TakenMounts } from '../volumes/volumes.ts';
import { taskName } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import type { AssignedTask } from '../../src/wire/session.ts';
import { Condition } from './condition.ts';
import type { LocalTask, Phase } from './step.ts';

/** The manager names only anchors that ran: they run here, or are just being taken over after a restart. */
const anchorsWaitMs = 60_000;

/** What this host knows of a task. */
interface Known {
  assignment: AssignedTask | undefined;
  local: LocalTask;
}

/** What a task takes over from others of its host. */
export interface TakenOver {
  join: JoinedContainers;
  /** Whose network it joins: its name and its files that name hosts are the task's as well. */
  network?: AssignedTask;
  mounts: TakenMounts[];
}

/** A task that takes over nothing. */
export const nothingTaken: TakenOver = { join: {}, mounts: [] };

const runningPhases: ReadonlySet<Phase['at']> = new Set(['checking', 'running']);
const endingPhases: ReadonlySet<Phase['at']> = new Set(['stopping', 'cleaning', 'gone']);

/** Which tasks of a host take something over from which, and how far those are. */
export class Anchors {
  readonly #known: ReadonlyMap<string, Known>;
  readonly #change: Condition;

  constructor(known: ReadonlyMap<string, Known>, clock: Clock) {
    this.#known = known;
    this.#change = new Condition(clock);
  }

  /** To be called whenever a task has moved on, come or gone. */
  changed(): void {
    this.#change.changed();
  }

  /** Tasks that take something over from this one. */
  companionsOf(id: string): string[] {
    return [...this.#known].filter(([, { local }]) => local.anchors?.includes(id)).map(([other]) => other);
  }

  /** An anchor that has ended, is stopping or is not here; undefined while all are as they must be. */
  lostBy(id: string): string | undefined {
    return this.#known.get(id)?.local.anchors?.find((anchor) => this.#hasEnded(anchor));
  }

  /** What a person calls the task. */
  nameOf(id: string): string {
    const assignment = this.#known.get(id)?.assignment;
    if (assignment === undefined) return 'the task';
    return assignment.slot > 0 ? taskName(assignment) : assignment.serviceName;
  }

  /** All that are here, each after its anchors. */
  inOrder(): string[] {
    const ordered = new Set<string>();
    const visited = new Set<string>();
    const visit = (id: string) => {
      const known = this.#known.get(id);
      if (known === undefined || visited.has(id)) return;
      visited.add(id);
      known.local.anchors?.forEach(visit);
      ordered.add(id);
    };
    for (const id of this.#known.keys()) visit(id);
    return [...ordered];
  }

  /** Whether the task's processes end with those of another that still runs. */
  endsWithProcesses(id: string): boolean {
    const assignment = this.#known.get(id)?.assignment;
    const { pid } = assignment?.template.sharing ?? {};
    const anchor = pid === undefined ? undefined : assignment?.anchors?.[pid];
    return anchor !== undefined && !this.#hasEnded(anchor);
  }

  /** Resolves with what the task takes over once all of its anchors run. Throws `deadline_exceeded`. */
  async ready(task: AssignedTask, signal: AbortSignal): Promise<TakenOver> {
    if (task.template.sharing === undefined) return nothingTaken;
    const ids = Object.values(task.anchors ?? {});
    const look = () => (ids.every((id) => this.#runs(id)) ? this.#takenBy(task) : undefined);
    return await this.#change.until('what it shares with', anchorsWaitMs, look, signal);
  }

  /** Resolves once nothing of the task's companions runs any more. Throws `deadline_exceeded` after `timeoutMs`. */
  async companionsEnded(id: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const look = () => {
      const phases = this.companionsOf(id).map((other) => this.#known.get(other)?.local.phase.at ?? 'gone');
      return phases.every((at) => at === 'cleaning' || at === 'gone') ? true : undefined;
    };
    await this.#change.until('the end of what shares with it', timeoutMs, look, signal);
  }

  #hasEnded(id: string): boolean {
    const phase = this.#known.get(id)?.local.phase;
    return phase === undefined || endingPhases.has(phase.at);
  }

  #runs(id: string): boolean {
    const known = this.#known.get(id);
    return known?.assignment !== undefined && runningPhases.has(known.local.phase.at);
  }

  #takenBy({ template, anchors = {} }: AssignedTask): TakenOver {
    const { network, ipc, pid, mounts = [] } = template.sharing ?? {};
    const idOf = (service: string | undefined) => (service === undefined ? undefined : anchors[service]);
    const ids = { network: idOf(network), ipc: idOf(ipc), pid: idOf(pid) };
    const owner = this.#known.get(ids.network ?? '')?.assignment;
    return {
      join: Object.fromEntries(Object.entries(ids).filter(([, id]) => id !== undefined)),
      ...(owner && { network: owner }),
      mounts: mounts.flatMap(({ service, readOnly }) => {
        const taskId = anchors[service] ?? '';
        const { assignment, local } = this.#known.get(taskId) ?? {};
        if (assignment === undefined) return [];
        const own = assignment.template.container.mounts;
        return [{ taskId, mounts: withImageVolumes(own, local?.imageVolumes ?? []), readOnly }];
      }),
    };
  }
}
