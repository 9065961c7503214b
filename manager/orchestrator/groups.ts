import { anchorServices } from '../../src/spec/sharing.ts';
import { isTerminal, isWanted, type Task } from '../../src/spec/task.ts';
import type { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import { isUnplaced } from './tasks.ts';

/** Services whose tasks run beside each other, slot by slot, as one pass of planning sees them. */
export class Groups {
  readonly #view: View;
  /** Names of all services of any group. */
  readonly #names = new Set<string>();
  /** Nodes of a leading service's tasks by slot; made when first asked for. */
  readonly #nodesBySlot = new Map<string, Map<number, Set<string>>>();

  constructor(view: View, faults: Faults) {
    this.#view = view;
    faults.forEach('service', view.services.values(), ({ spec }) => {
      const { with: leader } = spec.task.placement;
      if (leader === undefined) return;
      for (const name of [spec.name, leader, ...anchorServices(spec.task)]) this.#names.add(name);
    });
  }

  has(serviceName: string): boolean {
    return this.#names.has(serviceName);
  }

  /** Whether the slot that the task is placed with is on other nodes only, and so the task must follow it. */
  isApart({ template, slot, nodeId }: Task): boolean {
    const { with: leader } = template.placement;
    if (leader === undefined || slot === 0 || nodeId === undefined) return false;
    const nodes = this.#nodesOf(leader).get(slot);
    return nodes !== undefined && !nodes.has(nodeId);
  }

  #nodesOf(leader: string): Map<number, Set<string>> {
    const known = this.#nodesBySlot.get(leader);
    if (known !== undefined) return known;
    const bySlot = new Map<number, Set<string>>();
    this.#nodesBySlot.set(leader, bySlot);
    const service = this.#view.serviceByName(leader);
    if (service === undefined || service.removing) return bySlot;
    for (const task of this.#view.tasksOfService(service.id)) {
      if (!isWanted(task) || isUnplaced(task) || isTerminal(task.status.state)) continue;
      const nodes = bySlot.get(task.slot);
      if (nodes === undefined) bySlot.set(task.slot, new Set([task.nodeId ?? '']));
      else nodes.add(task.nodeId ?? '');
    }
    return bySlot;
  }
}
