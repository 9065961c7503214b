import type { Network } from '../../src/spec/network.ts';
import { isTerminal } from '../../src/spec/task.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { servicesIn, tasksIn, type Services } from './scope.ts';
import { inGroups, withDesired } from './tasks.ts';

/**
 * Plans the end of services and networks that are being removed: first a service's tasks are told to vanish, then the
 * service goes, and a network goes with the last task and service that uses it. Tasks whose service does not exist
 * (made while it was being removed) vanish too.
 */
export function planRemoval(view: View, services?: Services): Plan {
  const changes: Change[] = [];
  for (const service of servicesIn(view, services)) {
    if (!service.removing) continue;
    let tasks = 0;
    for (const task of view.tasksOfService(service.id)) {
      tasks++;
      const object = withDesired(task, 'remove');
      if (object !== task) changes.push({ kind: 'task', action: 'update', object });
    }
    if (tasks === 0) changes.push({ kind: 'service', action: 'delete', object: service });
  }
  for (const task of tasksIn(view, services)) {
    if (view.services.has(task.serviceId)) continue;
    const object = withDesired(task, 'remove');
    if (object !== task) changes.push({ kind: 'task', action: 'update', object });
  }
  for (const network of unusedNetworks(view)) {
    changes.push({ kind: 'network', action: 'delete', object: network });
  }
  return inGroups(changes);
}

function unusedNetworks(view: View): Network[] {
  const removing = [...view.networks.values()].filter((network) => network.removing);
  if (removing.length === 0) return [];
  const used = new Set<string>();
  for (const { spec } of view.services.values()) for (const { name } of spec.task.networks) used.add(name);
  for (const { template, attachments, status } of view.tasks.values()) {
    // What has ended has left its networks, also while it is remembered.
    if (isTerminal(status.state)) continue;
    for (const { name } of template.networks) used.add(name);
    for (const { networkId } of attachments) used.add(networkId);
  }
  return removing.filter((network) => !used.has(network.id) && !used.has(network.spec.name));
}
