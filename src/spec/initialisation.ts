import type { Service, TaskTemplate } from './service.ts';
import { compareTaskStates, isTerminal, type Task } from './task.ts';

/** Whether the template has init containers that run once for a version of the service. */
export function initialisesOnce({ container }: TaskTemplate): boolean {
  return container.preStart?.some(({ perReplica }) => !perReplica) === true;
}

/** Whether tasks of this version may start without running those init containers. */
export function isInitialised(service: Service, specVersion: number): boolean {
  return (service.initialisedVersion ?? 0) >= specVersion;
}

/** Whether the task shows that the init containers of its version have ended well: it has run them, or is past them. */
export function showsInitialised({ template, status }: Task): boolean {
  if (!initialisesOnce(template)) return false;
  return status.initialised === true || status.state === 'running' || status.state === 'complete';
}

/** The task that runs them now, or is about to. `isGone`: its node is, so that nobody will hear of it any more. */
export function initialiserOf(
  tasks: Iterable<Task>,
  specVersion: number,
  isGone: (task: Task) => boolean,
): Task | undefined {
  return Iterator.from(tasks).find(
    (task) =>
      task.initialises === true &&
      task.specVersion === specVersion &&
      compareTaskStates(task.status.state, 'assigned') >= 0 &&
      !isTerminal(task.status.state) &&
      !isGone(task),
  );
}
