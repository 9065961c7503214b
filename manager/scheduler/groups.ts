import type { Resources, Service, TaskTemplate } from '../../src/spec/service.ts';
import { anchorServices } from '../../src/spec/sharing.ts';
import { anchorEndedWith, compareTaskStates, isTerminal, isWanted, type Task } from '../../src/spec/task.ts';
import type { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import { filtersFor, roomFilter } from './filters.ts';
import type { Filter, NodeUse } from './node-use.ts';
import type { VolumeHomes } from './volume-homes.ts';

/** Where a task that runs beside another is to go, and the tasks that it takes something over from; or why not yet. */
export type Berth = { nodeId: string; beside: string; anchors: Record<string, string> } | { reason: string };

/**
 * Services whose tasks run beside each other. One of each group leads: its tasks are placed so that there is room for the
 * others of their slots as well, which then go there and nowhere else. Until they do, their room is held.
 */
export class Groups {
  readonly #view: View;
  readonly #volumes: VolumeHomes;
  readonly #now: number;
  /** Those that follow, by the name of the service that leads. */
  readonly #followers = new Map<string, Service[]>();
  /** Tasks by `SERVICE_ID SLOT`, of the services of groups only; the slot of a global service is the node. */
  readonly #tasks = new Map<string, Task[]>();
  /** Tasks whose end is known by that of others that ended with them, though it has not been told yet. */
  readonly #ended = new Set<string>();

  constructor(view: View, faults: Faults, volumes: VolumeHomes, now: number) {
    this.#now = now;
    this.#view = view;
    this.#volumes = volumes;
    faults.forEach('service', view.services.values(), (service) => {
      const { with: leader } = service.spec.task.placement;
      if (leader === undefined || service.removing) return;
      const others = this.#followers.get(leader);
      if (others === undefined) this.#followers.set(leader, [service]);
      else others.push(service);
    });
    for (const [leader, followers] of this.#followers) {
      const leading = view.serviceByName(leader);
      for (const service of [...followers, ...(leading ? [leading] : [])]) {
        faults.forEach('task', view.tasksOfService(service.id), (task) => this.#sortTask(service, task));
      }
    }
  }

  /** Whether others run beside the service's tasks. */
  leads(service: Service): boolean {
    return this.#followers.has(service.spec.name);
  }

  /** Where the task goes, by the tasks of its slot that it runs beside; undefined when it runs beside nobody. */
  berthOf(task: Task): Berth | undefined {
    const { with: leader } = task.template.placement;
    const anchors = anchorServices(task.template);
    if (leader === undefined) return undefined;
    const leading = this.#view.serviceByName(leader);
    const wanted = leading !== undefined && !leading.removing && wantsSlot(leading, task.slot);
    if (anchors.length === 0 && !wanted) return undefined;
    const nodeId = task.slot === 0 ? task.nodeId : wanted ? this.#nodeOf(leading, task.slot) : undefined;
    if (nodeId === undefined) return { reason: `waiting for ${leader}.${task.slot} to be placed` };
    const found: Record<string, string> = {};
    for (const name of anchors) {
      const anchor = this.#anchorOn(nodeId, name, task);
      if (anchor === undefined) return { reason: `waiting for ${this.#nameBeside(name, task)} to run` };
      found[name] = anchor.id;
    }
    return { nodeId, beside: this.#nameBeside(leader, task), anchors: found };
  }

  /** Holds room for the tasks that are to come beside those that are placed. */
  hold(uses: ReadonlyMap<string, NodeUse>): void {
    for (const leader of this.#followers.keys()) {
      const leading = this.#view.serviceByName(leader);
      if (leading?.spec.mode.kind !== 'replicated') continue;
      for (let slot = 1; slot <= leading.spec.mode.replicas; slot++) {
        const use = uses.get(this.#nodeOf(leading, slot) ?? '');
        if (use !== undefined) this.holdBeside(leading, slot, use);
      }
    }
  }

  /** Holds room on the node for those that are to come beside a task that was placed just now. */
  holdBeside(leading: Service, slot: number, use: NodeUse): void {
    for (const service of this.#followers.get(leading.spec.name) ?? []) {
      const { reservations } = service.spec.task;
      if (!wantsSlot(service, slot) || !reserves(reservations) || this.#isThere(service, slot, use)) continue;
      use.hold(slotKey(service, slot), reservations);
    }
  }

  /** The templates of those that run beside the slot's task of the service. */
  besideOf(leading: Service, slot: number): TaskTemplate[] {
    const followers = this.#followers.get(leading.spec.name) ?? [];
    return followers.filter((one) => wantsSlot(one, slot)).map(({ spec }) => spec.task);
  }

  /** What a node must have beside what the leading task itself needs. Throws `invalid_argument` for an unreadable constraint. */
  filtersOf(leading: Service, slot: number, template: TaskTemplate): Filter[] {
    const followers = (this.#followers.get(leading.spec.name) ?? []).filter((one) => wantsSlot(one, slot));
    const filters: Filter[] = [];
    for (const { id, spec } of followers) {
      const { fixed, changing } = filtersFor(
        id,
        { ...spec.task, reservations: {} },
        this.#view,
        this.#volumes,
        this.#now,
      );
      for (const filter of [...fixed, ...changing]) {
        const service = this.#view.services.get(id)!;
        filters.push({
          explain: `${filter.explain} (for ${spec.name})`,
          fits: (use) => this.#isThere(service, slot, use) || filter.fits(use),
        });
      }
    }
    const names = followers
      .filter(({ spec }) => reserves(spec.task.reservations))
      .map(({ spec }) => spec.name);
    if (names.length === 0) return filters;
    const still = (use: NodeUse) => this.#stillToCome(followers, slot, use, template.reservations);
    const why = ` (with ${names.join(', ')})`;
    return [
      ...filters,
      roomFilter('CPU', (use) => still(use).nanoCpus, why),
      roomFilter('memory', (use) => still(use).memoryBytes, why),
    ];
  }

  /** What the leading task and those beside it still need of the node. */
  #stillToCome(followers: Service[], slot: number, use: NodeUse, own: Resources) {
    const sum = { nanoCpus: own.nanoCpus ?? 0, memoryBytes: own.memoryBytes ?? 0 };
    for (const service of followers) {
      if (this.#isThere(service, slot, use) || use.holds(slotKey(service, slot))) continue;
      sum.nanoCpus += service.spec.task.reservations.nanoCpus ?? 0;
      sum.memoryBytes += service.spec.task.reservations.memoryBytes ?? 0;
    }
    return sum;
  }

  #sortTask(service: Service, task: Task): void {
    const endedWith = anchorEndedWith(task);
    if (endedWith !== undefined) this.#ended.add(endedWith);
    if (!isPlaced(task)) return;
    const key = slotKey(service, task.slot === 0 ? (task.nodeId ?? '') : task.slot);
    const others = this.#tasks.get(key);
    if (others === undefined) this.#tasks.set(key, [task]);
    else others.push(task);
  }

  /** Whether a task of that slot, not on its way out, is on the node. */
  #isThere(service: Service, slot: number, { node }: NodeUse): boolean {
    return (this.#tasks.get(slotKey(service, slot)) ?? []).some((task) => task.nodeId === node.id);
  }

  /** The node of the slot's task: of the one that runs, and of the newest if several do. */
  #nodeOf(service: Service, slot: number): string | undefined {
    const tasks = this.#tasks.get(slotKey(service, slot)) ?? [];
    return newest(tasks.filter(isRunning))?.nodeId ?? newest(tasks)?.nodeId;
  }

  #anchorOn(nodeId: string, serviceName: string, { slot }: Task): Task | undefined {
    const service = this.#view.serviceByName(serviceName);
    if (service === undefined || service.removing) return undefined;
    const tasks = this.#tasks.get(slotKey(service, slot === 0 ? nodeId : slot)) ?? [];
    const here = tasks.filter((task) => isRunning(task) && task.nodeId === nodeId);
    return newest(here.filter(({ id }) => !this.#ended.has(id)));
  }

  #nameBeside(serviceName: string, { slot, nodeId = '' }: Task): string {
    const hostname = this.#view.nodes.get(nodeId)?.description?.hostname ?? nodeId;
    return `${serviceName}.${slot === 0 ? hostname : slot}`;
  }
}

/** The key under which room is held for the service's task of the slot. */
export function slotKey(service: { id: string }, slot: number | string): string {
  return `${service.id} ${slot}`;
}

function wantsSlot({ spec, removing, stopped }: Service, slot: number): boolean {
  if (removing || stopped === true) return false;
  return spec.mode.kind === 'global' ? slot === 0 : slot > 0 && slot <= spec.mode.replicas;
}

function reserves({ nanoCpus = 0, memoryBytes = 0 }: Resources): boolean {
  return nanoCpus > 0 || memoryBytes > 0;
}

/** Assigned, not ended, and not told to. */
function isPlaced(task: Task): boolean {
  const { nodeId } = task;
  const { state } = task.status;
  return (
    isWanted(task) && nodeId !== undefined && compareTaskStates(state, 'assigned') >= 0 && !isTerminal(state)
  );
}

function isRunning({ status, desiredState, awaited }: Task): boolean {
  return awaited !== true && desiredState === 'running' && status.state === 'running';
}

function newest(tasks: Task[]): Task | undefined {
  return tasks.reduce<Task | undefined>(
    (best, task) => (best === undefined || task.createdAt > best.createdAt ? task : best),
    undefined,
  );
}
