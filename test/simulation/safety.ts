import { isDeepStrictEqual } from 'node:util';
import { volumeNames } from '../../src/spec/volume-names.ts';
import type { View } from '../../manager/store/objects.ts';
import { taskHistoryPerSlot } from '../../src/spec/defaults.ts';
import type { Service } from '../../src/spec/service.ts';
import { currentVersion, isUnderWay, versionsMax } from '../../src/spec/versions.ts';
import { anchorServices } from '../../src/spec/sharing.ts';
import { compareTaskStates, isTerminal, type DesiredTaskState, type Task } from '../../src/spec/task.ts';
import { assert } from '../../src/util/errors.ts';
import type { FakeAgent } from './agents.ts';

const desiredOrder: DesiredTaskState[] = ['ready', 'running', 'shutdown', 'remove'];

/** What must hold at every moment, whatever fails. Every check throws with what it saw. */
export class Safety {
  readonly #seen = new Map<string, Task>();
  readonly #deleted = new Set<string>();
  /** Tasks whose node was called down while they were alive: those may run beside their replacement for a while. */
  readonly #abandoned = new Set<string>();
  /** Images of versions that were seen completed, by service and version. */
  readonly #completed = new Map<string, string>();

  /** After every step. */
  check(view: View, agents: Iterable<FakeAgent>): void {
    for (const task of view.tasks.values()) this.#checkTask(task, view);
    for (const service of view.services.values()) this.#checkVersions(service);
    for (const id of this.#seen.keys()) {
      if (view.tasks.has(id)) continue;
      this.#seen.delete(id);
      this.#deleted.add(id);
    }
    checkAddresses(view);
    checkVolumes(view, agents);
    this.#checkOneAtATime(view, agents);
    for (const agent of agents) checkAnchorsRun(agent);
  }

  #checkTask(task: Task, view: View): void {
    const before = this.#seen.get(task.id);
    this.#seen.set(task.id, task);
    if (task.nodeId !== undefined && view.nodes.get(task.nodeId)?.status.state !== 'ready') {
      this.#abandoned.add(task.id);
    }
    if (before === task) return;
    const what = `task ${task.serviceName}.${task.slot} ${task.id}`;
    assert(!this.#deleted.has(task.id), `${what} stays deleted`);
    if (before?.anchors === undefined) checkAnchors(task, view);
    else
      assert(
        task.anchors === before.anchors || same(task.anchors, before.anchors),
        `${what} keeps its anchors`,
      );
    if (before === undefined) return;
    const { state } = before.status;
    assert(
      compareTaskStates(task.status.state, state) >= 0,
      `${what} went from ${state} to ${task.status.state}`,
    );
    assert(!isTerminal(state) || task.status.state === state, `${what} ended as ${state} and then moved`);
    const wished = desiredOrder.indexOf(task.desiredState) >= desiredOrder.indexOf(before.desiredState);
    assert(wished, `${what} was to be ${before.desiredState} and then ${task.desiredState}`);
    assert(before.nodeId === undefined || task.nodeId === before.nodeId, `${what} moved to another node`);
    assert(task.slot === before.slot && task.serviceId === before.serviceId, `${what} keeps its slot`);
    assert(task.template.container.image === before.template.container.image, `${what} keeps its template`);
  }

  /** Versions are numbered without gaps, and nothing is rolled back to but what was completed. */
  #checkVersions(service: Service): void {
    const { id, spec, versions, rollbackTarget, earlierTargets = [] } = service;
    const current = currentVersion(service);
    const what = `version ${current.version} of ${spec.name}`;
    assert(versions.length <= versionsMax, `${spec.name} remembers ${versions.length} versions`);
    assert(
      versions.every(({ version }, index) => version === versions[0]!.version + index),
      `${spec.name} counts its versions`,
    );
    assert(
      versions.slice(0, -1).every((version) => !isUnderWay(version)),
      `only ${what} is under way`,
    );
    if (current.state === 'completed') {
      this.#completed.set(`${id} ${current.version}`, spec.task.container.image);
    }
    for (const target of [...earlierTargets, rollbackTarget]) {
      if (target === undefined) continue;
      const image = this.#completed.get(`${id} ${target.version}`);
      assert(image === target.spec.task.container.image, `${what} may go back to what was completed`);
    }
    if (current.restores === undefined) return;
    const restored = this.#completed.get(`${id} ${current.restores}`);
    assert(restored === spec.task.container.image, `${what} is what version ${current.restores} was`);
  }

  /** Where the old task is stopped first, no two programs of a slot run at once on hosts that are not down. */
  #checkOneAtATime(view: View, agents: Iterable<FakeAgent>): void {
    const running = new Map<string, Task>();
    for (const agent of agents) {
      for (const task of agent.running) {
        const service = view.services.get(task.serviceId);
        if (service === undefined || service.spec.update.order !== 'stop-first' || task.slot === 0) continue;
        if (this.#abandoned.has(task.id)) continue;
        const key = `${task.serviceName}.${task.slot}`;
        const other = running.get(key);
        assert(other === undefined, `${key} runs twice at once: ${other?.id} and ${task.id}`);
        running.set(key, task);
      }
    }
  }
}

const same = isDeepStrictEqual;

/** A task that is placed takes over from tasks of its own slot on its own node, from one of each service that it shares with. */
function checkAnchors({ id, slot, nodeId, anchors, template, status }: Task, view: View): void {
  // One that was stopped before it was placed has ended without any.
  if (compareTaskStates(status.state, 'assigned') < 0 || isTerminal(status.state)) return;
  const services = anchorServices(template).sort();
  assert(same(Object.keys(anchors ?? {}).sort(), services), `task ${id} has an anchor of each service`);
  for (const anchorId of Object.values(anchors ?? {})) {
    const anchor = view.tasks.get(anchorId);
    assert(anchor === undefined || anchor.slot === slot, `task ${id} shares with one of its own number`);
    assert(anchor === undefined || anchor.nodeId === nodeId, `task ${id} is where ${anchorId} is`);
  }
}

/** Nothing runs on a host without what it shares with. */
function checkAnchorsRun(agent: FakeAgent): void {
  const { running } = agent;
  const ids = new Set(running.map(({ id }) => id));
  for (const { id, anchors = {} } of running) {
    for (const anchor of Object.values(anchors)) assert(ids.has(anchor), `task ${id} runs without ${anchor}`);
  }
}

/** What is wanted shares with what is wanted, and stands where the one that leads its group does. */
function checkBeside(task: Task, view: View): void {
  if (task.nodeId === undefined || isTerminal(task.status.state)) return;
  for (const id of Object.values(task.anchors ?? {})) {
    const anchor = view.tasks.get(id);
    const holds = anchor !== undefined && isWanted(anchor) && !isTerminal(anchor.status.state);
    assert(holds, `${task.serviceName}.${task.slot} ${task.id} is left with ${id}, which has ended`);
  }
  const leader = view.serviceByName(task.template.placement.with ?? '');
  const leading = [...(leader === undefined ? [] : view.tasksOfService(leader.id))].filter(
    (other) =>
      other.slot === task.slot &&
      isWanted(other) &&
      !isTerminal(other.status.state) &&
      compareTaskStates(other.status.state, 'assigned') >= 0,
  );
  const together = leading.length === 0 || leading.some(({ nodeId }) => nodeId === task.nodeId);
  assert(
    task.slot === 0 || leader?.removing === true || together,
    `${task.serviceName}.${task.slot} is apart`,
  );
}

/** Whatever runs with a volume that is on one node runs on that one, tasks of global services apart. */
function checkVolumes(view: View, agents: Iterable<FakeAgent>): void {
  const homes = new Map(view.volumes.values().map(({ spec, home }) => [spec.name, home?.nodeId]));
  const check = (task: Task, where: string) => {
    if (view.services.get(task.serviceId)?.spec.mode.kind !== 'replicated') return;
    for (const name of volumeNames(task.template)) {
      const home = homes.get(name);
      const isLost = home === undefined || !view.nodes.has(home);
      assert(
        isLost || home === task.nodeId,
        `${task.serviceName}.${task.slot} has ${name} ${where}, not on ${home}`,
      );
    }
  };
  for (const task of view.tasks.values()) {
    if (task.nodeId !== undefined && !isTerminal(task.status.state) && view.nodes.has(task.nodeId))
      check(task, `assigned to ${task.nodeId}`);
  }
  for (const { nodeId, running } of agents) for (const task of running) check(task, `running on ${nodeId}`);
}

function checkAddresses(view: View): void {
  const owners = new Map<string, string>();
  const claim = (networkId: string, address: string, owner: string) => {
    const key = `${networkId} ${address}`;
    assert(!owners.has(key), `address ${key} belongs to ${owners.get(key)} and to ${owner}`);
    owners.set(key, owner);
  };
  for (const { id, bridgeAddresses } of view.networks.values()) {
    for (const [nodeId, address] of Object.entries(bridgeAddresses)) claim(id, address, `node ${nodeId}`);
  }
  for (const { spec, endpoint } of view.services.values()) {
    for (const [networkId, address] of Object.entries(endpoint?.virtualAddresses ?? {})) {
      claim(networkId, address, spec.name);
    }
  }
  for (const { id, status, attachments } of view.tasks.values()) {
    if (isTerminal(status.state)) continue;
    for (const { networkId, address } of attachments) claim(networkId, address, `task ${id}`);
  }
}

/** What must hold when the planners have come to rest. */
export function checkAtRest(view: View): void {
  for (const service of view.services.values()) {
    const tasks = [...view.tasksOfService(service.id)];
    const current = tasks.filter(isWanted);
    if (service.removing || service.stopped === true)
      assert(current.length === 0, `${service.spec.name} is being removed or stopped, and wants tasks`);
    else if (service.spec.mode.kind === 'replicated') {
      checkSlots(service, service.spec.mode.replicas, current);
      for (const task of current) checkReachable(task, view);
    }
    for (const task of current) checkBeside(task, view);
    if (!service.removing) checkAwaited(service, tasks, view);
    checkHistory(service, tasks);
  }
  for (const task of view.tasks.values()) {
    const vanishing = task.desiredState === 'remove';
    assert(vanishing || view.services.has(task.serviceId), `task ${task.id} outlived its service`);
  }
}

/** One that is awaited is judged by `checkAwaited`: another stands in for it. */
function isWanted(task: Pick<Task, 'desiredState' | 'awaited'>): boolean {
  return (task.desiredState === 'ready' || task.desiredState === 'running') && task.awaited !== true;
}

/** What is awaited could be kept, and something else is on its way in its place, which does not run yet. */
function checkAwaited(service: Service, tasks: Task[], view: View): void {
  const awaited = tasks.filter((task) => task.awaited === true);
  for (const task of awaited) {
    const what = `${service.spec.name}.${task.slot} ${task.id}, which is awaited,`;
    const others = tasks.filter(({ slot }) => slot === task.slot);
    assert(task.desiredState === 'running' && task.status.state === 'running', `${what} runs`);
    assert(task.specVersion === service.specVersion, `${what} is of the service's version`);
    assert(view.nodes.get(task.nodeId!)?.availability !== 'drain', `${what} may stay on its node`);
    assert(others.filter((other) => other.awaited === true).length === 1, `${what} is the only one`);
    const substitutes = others.filter(isWanted);
    assert(substitutes.length > 0, `${what} has a replacement`);
    assert(!substitutes.some(({ status }) => status.state === 'running'), `${what} has none that runs`);
  }
}

/** What is wanted is never left on a node that is away; only a task that ended there by itself may stay as it ended. */
function checkReachable(task: Task, view: View): void {
  if (task.nodeId === undefined || isTerminal(task.status.state)) return;
  const state = view.nodes.get(task.nodeId)?.status.state ?? 'removed';
  assert(state === 'ready', `${task.serviceName}.${task.slot} is wanted on a node that is ${state}`);
}

function checkSlots(service: Service, replicas: number, current: Task[]): void {
  const { name, update, rollback } = service.spec;
  const slots = Map.groupBy(current, (task) => task.slot);
  assert(slots.size === replicas, `${name} has ${slots.size} of ${replicas} slots filled`);
  const policy = service.updateStatus?.state.startsWith('rollback') ? rollback : update;
  const pairs = [...slots.values()].filter((tasks) => tasks.length > 1).length;
  assert(
    [...slots.values()].every((tasks) => tasks.length <= 2),
    `${name} has more than two tasks in a slot`,
  );
  const tolerated =
    policy.failureAction === 'continue' ? replicas : Math.floor(policy.maxFailureRatio * replicas);
  const allowed = policy.parallelism === 0 ? replicas : policy.parallelism + tolerated;
  assert(pairs <= allowed, `${name} updates ${pairs} slots at a time, ${allowed} are allowed`);
  if (policy.order === 'stop-first') {
    const told = current.filter((task) => task.desiredState === 'running').length;
    assert(told <= replicas, `${name} runs ${told} tasks, ${replicas} were asked for`);
  }
}

function checkHistory(service: Service, tasks: Task[]): void {
  const finished = tasks.filter((task) => !isWanted(task) && isTerminal(task.status.state));
  for (const [place, history] of Map.groupBy(finished, (task) => task.slot || task.nodeId)) {
    const most = Math.max(taskHistoryPerSlot, ...history.map((task) => task.template.restart.maxAttempts));
    assert(history.length <= most, `${service.spec.name}.${place} keeps ${history.length} finished tasks`);
  }
}
