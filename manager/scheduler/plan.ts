import { moveTask, type Task } from '../../src/spec/task.ts';
import { assert, messageOf } from '../../src/util/errors.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { Balance } from './balance.ts';
import { planDependencies } from './dependencies.ts';
import {
  initialisationReason,
  initialisationTurns,
  planInitialisation,
  type InitialisationTurn,
} from './initialisation.ts';
import { explainNode, explainNodes, filtersFor, type Filters } from './filters.ts';
import { nodeUses, type NodeUse } from './node-use.ts';
import { isBetter, recentFailures, type Preferences } from './rank.ts';
import { homeNodes, planVolumes, volumeNodes } from './volumes.ts';

/** Tasks in one group of changes: a conflict about one of them plans as many again. */
const tasksPerGroup = 50;

/**
 * What the scheduler should write now: pending tasks to the nodes that suit them best, on the others the reason why they
 * wait, which services' dependencies hold, and where volumes have data.
 */
export function planSchedule(view: View, now: number): Plan {
  const { plan: met, waiting } = planDependencies(view);
  const plan: Plan = [...met, ...planInitialisation(view), ...planVolumes(view)];
  const turnOf = initialisationTurns(view);
  const changes: Change[] = [];
  const change = (task: Task | undefined) => {
    if (task !== undefined) changes.push({ kind: 'task', action: 'update', object: task });
  };
  const schedulable: Task[] = [];
  for (const task of view.tasks.values()) {
    if (!isPending(task)) continue;
    const reason = whyHeld(task, view, waiting, turnOf(task));
    if (reason === undefined) schedulable.push(task);
    else change(withMessage(task, reason));
  }
  if (schedulable.length > 0) {
    const uses = nodeUses(view);
    const groups = groupEqual(schedulable).map((tasks) =>
      placeGroup(tasks, view, uses, now, turnOf(tasks[0]!).kind === 'runs'),
    );
    // Only now is it known what the nodes hold; a reason given earlier would be another one at the next plan.
    for (const { placed, unplaced, explain } of groups) {
      placed.forEach(change);
      let anywhere: string | undefined;
      for (const task of unplaced) {
        const reason = task.nodeId === undefined ? (anywhere ??= explain()) : explain(task.nodeId);
        change(withMessage(task, reason));
      }
    }
  }
  for (let start = 0; start < changes.length; start += tasksPerGroup) {
    plan.push(changes.slice(start, start + tasksPerGroup));
  }
  return plan;
}

function isPending({ status, desiredState }: Task): boolean {
  return status.state === 'pending' && (desiredState === 'ready' || desiredState === 'running');
}

/** Why a task may not be placed anywhere yet, whatever the nodes. */
function whyHeld(
  task: Task,
  view: View,
  waiting: Map<string, string>,
  turn: InitialisationTurn,
): string | undefined {
  const service = view.services.get(task.serviceId);
  if (service === undefined) return `service ${task.serviceName} does not exist`;
  if (service.removing) return `service ${task.serviceName} is being removed`;
  const reason = service.allocationError ?? waiting.get(service.id);
  return reason ?? (turn.kind === 'waits' ? turn.reason : undefined);
}

/** Tasks of one version of a service have one template, so that they pass the same filters. Oldest first. */
function groupEqual(tasks: Task[]): Task[][] {
  const ordered = tasks.sort(
    (left, right) =>
      left.createdAt - right.createdAt || left.slot - right.slot || (left.id < right.id ? -1 : 1),
  );
  return [...Map.groupBy(ordered, (task) => `${task.serviceId} ${task.specVersion}`).values()];
}

interface PlacedGroup {
  placed: Task[];
  unplaced: Task[];
  /** Why none of the nodes would do, or why the given one would not. */
  explain: (nodeId?: string) => string;
}

/**
 * Places the tasks of one group as far as there is room, and adds them to the uses. With `initialises` only one, which runs
 * the init containers that the others wait for.
 */
function placeGroup(
  tasks: Task[],
  view: View,
  uses: Map<string, NodeUse>,
  now: number,
  initialises: boolean,
): PlacedGroup {
  const first = tasks[0];
  assert(first !== undefined, 'a group has a task');
  const { serviceId, specVersion, template } = first;
  let filters: Filters;
  let balance: Balance;
  try {
    filters = filtersFor(serviceId, template, view);
    balance = new Balance(serviceId, template.placement.spread ?? [], uses.values());
  } catch (error) {
    return { placed: [], unplaced: tasks, explain: () => messageOf(error) };
  }
  const candidates = [...uses.values()].filter((use) => filters.fixed.every((filter) => filter.fits(use)));
  const failures = recentFailures(serviceId, specVersion, view, now);
  const preferences = { serviceId, failures, volumes: volumeNodes(template, view), balance };
  const homes = homeNodes(serviceId, template, view);
  const placed: Task[] = [];
  const unplaced: Task[] = [];
  let isFull = false;
  for (const task of tasks) {
    let use: NodeUse | undefined;
    if (initialises && placed.length > 0) isFull = true;
    else if (task.nodeId !== undefined) use = nodeIfFits(uses.get(task.nodeId), filters);
    else if (!isFull) use = bestNode(candidates, filters, preferences, homes.get(task.slot));
    // Once one task found no room, its equals find none either.
    if (use === undefined && task.nodeId === undefined) isFull = true;
    if (use === undefined) {
      unplaced.push(task);
      continue;
    }
    placed.push(place(initialises ? { ...task, initialises } : task, use, now));
    balance.add(use, 1);
  }
  const explain = (nodeId?: string) => {
    if (initialises && placed[0] !== undefined) return initialisationReason(placed[0], view);
    return nodeId === undefined
      ? explainNodes(uses.values(), filters)
      : explainNode(uses.get(nodeId), filters);
  };
  return { placed, unplaced, explain };
}

function nodeIfFits(use: NodeUse | undefined, { fixed, changing }: Filters): NodeUse | undefined {
  return use !== undefined && [...fixed, ...changing].every((filter) => filter.fits(use)) ? use : undefined;
}

function bestNode(
  candidates: NodeUse[],
  filters: Filters,
  preferences: Preferences,
  home: string | undefined,
): NodeUse | undefined {
  let best: NodeUse | undefined;
  for (const use of candidates) {
    const better = best === undefined || use.node.id === home || isBetter(use, best, preferences);
    if (!better || !filters.changing.every((filter) => filter.fits(use))) continue;
    if (use.node.id === home) return use;
    best = use;
  }
  return best;
}

function place(task: Task, use: NodeUse, now: number): Task {
  use.add(task);
  const { node } = use;
  const message = `assigned to ${node.description?.hostname ?? node.id}`;
  const status = moveTask(task.status, { state: 'assigned', at: now, message }, 'scheduler');
  return { ...task, nodeId: node.id, status };
}

/** Only a message that says something new is worth a write. */
function withMessage(task: Task, message: string): Task | undefined {
  if (task.status.message === message) return undefined;
  return { ...task, status: moveTask(task.status, { ...task.status, message }, 'scheduler') };
}
