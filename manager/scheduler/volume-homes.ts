import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import { hasHome, isUnderWay, type Volume, type VolumeHome } from '../../src/spec/resource.ts';
import type { TaskTemplate } from '../../src/spec/service.ts';
import { isTerminal, isWanted, taskName, type Task } from '../../src/spec/task.ts';
import { volumeNames } from '../../src/spec/volume-names.ts';
import { damageOfVolume, damageWords } from '../store/damage.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import type { Filter, NodeUse } from './node-use.ts';

/** Tasks that are written in one group with what they change of volumes; more wait for the next plan. */
const tasksPerVolumeGroup = 500;

/** A volume that is on one node, with that node. */
type Settled = Volume & { home: VolumeHome };

/**
 * On which node each volume is, as the view says and as the plan in the making adds to it. The first task settles it; later
 * ones go there, and nowhere else. Tasks of global services have the copy of the node that they are on.
 */
export class VolumeHomes {
  readonly #view: View;
  #byName: Map<string, Volume> | undefined;
  /** Names of the volumes that the plan changes. */
  readonly #changed = new Set<string>();
  /** What placed tasks rely on, by their ids: names of volumes. */
  readonly #names = new Map<string, string[]>();
  /** Tasks of each service that are about to end, by slot. */
  readonly #leaving = new Map<string, Map<number, Task[]>>();

  constructor(view: View) {
    this.#view = view;
  }

  /** Lets a task of the template go only to the node where its volumes are. */
  filtersOf(serviceId: string, template: TaskTemplate): Filter[] {
    if (this.#isGlobal(serviceId)) return [];
    return volumeNames(template).map((name) => ({
      explain: `volume ${name} on another node`,
      // Looked up each time: the plan may have settled it meanwhile.
      fits: ({ node }) => (this.#homeOf(name)?.nodeId ?? node.id) === node.id,
    }));
  }

  /** Why the task may not be placed yet, whatever room the nodes have. */
  whyHeld(task: Task): string | undefined {
    const names = volumeNames(task.template);
    if (names.length === 0) return undefined;
    for (const name of names) {
      const volume = this.#find(name);
      if (volume === undefined) return `volume ${name} does not exist`;
      const damage = damageOfVolume(volume);
      if (damage !== undefined) return damageWords(`volume ${name}: ${damage}`);
      if (volume.held) return whyVolumeHeld(volume);
    }
    if (this.#isGlobal(task.serviceId)) return undefined;
    const settled = this.#settled(names);
    if (new Set(settled.map(({ home }) => home.nodeId)).size > 1) {
      const where = settled.map(({ spec, home }) => `${spec.name} is on ${this.#nameOf(home)}`);
      return `its volumes are on several nodes: ${where.join(', ')}`;
    }
    return settled[0] === undefined ? undefined : this.#whyNotYet(task, settled[0]);
  }

  /** A task that was taken for lost still writes to the data: its replacement must not begin beside it. */
  #whyNotYet(task: Task, { spec, home }: Settled): string | undefined {
    if (task.desiredState !== 'running' || this.#view.nodes.get(home.nodeId)?.status?.state !== 'ready')
      return undefined;
    const others = this.#leavingOf(task.serviceId).get(task.slot) ?? [];
    const other = others.find(({ nodeId }) => nodeId === home.nodeId);
    if (other === undefined) return undefined;
    return `waiting for another ${taskName(other)} to end on ${this.#nameOf(home)}, where volume ${spec.name} is`;
  }

  /** Why the task cannot go where its volumes are; undefined when they are nowhere yet. */
  explain(
    task: Task,
    uses: ReadonlyMap<string, NodeUse>,
    failed: (use: NodeUse) => string | undefined,
  ): string | undefined {
    if (this.#isGlobal(task.serviceId)) return undefined;
    const [volume] = this.#settled(volumeNames(task.template));
    if (volume === undefined) return undefined;
    const { spec, home } = volume;
    const use = uses.get(home.nodeId);
    if (use === undefined)
      return `volume ${spec.name} was on ${home.hostname}, which has been removed: restore a backup, or see \`shoal volume use\``;
    const name = nodeName(use.node);
    const reason = failed(use);
    switch (reason) {
      case undefined:
        return undefined;
      case 'drained':
      case 'paused': {
        const other = otherNode(use, uses);
        const orMove = other === undefined ? '' : `, or \`shoal volume move ${spec.name} ${other}\``;
        return `volume ${spec.name} is on ${name}, which is ${reason}: activate ${name}${orMove}`;
      }
      case 'not ready':
        return `volume ${spec.name} is on ${name}, which is not ready`;
      default:
        return `volume ${spec.name} is on ${name}: ${reason}`;
    }
  }

  /** The ids of the task's volumes, by name: its host has copies of what was called so before, too. */
  idsOf(task: Task): Record<string, string> | undefined {
    const known = volumeNames(task.template).flatMap((name) => {
      const volume = this.#find(name);
      return volume === undefined ? [] : [[name, volume.id] as const];
    });
    return known.length === 0 ? undefined : Object.fromEntries(known);
  }

  /**
   * Notes that the task was placed on the node. Volumes that are nowhere yet are there from now on: its own, and those of the
   * templates, of tasks that are to come beside it.
   */
  settle(task: Task, node: Node, beside: TaskTemplate[] = []): void {
    const own = volumeNames(task.template);
    const names = new Set([...own, ...beside.flatMap(volumeNames)]);
    if (names.size === 0) return;
    const home = this.#isGlobal(task.serviceId) ? undefined : { nodeId: node.id, hostname: nodeName(node) };
    for (const name of names) {
      const volume = this.#find(name);
      if (volume === undefined || damageOfVolume(volume) !== undefined) continue;
      const settles = home !== undefined && volume.home === undefined && hasHome(volume.spec);
      const isNew = own.includes(name) && volume.nodeIds?.includes(node.id) !== true;
      if (!settles && !isNew) continue;
      const known = (volume.nodeIds ?? []).filter((nodeId) => this.#view.nodes.has(nodeId));
      const nodeIds = isNew ? [...known, node.id] : known;
      this.#index().set(name, { ...volume, nodeIds, ...(settles ? { home } : {}) });
      this.#changed.add(name);
    }
    this.#names.set(task.id, [...names]);
  }

  /**
   * Tells the placed tasks that rely on volumes from the others. Each of the former is written together with what it changes
   * of volumes, and only while those are as they were read.
   */
  groupsOf(placed: Task[]): { plan: Plan; others: Task[] } {
    const plan: Plan = [];
    const others: Task[] = [];
    const groups = new Map<string, { tasks: Task[]; names: Set<string> }>();
    for (const task of placed) {
      const names = this.#names.get(task.id);
      if (names === undefined) {
        others.push(task);
        continue;
      }
      const changed = names.filter((name) => this.#changed.has(name));
      if (changed.length === 0) plan.push(this.#groupOf([task], names));
      else join(groups, changed, task, names);
    }
    for (const { tasks, names } of new Set(groups.values())) {
      plan.push(this.#groupOf(tasks.slice(0, tasksPerVolumeGroup), names));
    }
    return { plan, others };
  }

  #groupOf(tasks: Task[], names: Iterable<string>): Change[] {
    const group = tasks.map((object): Change => ({ kind: 'task', action: 'update', object }));
    for (const name of names) {
      const object = this.#find(name);
      const action = this.#changed.has(name) ? 'update' : 'check';
      if (object !== undefined) group.push({ kind: 'volume', action, object });
    }
    return group;
  }

  #isGlobal(serviceId: string): boolean {
    return this.#view.services.get(serviceId)?.spec.mode.kind === 'global';
  }

  #homeOf(name: string): VolumeHome | undefined {
    return this.#find(name)?.home;
  }

  #nameOf({ nodeId, hostname }: VolumeHome): string {
    const node = this.#view.nodes.get(nodeId);
    return node === undefined ? hostname : nodeName(node);
  }

  #settled(names: string[]): Settled[] {
    return names.flatMap((name) => {
      const volume = this.#find(name);
      return volume?.home === undefined ? [] : [{ ...volume, home: volume.home }];
    });
  }

  #leavingOf(serviceId: string): Map<number, Task[]> {
    const known = this.#leaving.get(serviceId);
    if (known !== undefined) return known;
    const leaving = [...this.#view.tasksOfService(serviceId)].filter(
      (task) => !isWanted(task) && !isTerminal(task.status.state),
    );
    const bySlot = Map.groupBy(leaving, ({ slot }) => slot);
    this.#leaving.set(serviceId, bySlot);
    return bySlot;
  }

  #find(name: string): Volume | undefined {
    return this.#index().get(name);
  }

  #index(): Map<string, Volume> {
    this.#byName ??= new Map(this.#view.volumes.values().map((volume) => [volume.spec?.name, volume]));
    return this.#byName;
  }
}

function whyVolumeHeld({ spec, move }: Volume): string {
  if (!isUnderWay(move)) return `volume ${spec.name} is about to be on another node`;
  const { what, from, to } = move;
  return `volume ${spec.name} is being ${what === 'copy' ? 'copied' : 'moved'} from ${from.hostname} to ${to.hostname}`;
}

/** A node to which a volume could be moved, for words: the first by name that takes tasks. */
function otherNode(home: NodeUse, uses: ReadonlyMap<string, NodeUse>): string | undefined {
  const others = [...uses.values()].filter(
    ({ node }) => node !== home.node && node.status.state === 'ready' && node.availability === 'active',
  );
  return others.map(({ node }) => nodeName(node)).sort()[0];
}

/** Puts the task in one group with all that change one of the same volumes. */
function join(
  groups: Map<string, { tasks: Task[]; names: Set<string> }>,
  changed: string[],
  task: Task,
  names: string[],
): void {
  const joined = new Set(changed.flatMap((name) => groups.get(name) ?? []));
  const [group = { tasks: [], names: new Set<string>() }, ...more] = joined;
  group.tasks.push(...more.flatMap(({ tasks }) => tasks), task);
  for (const name of [...names, ...more.flatMap((other) => [...other.names])]) {
    group.names.add(name);
    groups.set(name, group);
  }
}
