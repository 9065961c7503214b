import type { Service } from '../../src/spec/service.ts';
import { moveTask, taskName, type Task } from '../../src/spec/task.ts';
import { assert, codeOf, messageOf } from '../../src/util/errors.ts';
import { damageOfNode, damageOfTask, damageWords } from '../store/damage.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { Balance } from './balance.ts';
import { planDependencies } from './dependencies.ts';
import {
  initialisationReason,
  initialisationTurns,
  planInitialisation,
  type InitialisationTurn,
} from './initialisation.ts';
import { detailOf, explainNode, explainNodes, filtersFor, firstFailed, type Filters } from './filters.ts';
import { Groups, slotKey, type Berth } from './groups.ts';
import { nodeUses, type NodeUse } from './node-use.ts';
import { isBetter, leavingTasks, recentFailures, type Preferences } from './rank.ts';
import { VolumeHomes } from './volume-homes.ts';
import { homeNodes, volumeNodes } from './volumes.ts';

/** Tasks in one group of changes: a conflict about one of them plans as many again. */
const tasksPerGroup = 50;

/**
 * What the scheduler should write now: pending tasks to the nodes that suit them best, on the others the reason why they
 * wait, which services' dependencies hold, and on which node volumes are.
 */
export function planSchedule(view: View, now: number, faults = new Faults()): Plan {
  const { plan: met, waiting } = planDependencies(view, faults);
  const plan: Plan = [...met, ...planInitialisation(view, faults)];
  const volumes = new VolumeHomes(view);
  const turnOf = initialisationTurns(view);
  const changes: Change[] = [];
  const all: Task[] = [];
  const change = (task: Task | undefined) => {
    if (task !== undefined) changes.push({ kind: 'task', action: 'update', object: task });
  };
  const schedulable: Task[] = [];
  faults.forEach('task', view.tasks.values(), (task) => {
    if (!isPending(task)) return;
    const reason = whyHeld(task, view, waiting, turnOf) ?? volumes.whyHeld(task);
    if (reason === undefined) schedulable.push(task);
    else change(withMessage(task, reason));
  });
  if (schedulable.length > 0) {
    const uses = nodeUses(view, faults);
    const groups = new Groups(view, faults, volumes, now);
    groups.hold(uses);
    const placing: Placing = { view, uses, groups, volumes, now };
    const results = groupEqual(schedulable).map((tasks) => {
      const { serviceId } = tasks[0]!;
      const placed = faults.isolated('service', serviceId, () =>
        turnOf(tasks[0]!).kind === 'runs' ? placeInitialiser(tasks, placing) : placeEqual(tasks, placing),
      );
      return placed ?? leftAlone(tasks, faults);
    });
    // Only now is it known what the nodes hold; a reason given earlier would be another one at the next plan.
    for (const { placed, unplaced, explain } of results) {
      all.push(...placed);
      faults.forEach('task', unplaced, (task) => change(withMessage(task, explain(task))));
    }
  }
  const { plan: together, others } = volumes.groupsOf(all);
  plan.push(...together);
  others.forEach(change);
  for (let start = 0; start < changes.length; start += tasksPerGroup) {
    plan.push(changes.slice(start, start + tasksPerGroup));
  }
  return plan;
}

export function isPending({ status, desiredState }: Task): boolean {
  return status.state === 'pending' && (desiredState === 'ready' || desiredState === 'running');
}

/** Why a task may not be placed anywhere yet, whatever the nodes. */
function whyHeld(
  task: Task,
  view: View,
  waiting: Map<string, string>,
  turnOf: (task: Task) => InitialisationTurn,
): string | undefined {
  const service = view.services.get(task.serviceId);
  if (service === undefined) return `service ${task.serviceName} does not exist`;
  if (service.removing) return `service ${task.serviceName} is being removed`;
  const damage = damageOfTask(task);
  if (damage !== undefined) return damageWords(`task ${taskName(task)}: ${damage}`);
  const reason = service.damage ?? service.allocationError ?? waiting.get(service.id);
  if (reason !== undefined) return reason;
  const turn = turnOf(task);
  return turn.kind === 'waits' ? turn.reason : undefined;
}

/** Nothing could be worked out for them, and each says why. */
function leftAlone(tasks: Task[], faults: Faults): PlacedTasks {
  const error = faults.of('service', tasks[0]!.serviceId)?.error;
  return { placed: [], unplaced: tasks, explain: () => damageWords(messageOf(error)) };
}

/** Tasks of one version of a service have one template, so that they pass the same filters. Oldest first. */
function groupEqual(tasks: Task[]): Task[][] {
  const ordered = tasks.sort(
    (left, right) =>
      left.createdAt - right.createdAt || left.slot - right.slot || (left.id < right.id ? -1 : 1),
  );
  return [...Map.groupBy(ordered, (task) => `${task.serviceId} ${task.specVersion}`).values()];
}

/** What one plan places tasks by, and what changes with every task placed. */
interface Placing {
  view: View;
  uses: Map<string, NodeUse>;
  groups: Groups;
  volumes: VolumeHomes;
  now: number;
}

interface PlacedTasks {
  placed: Task[];
  unplaced: Task[];
  /** Why one of the unplaced could not go anywhere, or not where it must. */
  explain: (task: Task) => string;
}

/** Places only one of the tasks: the one that runs the init containers that the others wait for. */
function placeInitialiser(tasks: Task[], placing: Placing): PlacedTasks {
  for (const task of tasks) {
    const [initialiser] = placeEqual([task], placing).placed;
    if (initialiser === undefined) continue;
    return {
      placed: [{ ...initialiser, initialises: true }],
      unplaced: tasks.filter((other) => other !== task),
      explain: () => initialisationReason(initialiser, placing.view),
    };
  }
  return placeEqual(tasks, placing); // none can be placed, and each says why
}

/** Places tasks of one template as far as there is room, and adds them to the uses. */
function placeEqual(tasks: Task[], placing: Placing): PlacedTasks {
  const first = tasks[0];
  assert(first !== undefined, 'a group has a task');
  const { serviceId, template } = first;
  const { view, groups, volumes } = placing;
  try {
    const filters = filtersFor(serviceId, template, view, volumes, placing.now);
    if (template.placement.with !== undefined) return placeBeside(tasks, filters, placing);
    const service = view.services.get(serviceId)!;
    return groups.leads(service)
      ? placeLeading(service, tasks, filters, placing)
      : placeAnywhere(tasks, filters, placing);
  } catch (error) {
    if (codeOf(error) !== 'invalid_argument') throw error;
    return { placed: [], unplaced: tasks, explain: () => messageOf(error) };
  }
}

function placeAnywhere(tasks: Task[], filters: Filters, placing: Placing): PlacedTasks {
  const { view, uses, now } = placing;
  const candidates = [...uses.values()].filter((use) => filters.fixed.every((filter) => filter.fits(use)));
  const preferences = preferencesFor(tasks[0]!, view, uses, now);
  const homes = homeNodes(tasks[0]!, view);
  const placed: Task[] = [];
  const unplaced: Task[] = [];
  let isFull = false;
  for (const task of tasks) {
    let use: NodeUse | undefined;
    if (task.nodeId !== undefined) use = nodeIfFits(uses.get(task.nodeId), filters);
    else if (!isFull) use = bestNode(candidates, filters, preferences, homes.get(task.slot));
    // Once one task found no room, its equals find none either.
    if (use === undefined && task.nodeId === undefined) isFull = true;
    if (use === undefined) {
      unplaced.push(task);
      continue;
    }
    placed.push(place(task, use, placing));
    preferences.balance.add(use, 1);
  }
  let anywhere: string | undefined;
  const explain = (task: Task) =>
    task.nodeId === undefined
      ? (anywhere ??= explainAnywhere(task, filters, placing))
      : explainNode(uses.get(task.nodeId), filters);
  return { placed, unplaced, explain };
}

/** Tasks that others run beside: each needs a node with room for those of its slot as well. */
function placeLeading(service: Service, tasks: Task[], filters: Filters, placing: Placing): PlacedTasks {
  const { view, uses, groups, volumes, now } = placing;
  const preferences = preferencesFor(tasks[0]!, view, uses, now);
  const homes = homeNodes(tasks[0]!, view, true);
  const filtersOf = (task: Task): Filters => {
    if (task.slot === 0) return filters;
    const more = groups.filtersOf(service, task.slot, task.template);
    return { fixed: filters.fixed, changing: [...filters.changing, ...more] };
  };
  const placed: Task[] = [];
  const unplaced: Task[] = [];
  for (const task of tasks) {
    const own = filtersOf(task);
    const candidates = [...uses.values()].filter((use) => own.fixed.every((filter) => filter.fits(use)));
    const use =
      task.nodeId === undefined
        ? bestNode(candidates, own, preferences, homes.get(task.slot))
        : nodeIfFits(uses.get(task.nodeId), own);
    if (use === undefined) unplaced.push(task);
    else {
      const leading = place(task, use, placing);
      volumes.settle(leading, use.node, groups.besideOf(service, task.slot));
      placed.push(leading);
      preferences.balance.add(use, 1);
      groups.holdBeside(service, task.slot, use);
    }
  }
  const explain = (task: Task) =>
    task.nodeId === undefined
      ? explainAnywhere(task, filtersOf(task), placing)
      : explainNode(uses.get(task.nodeId), filtersOf(task));
  return { placed, unplaced, explain };
}

/** Tasks that run beside others: each goes where the one of its slot is. Those that do not yet have one may go anywhere. */
function placeBeside(tasks: Task[], filters: Filters, placing: Placing): PlacedTasks {
  const { uses, groups } = placing;
  const berths = new Map(tasks.map((task) => [task, groups.berthOf(task)]));
  const alone = placeFree(tasks, berths, filters, placing);
  const placed = [...alone.placed];
  const unplaced = [...alone.unplaced];
  for (const [task, berth] of berths) {
    if (berth === undefined) continue;
    const use = 'nodeId' in berth ? uses.get(berth.nodeId) : undefined;
    if (use === undefined || !('nodeId' in berth)) {
      unplaced.push(task);
      continue;
    }
    const key = slotKey({ id: task.serviceId }, task.slot);
    const held = use.holds(key);
    use.release(key);
    if (nodeIfFits(use, filters) === undefined) {
      if (held) use.hold(key, task.template.reservations);
      unplaced.push(task);
    } else {
      const anchors = Object.keys(berth.anchors).length === 0 ? {} : { anchors: berth.anchors };
      placed.push(place({ ...task, ...anchors }, use, placing));
    }
  }
  const explain = (task: Task) => {
    const berth = berths.get(task);
    if (berth === undefined) return alone.explain(task);
    if ('reason' in berth) return berth.reason;
    return explainBeside(task, berth, filters, uses.get(berth.nodeId));
  };
  return { placed, unplaced, explain };
}

function placeFree(
  tasks: Task[],
  berths: ReadonlyMap<Task, Berth | undefined>,
  filters: Filters,
  placing: Placing,
): PlacedTasks {
  const free = tasks.filter((task) => berths.get(task) === undefined);
  if (free.length === 0) return { placed: [], unplaced: [], explain: () => '' };
  return placeAnywhere(free, filters, placing);
}

/** `must run with app_db.1 on host-2: insufficient memory` */
function explainBeside(
  task: Task,
  { beside }: { beside: string },
  filters: Filters,
  use: NodeUse | undefined,
): string {
  if (use === undefined) return `must run with ${beside}, whose node is gone`;
  const key = slotKey({ id: task.serviceId }, task.slot);
  const held = use.holds(key);
  use.release(key);
  const failed = [...filters.fixed, ...filters.changing].find((filter) => !filter.fits(use));
  const why = failed === undefined ? '' : `: ${failed.explain}${detailOf(failed, [use])}`;
  if (held) use.hold(key, task.template.reservations);
  return `must run with ${beside} on ${use.node.description?.hostname ?? use.node.id}${why}`;
}

function preferencesFor(
  { serviceId, specVersion, template }: Task,
  view: View,
  uses: Map<string, NodeUse>,
  now: number,
): Preferences {
  const failures = recentFailures(serviceId, specVersion, view, now);
  const leaving = leavingTasks(serviceId, view);
  const spread = template.placement.spread ?? [];
  const balance = new Balance(serviceId, spread, uses.values().filter(isSound), leaving);
  return { serviceId, failures, volumes: volumeNodes(template, view), balance, leaving };
}

function isSound({ node }: NodeUse): boolean {
  return damageOfNode(node) === undefined;
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

/** Why no node will do: where its volumes are comes before what the others lack. */
function explainAnywhere(task: Task, filters: Filters, { uses, volumes }: Placing): string {
  const reason = volumes.explain(task, uses, (use) => firstFailed(use, filters));
  return reason ?? explainNodes(uses.values(), filters);
}

function place(task: Task, use: NodeUse, { volumes, now }: Placing): Task {
  use.add(task);
  const { node } = use;
  const message = `assigned to ${node.description?.hostname ?? node.id}`;
  const status = moveTask(task.status, { state: 'assigned', at: now, message }, 'scheduler');
  const volumeIds = volumes.idsOf(task);
  const placed = { ...task, nodeId: node.id, status, ...(volumeIds && { volumeIds }) };
  volumes.settle(placed, node);
  return placed;
}

/** Only a message that says something new is worth a write. */
function withMessage(task: Task, message: string): Task | undefined {
  if (task.status.message === message) return undefined;
  return { ...task, status: moveTask(task.status, { ...task.status, message }, 'scheduler') };
}
