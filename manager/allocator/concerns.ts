import type { View, ViewChange } from '../store/objects.ts';
import { isNew } from './tasks.ts';

/** Tells which changes can give the allocator anything to do: most are of tasks that have their addresses. */
export class AllocatorConcerns {
  /** Tasks that wait for addresses. */
  readonly #new = new Set<string>();
  /** Services and networks that could not get what they want: what another one gives back may help. */
  readonly #failed = new Set<string>();

  constructor(view: View) {
    for (const task of view.tasks.values()) if (isNew(task)) this.#new.add(task.id);
    for (const { id, allocationError } of [...view.services.values(), ...view.networks.values()]) {
      if (allocationError !== undefined) this.#failed.add(id);
    }
  }

  /** Whether a pass may find something; must be asked of every change. */
  concern({ kinds, objects }: ViewChange): boolean {
    for (const change of objects) {
      if (change.kind === 'task') {
        if (change.after !== undefined && isNew(change.after)) this.#new.add(change.id);
        else this.#new.delete(change.id);
      } else if (change.kind === 'service' || change.kind === 'network') {
        if (change.after?.allocationError !== undefined) this.#failed.add(change.id);
        else this.#failed.delete(change.id);
      }
    }
    if (kinds.has('cluster') || kinds.has('node') || kinds.has('network') || kinds.has('service'))
      return true;
    return kinds.has('task') && this.#new.size + this.#failed.size > 0;
  }
}
