import type { Network } from '../../src/spec/network.ts';
import type { TaskTemplate } from '../../src/spec/service.ts';
import { isTerminal } from '../../src/spec/task.ts';
import { Faults } from '../store/isolate.ts';
import type { Change, Plan, View } from '../store/objects.ts';
import { servicesIn, tasksIn, type Services } from './scope.ts';
import { inGroups, withDesired } from './tasks.ts';

/**
 * Plans the end of services and networks that are being removed: first a service's tasks are told to vanish, then the
 * service goes, and a network goes with the last task and service that uses it. Tasks whose service does not exist
 * (made while it was being removed) vanish too.
 */
export function planRemoval(view: View, services?: Services, faults = new Faults()): Plan {
  const changes: Change[] = [];
  faults.forEach('service', servicesIn(view, services), (service) => {
    if (!service.removing) return;
    let tasks = 0;
    for (const task of view.tasksOfService(service.id)) {
      tasks++;
      const object = withDesired(task, 'remove');
      if (object !== task) changes.push({ kind: 'task', action: 'update', object });
    }
    if (tasks === 0) changes.push({ kind: 'service', action: 'delete', object: service });
  });
  faults.forEach('task', tasksIn(view, services), (task) => {
    if (view.services.has(task.serviceId)) return;
    const object = withDesired(task, 'remove');
    if (object !== task) changes.push({ kind: 'task', action: 'update', object });
  });
  for (const network of unusedNetworks(view, faults)) {
    changes.push({ kind: 'network', action: 'delete', object: network });
  }
  return inGroups(changes);
}

function unusedNetworks(view: View, faults: Faults): Network[] {
  const removing = [...view.networks.values()].filter((network) => network.removing);
  if (removing.length === 0) return [];
  const used = new Set<string>();
  /** Applications of which something cannot tell its networks: theirs stay for as long. */
  const unclear = new Set<string | undefined>();
  faults.forEach('service', view.services.values(), (service) => {
    if (faults.isolated('service', service.id, () => noteUse(service.spec.task, used))) return;
    unclear.add(service.spec.application);
  });
  faults.forEach('task', view.tasks.values(), (task) => {
    // What has ended has left its networks, also while it is remembered.
    if (isTerminal(task.status.state)) return;
    const isClear = faults.isolated('task', task.id, () => {
      for (const { networkId } of task.attachments) used.add(networkId);
      return noteUse(task.template, used);
    });
    if (isClear !== true) unclear.add(task.application);
  });
  return faults.filter(
    'network',
    removing,
    ({ id, spec }) => !used.has(id) && !used.has(spec.name) && !unclear.has(spec.application),
  );
}

function noteUse({ networks }: TaskTemplate, used: Set<string>): true {
  for (const { name } of networks) used.add(name);
  return true;
}
