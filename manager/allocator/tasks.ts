import { moveTask, type NetworkAttachment, type Task } from '../../src/spec/task.ts';
import { assert, messageOf } from '../../src/util/errors.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { addressesInUse, type NetworkAddresses } from './addresses.ts';
import { byAge, once, type Cursors } from './range.ts';
import { whyNoNetwork } from './services.ts';

/** Tasks in one group: a conflict about one of them plans as many again. */
const tasksPerGroup = 50;

/** Takes new tasks to `pending` with their addresses, or says on them what they wait for. Moves the cursors. */
export function planTasks(view: View, now: number, cursors: Cursors): Plan {
  const todo = [...view.tasks.values()].filter(isNew);
  if (todo.length === 0) return [];
  const addresses = once(() => addressesInUse(view, cursors));
  const changes: Change[] = [];
  for (const task of todo.sort(byAge)) {
    const changed = allocateTask(task, view, now, addresses);
    if (changed !== undefined) changes.push({ kind: 'task', action: 'update', object: changed });
  }
  const groups: Plan = [];
  for (let start = 0; start < changes.length; start += tasksPerGroup) {
    groups.push(changes.slice(start, start + tasksPerGroup));
  }
  return groups;
}

function isNew({ status, desiredState }: Task): boolean {
  return status.state === 'new' && (desiredState === 'ready' || desiredState === 'running');
}

function allocateTask(
  task: Task,
  view: View,
  now: number,
  addresses: () => Map<string, NetworkAddresses>,
): Task | undefined {
  const reason = whyHeld(task, view);
  if (reason !== undefined) return withMessage(task, reason);
  try {
    const attachments = attachmentsOf(task, view, addresses);
    const next = { state: 'pending', at: now, message: 'waiting for a node' } as const;
    return { ...task, attachments, status: moveTask(task.status, next, 'allocator') };
  } catch (error) {
    return withMessage(task, messageOf(error));
  }
}

function whyHeld(task: Task, view: View): string | undefined {
  const service = view.services.get(task.serviceId);
  if (service === undefined) return `service ${task.serviceName} does not exist`;
  if (service.removing) return `service ${task.serviceName} is being removed`;
  const reasons = task.template.networks.map(({ name }) => whyNoNetwork(name, view));
  return service.allocationError ?? reasons.find((reason) => reason !== undefined);
}

/** Only a message that says something new is worth a write. */
function withMessage(task: Task, message: string): Task | undefined {
  if (task.status.message === message) return undefined;
  return { ...task, status: moveTask(task.status, { ...task.status, message }, 'allocator') };
}

/** In the template's order. Throws with the reason in words when a network is full. */
function attachmentsOf(
  task: Task,
  view: View,
  addresses: () => Map<string, NetworkAddresses>,
): NetworkAttachment[] {
  return task.template.networks.map(({ name, aliases }) => {
    const network = view.networkByName(name);
    assert(network !== undefined, `network ${name} was seen a moment ago`);
    const address = addresses().get(network.id)?.takeForTask();
    if (address === undefined) throw new Error(`network ${name} has no free address`);
    return { networkId: network.id, address, aliases };
  });
}
