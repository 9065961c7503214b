import type { Node } from '../../src/spec/node.ts';
import type { OpenPort } from '../../src/spec/port.ts';
import type { PublishedPort, Resources } from '../../src/spec/service.ts';
import { compareTaskStates, isTerminal, type Task } from '../../src/spec/task.ts';
import type { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';

/** The fixed ones of a task's host-mode ports; the agent finds free ones for the others. */
export function fixedHostPorts(ports: PublishedPort[]): OpenPort[] {
  return ports.flatMap(({ published, protocol, address }) =>
    typeof published === 'number' ? [{ published, protocol, ...(address && { address }) }] : [],
  );
}

/** What is used of one node, by the tasks in the view and by those that the plan in the making adds. */
export class NodeUse {
  readonly node: Node;
  /** Sums of the reservations of all tasks that have not ended, and of the room that is held. */
  nanoCpus = 0;
  memoryBytes = 0;
  /** Host-mode ports of all tasks that have not ended. */
  readonly hostPorts: OpenPort[] = [];
  /** Tasks that are to run: one that is on its way out no longer counts when tasks are spread. */
  tasks = 0;
  readonly #tasksByService = new Map<string, number>();
  readonly #held = new Map<string, Resources>();

  constructor(node: Node) {
    this.node = node;
  }

  tasksOf(serviceId: string): number {
    return this.#tasksByService.get(serviceId) ?? 0;
  }

  /** Whether room is held under the key. */
  holds(key: string): boolean {
    return this.#held.has(key);
  }

  /** Keeps room, if there is any, for a task that is to come here and nowhere else. */
  hold(key: string, room: Resources): void {
    const { nanoCpus = 0, memoryBytes = 0 } = room;
    const { description } = this.node;
    // What does not fit must not keep others out: among them may be those that run beside it.
    if (this.nanoCpus + nanoCpus > (description?.nanoCpus ?? 0)) return;
    if (this.memoryBytes + memoryBytes > (description?.memoryBytes ?? 0)) return;
    if (this.#held.has(key)) return;
    this.#held.set(key, room);
    this.#take(room, 1);
  }

  /** Lets the room go, for the task that it was held for. */
  release(key: string): void {
    const room = this.#held.get(key);
    if (room === undefined) return;
    this.#held.delete(key);
    this.#take(room, -1);
  }

  add(task: Task): void {
    // First what needs no template: a damaged task counts as far as it can be read.
    if (task.desiredState !== 'shutdown' && task.desiredState !== 'remove') {
      this.tasks++;
      this.#tasksByService.set(task.serviceId, this.tasksOf(task.serviceId) + 1);
    }
    this.#take(task.template.reservations, 1);
    this.hostPorts.push(...fixedHostPorts(task.template.hostPorts), ...(task.status.hostPorts ?? []));
  }

  #take({ nanoCpus = 0, memoryBytes = 0 }: Resources, sign: 1 | -1): void {
    this.nanoCpus += sign * nanoCpus;
    this.memoryBytes += sign * memoryBytes;
  }
}

/** One reason why a task may not go to a node. */
export interface Filter {
  fits(use: NodeUse): boolean;
  /** Reads well before "on 2 nodes". */
  explain: string;
  /** The figures behind it, of nodes that it keeps out. */
  detail?(uses: NodeUse[]): string;
  /** The detail is which nodes they are, and says nothing where only one is spoken of. */
  namesNodes?: true;
}

/** The use of every node, in the order of ids. Tasks count from their assignment until they have ended. */
export function nodeUses(view: View, faults: Faults): Map<string, NodeUse> {
  const nodes = [...view.nodes.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
  const uses = new Map(nodes.map((node) => [node.id, new NodeUse(node)]));
  faults.forEach('task', view.tasks.values(), (task) => {
    if (takesRoom(task)) uses.get(task.nodeId ?? '')?.add(task);
  });
  return uses;
}

/** Whether the task counts on its node: from its assignment until it has ended. */
export function takesRoom({ status: { state } }: Task): boolean {
  return !isTerminal(state) && compareTaskStates(state, 'assigned') >= 0;
}
