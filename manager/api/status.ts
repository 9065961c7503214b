import { GlobalNodes } from '../../src/spec/global-nodes.ts';
import type { Service } from '../../src/spec/service.ts';
import { awaitedUpdates } from '../../src/spec/following.ts';
import { isTerminal, isWanted, newestFirst, type Task } from '../../src/spec/task.ts';
import type {
  ApplicationStatus,
  ApplicationSummary,
  ServiceInfo,
  ServiceState,
  ServiceStatus,
} from '../../src/wire/api.ts';
import { damageOfNode, damageOfTask, damageReason } from '../store/damage.ts';
import type { View } from '../store/objects.ts';
import { Failures } from './failure.ts';
import { groupBySlot, isCompleted, taskInfo } from './tasks.ts';

/** How far the application is from what was asked; undefined when there is nothing of that name. `now` in ms. */
export function applicationStatus(view: View, name: string, now: number): ApplicationStatus | undefined {
  const failures = new Failures(view, now);
  const services = [...view.services.values()]
    .filter(({ spec }) => applicationOf(spec) === name)
    .sort((left, right) => (left.spec.name < right.spec.name ? -1 : 1))
    .map((service) => serviceStatus(view, service, failures));
  const networks = [...view.networks.values()].filter(({ spec }) => applicationOf(spec) === name);
  const exists = services.length > 0 || networks.length > 0;
  if (!exists) return undefined;
  return { name, revision: view.revision, now, services, networks, nodes: nodesOf(view) };
}

/** What is left of an application that is gone: what a watch of it ends with. */
export function emptyStatus(view: View, name: string, now: number): ApplicationStatus {
  return { name, revision: view.revision, now, services: [], networks: [], nodes: nodesOf(view) };
}

/** From best to worst. */
const states: readonly ServiceState[] = ['running', 'removing', 'updating', 'starting', 'failed'];

const none = { services: 0, serving: 0, updated: 0, desired: 0, state: 'running' } as const;

/** One line an application, in order of their names. `all`: also those of which no service is left, as far as they are remembered. */
export function summaries(view: View, now: number, all = false): ApplicationSummary[] {
  const byName = new Map<string, ApplicationSummary>();
  const failures = new Failures(view, now);
  for (const service of view.services.values()) {
    const name = applicationOf(service.spec);
    if (name === undefined) continue;
    const origin = view.applications.get(name)?.origin;
    const sum = byName.get(name) ?? none;
    const status = serviceStatus(view, service, failures);
    const state = stateOf(status);
    byName.set(name, {
      name,
      services: sum.services + 1,
      serving: sum.serving + status.serving,
      updated: sum.updated + status.running,
      desired: sum.desired + status.desired,
      state: states.indexOf(state) > states.indexOf(sum.state) ? state : sum.state,
      ...(origin && { origin }),
    });
  }
  for (const { id: name, origin } of all ? view.applications.values() : []) {
    if (!byName.has(name)) byName.set(name, { name, ...none, ...(origin && { origin }) });
  }
  return [...byName.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** Services with how far each is; those with a damaged spec are there too. */
export function serviceInfos(view: View, services: Iterable<Service>, now: number): ServiceInfo[] {
  const failures = new Failures(view, now);
  return Array.from(services, (service) => {
    const status = serviceStatus(view, service, failures);
    const { service: _, tasks: _tasks, ...progress } = status;
    return { ...service, progress: { ...progress, state: stateOf(status) } };
  });
}

function stateOf({ service, converged, failure }: ServiceStatus): ServiceState {
  if (failure !== undefined) return 'failed';
  if (service.removing) return 'removing';
  if (isUpdating(service)) return 'updating';
  return converged ? 'running' : 'starting';
}

function isUpdating({ stopped, updateStatus }: Service): boolean {
  if (stopped === true) return false;
  return updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started';
}

/** A damaged object may have no spec. */
function applicationOf(spec: { application?: string } | undefined): string | undefined {
  return spec?.application;
}

/** How far one service is. */
export function serviceStatus(view: View, service: Service, failures: Failures): ServiceStatus {
  const damage = damageReason(view, service);
  if (damage !== undefined) return damagedStatus(view, service, damage);
  const all = [...view.tasksOfService(service.id)].sort(newestFirst);
  const slots = groupBySlot(all);
  const desired = desiredTasks(view, service, slots);
  const done = [...slots.values()].filter((tasks) => isDone(service, tasks)).length;
  const running = service.stopped === true ? 0 : done;
  const failure = service.removing ? undefined : failures.of(service);
  const leftover = all.some((task) => isLeftover(view, service, task));
  const pending = isUpdating(service) || leftover || isToRestart(view, service);
  return {
    service,
    desired,
    running,
    serving: [...slots.values()].filter((tasks) => tasks.some(serves)).length,
    leaving: [...slots.values()].filter((tasks) => isGivenUp(view, tasks)).length,
    converged: !service.removing && failure === undefined && running === desired && !pending,
    failure,
    tasks: all.filter((task) => isWanted(task) || isNewestFailure(task, slots)).map(taskInfo),
  };
}

/** Of a service of which not enough can be told to say more. */
function damagedStatus(view: View, service: Service, failure: string): ServiceStatus {
  const tasks = [...view.tasksOfService(service.id)].filter((task) => damageOfTask(task) === undefined);
  const current = tasks.filter(isWanted);
  const running = current.filter(({ status }) => status.state === 'running').length;
  const desired = Math.max(running, new Set(current.map(({ slot, nodeId }) => slot || nodeId)).size);
  return {
    service,
    desired,
    running,
    serving: running,
    leaving: 0,
    converged: false,
    failure: service.removing ? undefined : failure,
    tasks: current.map(taskInfo),
  };
}

/** Whether it restarts as soon as a dependency is updated; a paused update may never come to its end. */
function isToRestart(view: View, service: Service): boolean {
  const awaited = awaitedUpdates(service, (name) => view.serviceByName(name));
  return awaited.some(({ updateStatus }) => updateStatus?.state.endsWith('paused') !== true);
}

function isDone(service: Service, tasks: Task[]): boolean {
  const current = tasks.filter((task) => task.specVersion === service.specVersion);
  if (current.some(isRunning)) return true;
  const newest = current[0];
  return newest !== undefined && isCompleted(newest) && newest.desiredState !== 'remove';
}

/** Whether the task does the work of its slot: it runs, or has done all that it is for. */
function serves(task: Task): boolean {
  return isRunning(task) || (isWanted(task) && isCompleted(task));
}

/** Whether nothing of the slot is wanted any more, and something of it has not ended. */
function isGivenUp(view: View, tasks: Task[]): boolean {
  if (tasks.some(isWanted)) return false;
  return tasks.some(
    ({ status, nodeId }) =>
      !isTerminal(status.state) && view.nodes.get(nodeId ?? '')?.status.state !== 'down',
  );
}

function isRunning(task: Task): boolean {
  return isWanted(task) && task.desiredState === 'running' && task.status.state === 'running';
}

function isLeftover(view: View, service: Service, task: Task): boolean {
  if (isTerminal(task.status.state) || view.nodes.get(task.nodeId ?? '')?.status.state === 'down')
    return false;
  return !isWanted(task) || task.specVersion !== service.specVersion;
}

function isNewestFailure(task: Task, slots: Map<string, Task[]>): boolean {
  const failed = task.status.state === 'failed' || task.status.state === 'rejected';
  if (!failed && !isCompleted(task)) return false;
  const key = task.slot > 0 ? String(task.slot) : (task.nodeId ?? task.id);
  return slots.get(key)?.find((other) => isTerminal(other.status.state)) === task;
}

/** How many tasks there should be: the replicas, or the nodes that a global service may use or already uses. */
function desiredTasks(view: View, service: Service, slots: Map<string, Task[]>): number {
  const { mode } = service.spec;
  if (service.removing || service.stopped === true) return 0;
  if (mode.kind === 'replicated') return mode.replicas;
  const eligible = new GlobalNodes(service.spec, (name) => view.serviceByName(name)?.spec);
  return [...view.nodes.values()].filter(
    (node) =>
      damageOfNode(node) === undefined && eligible.expects(node, slots.get(node.id)?.some(isWanted) === true),
  ).length;
}

function nodesOf(view: View): ApplicationStatus['nodes'] {
  return [...view.nodes.values()].map((node) => ({
    id: node.id,
    hostname: node.description?.hostname ?? node.id,
    state: node.status.state,
  }));
}
