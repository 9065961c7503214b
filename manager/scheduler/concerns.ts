import { initialisesOnce } from '../../src/spec/initialisation.ts';
import type { Service } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { View, ViewChange } from '../store/objects.ts';
import { isPending } from './plan.ts';

/** Tells which changes can give the scheduler anything to do: most are of tasks that run, and concern it not at all. */
export class SchedulerConcerns {
  /** Tasks that are still to be placed. */
  readonly #pending = new Set<string>();
  /** Services that wait for others. */
  readonly #waiting = new Set<string>();

  constructor(view: View) {
    for (const task of view.tasks.values()) if (isPending(task)) this.#pending.add(task.id);
    for (const service of view.services.values()) if (waits(service)) this.#waiting.add(service.id);
  }

  /** Whether a pass may find something; must be asked of every change. */
  concern({ kinds, objects }: ViewChange): boolean {
    let concerns = kinds.has('node') || kinds.has('network') || kinds.has('service') || kinds.has('volume');
    for (const change of objects) {
      if (change.kind === 'service') {
        if (change.after !== undefined && waits(change.after)) this.#waiting.add(change.id);
        else this.#waiting.delete(change.id);
      } else if (change.kind === 'task') {
        if (change.after !== undefined && isPending(change.after)) this.#pending.add(change.id);
        else this.#pending.delete(change.id);
        concerns ||= leavesNotes(change.after);
      }
    }
    // Any task that runs, or ends, may be what another one or another service waits for.
    return concerns || (kinds.has('task') && this.#pending.size + this.#waiting.size > 0);
  }
}

function waits({ dependenciesMet, removing }: Service): boolean {
  return !dependenciesMet && !removing;
}

/** Whether its init containers are noted on the service. */
function leavesNotes(after: Task | undefined): boolean {
  if (after === undefined) return false;
  return initialisesOnce(after.template);
}
