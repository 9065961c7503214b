import { moveTask, taskName, type NetworkAttachment, type Task } from '../../src/spec/task.ts';
import { assert, messageOf } from '../../src/util/errors.ts';
import { damageOfTask, damageWords } from '../store/damage.ts';
import type { Faults } from '../store/isolate.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { addressesInUse, type NetworkAddresses } from './addresses.ts';
import { byAge, once, serveInTurn, type Cursors } from './range.ts';
import { whyNoNetwork } from './services.ts';

/** Tasks in one group: a conflict about one of them plans as many again. */
const tasksPerGroup = 50;

/** Takes new tasks to `pending` with their addresses, or says on them what they wait for. Moves the cursors. */
export function planTasks(view: View, now: number, cursors: Cursors, faults: Faults): Plan {
  const todo = faults.filter('task', view.tasks.values(), isNew);
  if (todo.length === 0) return [];
  const addresses = once(() => addressesInUse(view, cursors, faults));
  const changes: Change[] = [];
  const serve = (task: Task) =>
    faults.isolated('task', task.id, () => allocateTask(task, view, now, addresses)) ??
    leftAlone(task, faults);
  for (const { result } of serveInTurn(todo.sort(byAge), serve)) {
    if (result.task !== undefined) changes.push({ kind: 'task', action: 'update', object: result.task });
  }
  const groups: Plan = [];
  for (let start = 0; start < changes.length; start += tasksPerGroup) {
    groups.push(changes.slice(start, start + tasksPerGroup));
  }
  return groups;
}

export function isNew({ status, desiredState }: Task): boolean {
  return status.state === 'new' && (desiredState === 'ready' || desiredState === 'running');
}

interface Allocated {
  /** It stays new. */
  failed: boolean;
  /** The changed task, if anything changes. */
  task: Task | undefined;
}

/** It stays as it is, but for what could not be worked with. */
function leftAlone(task: Task, faults: Faults): Allocated {
  const { id } = task;
  const message = damageWords(`task ${taskName(task)}: ${messageOf(faults.of('task', id)?.error)}`);
  return { failed: true, task: faults.isolated('task', id, () => withMessage(task, message)) };
}

function allocateTask(
  task: Task,
  view: View,
  now: number,
  addresses: () => Map<string, NetworkAddresses>,
): Allocated {
  const reason = whyHeld(task, view) ?? whyNoAddress(task, view, addresses);
  if (reason !== undefined) return { failed: true, task: withMessage(task, reason) };
  const attachments = attachmentsOf(task, view, addresses);
  const next = { state: 'pending', at: now, message: 'waiting for a node' } as const;
  return { failed: false, task: { ...task, attachments, status: moveTask(task.status, next, 'allocator') } };
}

function whyHeld(task: Task, view: View): string | undefined {
  const service = view.services.get(task.serviceId);
  if (service === undefined) return `service ${task.serviceName} does not exist`;
  if (service.removing) return `service ${task.serviceName} is being removed`;
  if (service.damage !== undefined) return service.damage;
  const damage = damageOfTask(task);
  if (damage !== undefined) return damageWords(`task ${taskName(task)}: ${damage}`);
  const reasons = task.template.networks.map(({ name }) => whyNoNetwork(name, view));
  return service.allocationError ?? reasons.find((reason) => reason !== undefined);
}

/** Only a message that says something new is worth a write. */
function withMessage(task: Task, message: string): Task | undefined {
  if (task.status.message === message) return undefined;
  return { ...task, status: moveTask(task.status, { ...task.status, message }, 'allocator') };
}

/** Why one of its networks has no address for the task. */
function whyNoAddress(
  task: Task,
  view: View,
  addresses: () => Map<string, NetworkAddresses>,
): string | undefined {
  for (const { name, address } of task.template.networks) {
    const pool = addresses().get(view.networkByName(name)?.id ?? '');
    const reason = address === undefined ? pool?.whyFull() : pool?.whyNot(address);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** In the template's order. */
function attachmentsOf(
  task: Task,
  view: View,
  addresses: () => Map<string, NetworkAddresses>,
): NetworkAttachment[] {
  return task.template.networks.map(({ name, aliases, address: fixed, gatewayPriority, interfaceName }) => {
    const network = view.networkByName(name);
    const pool = network && addresses().get(network.id);
    assert(pool !== undefined, `network ${name} was seen a moment ago`);
    if (fixed !== undefined) pool.use(fixed, `task ${taskName(task)}`);
    return {
      networkId: network!.id,
      address: fixed ?? pool.takeForTask(`task ${taskName(task)}`),
      aliases,
      ...(gatewayPriority !== undefined && { gatewayPriority }),
      ...(interfaceName !== undefined && { interfaceName }),
    };
  });
}
