import type { Node } from '../../src/spec/node.ts';
import { isTerminal, isWanted, moveTask, type Task } from '../../src/spec/task.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import { damageOfTask } from '../store/damage.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, View } from '../store/objects.ts';
import { surplusInAll, surplusInSlots } from './history.ts';
import { servicesIn, tasksIn, type Services } from './scope.ts';
import type { TimedPlan } from './services.ts';
import { inGroups, isUnplaced } from './tasks.ts';

/** A task on a node that has been down this long is declared orphaned (SwarmKit's 24 h). */
export const orphanAfterMs = 24 * 60 * 60 * 1000;

/**
 * A task that is to vanish is not waited for when its node has been down this long: the node stops it when it returns,
 * because its assignment no longer names it.
 */
export const removeFromDownNodeAfterMs = 60_000;

/**
 * A node that joined and whose agent has never opened a session since is forgotten after this long; its certificate counts
 * no more, and the host joins anew.
 */
export const forgetUnconnectedAfterMs = 60 * 60 * 1000;

/**
 * Plans what the store no longer needs: tasks told to vanish once nothing of them is left, history beyond what is kept
 * for each slot; and ends tasks that no agent can end. When it looks at all services, also what there is too much of in the
 * whole cluster, nodes that never connected, and templates without tasks. `due` is when a node will have been down long enough.
 */
export function planReaping(view: View, now: number, services?: Services): TimedPlan {
  const changes: Change[] = [];
  const due = new Map<string, number>();
  const faults = new Faults();
  const deleted = new Set<string>();
  faults.forEach('task', tasksIn(view, services), (task) => {
    const fate = fateOf(task, view, now);
    if (fate.kind === 'delete') {
      deleted.add(task.id);
      changes.push({ kind: 'task', action: 'delete', object: task });
    } else if (fate.kind === 'end') {
      changes.push({ kind: 'task', action: 'update', object: fate.task });
    } else if (fate.kind === 'wait') {
      due.set(task.serviceId, Math.min(due.get(task.serviceId) ?? Infinity, fate.untilMs));
    }
  });
  const surplus = new Set<Task>();
  faults.forEach('service', servicesIn(view, services), ({ id }) => {
    for (const task of surplusInSlots(view.tasksOfService(id), now)) surplus.add(task);
  });
  if (services === undefined) {
    const ended = faults.filter('task', view.tasks.values(), ({ status }) => isTerminal(status.state));
    for (const task of surplusInAll(ended)) surplus.add(task);
    for (const object of unconnected(view, now, faults))
      changes.push({ kind: 'node', action: 'delete', object });
  }
  for (const task of surplus) {
    if (!deleted.has(task.id)) changes.push({ kind: 'task', action: 'delete', object: task });
  }
  // Each on its own: one that is taken up again in this moment is not deleted, and keeps no other.
  const templates = services === undefined ? view.unusedTemplates() : [];
  const unused = templates.map((object): Change[] => [{ kind: 'template', action: 'delete', object }]);
  return { plan: [...inGroups(changes), ...unused], due, faults };
}

type Fate =
  | { kind: 'keep' }
  | { kind: 'delete' }
  | { kind: 'end'; task: Task }
  | { kind: 'wait'; untilMs: number };

function fateOf(task: Task, view: View, now: number): Fate {
  const vanishing = task.desiredState === 'remove';
  // No agent can be told of it, and none has anything to say: it ends there with its assignment.
  if (vanishing && damageOfTask(task) !== undefined) return { kind: 'delete' };
  if (isTerminal(task.status.state)) return vanishing ? { kind: 'delete' } : { kind: 'keep' };
  if (isUnplaced(task)) {
    if (vanishing) return { kind: 'delete' };
    return isWanted(task) ? { kind: 'keep' } : { kind: 'end', task: endedUnplaced(task, now) };
  }
  const node = view.nodes.get(task.nodeId ?? '');
  if (node === undefined) return vanishing ? { kind: 'delete' } : { kind: 'end', task: orphaned(task, now) };
  if (node.status.state !== 'down') return { kind: 'keep' };
  const { since } = node.status;
  const delayMs = vanishing ? removeFromDownNodeAfterMs : orphanAfterMs;
  if (!hasPassed(since, delayMs, now)) return { kind: 'wait', untilMs: since + delayMs };
  return vanishing ? { kind: 'delete' } : { kind: 'end', task: orphaned(task, now) };
}

function endedUnplaced(task: Task, now: number): Task {
  const next = {
    ...task.status,
    state: 'shutdown',
    at: now,
    message: 'stopped before it was placed',
  } as const;
  return { ...task, status: moveTask(task.status, next, 'manager') };
}

function orphaned(task: Task, now: number): Task {
  const next = { ...task.status, state: 'orphaned', at: now, message: 'its node is gone' } as const;
  return { ...task, status: moveTask(task.status, next, 'manager') };
}

function unconnected(view: View, now: number, faults: Faults): Node[] {
  return faults.filter(
    'node',
    view.nodes.values(),
    ({ role, status, description, createdAt }) =>
      role !== 'manager' &&
      status.state === 'unknown' &&
      description === undefined &&
      hasPassed(createdAt, forgetUnconnectedAfterMs, now),
  );
}
