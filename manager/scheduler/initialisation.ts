import {
  initialiserOf,
  initialisesOnce,
  isInitialised,
  showsInitialised,
} from '../../src/spec/initialisation.ts';
import { taskName, type Task } from '../../src/spec/task.ts';
import type { Faults } from '../store/isolate.ts';
import type { Plan, View } from '../store/objects.ts';

/** Notes on each service the latest version whose init containers have ended well, so that they never run again for it. */
export function planInitialisation(view: View, faults: Faults): Plan {
  const plan: Plan = [];
  faults.forEach('service', view.services.values(), (service) => {
    if (service.removing || !initialisesOnce(service.spec.task)) return;
    const passed = Iterator.from(view.tasksOfService(service.id)).filter(showsInitialised);
    const initialisedVersion = passed.reduce((latest, task) => Math.max(latest, task.specVersion), 0);
    if (isInitialised(service, initialisedVersion)) return;
    plan.push([{ kind: 'service', action: 'update', object: { ...service, initialisedVersion } }]);
  });
  return plan;
}

/** Whether the task waits for, or is, the one that runs the init containers of its version. */
export type InitialisationTurn = { kind: 'free' } | { kind: 'runs' } | { kind: 'waits'; reason: string };

/** Gives the turn of a pending task; looks once for all tasks of the same version. */
export function initialisationTurns(view: View): (task: Task) => InitialisationTurn {
  const known = new Map<string, InitialisationTurn>();
  return (task) => {
    const key = `${task.serviceId} ${task.specVersion}`;
    const turn = known.get(key) ?? turnOf(task, view);
    known.set(key, turn);
    return turn;
  };
}

function turnOf(task: Task, view: View): InitialisationTurn {
  const service = view.services.get(task.serviceId);
  if (service === undefined || !initialisesOnce(task.template)) return { kind: 'free' };
  if (isInitialised(service, task.specVersion)) return { kind: 'free' };
  const isGone = ({ nodeId = '' }: Task) => (view.nodes.get(nodeId)?.status.state ?? 'down') === 'down';
  const tasks = [...view.tasksOfService(service.id)];
  if (tasks.some((other) => other.specVersion === task.specVersion && showsInitialised(other))) {
    return { kind: 'free' };
  }
  const initialiser = initialiserOf(tasks, task.specVersion, isGone);
  return initialiser === undefined
    ? { kind: 'runs' }
    : { kind: 'waits', reason: initialisationReason(initialiser, view) };
}

/** Why the others wait, for a person. */
export function initialisationReason(task: Task, view: View): string {
  const hostname = view.nodes.get(task.nodeId ?? '')?.description?.hostname ?? task.nodeId;
  return `waiting for ${taskName({ ...task, nodeId: hostname })} to run pre_start`;
}
