import type { TaskTemplate } from '../../src/spec/service.ts';
import type { Task } from '../../src/spec/task.ts';
import type { Faults } from '../store/isolate.ts';
import type { Plan, View } from '../store/objects.ts';

/** Full names of the template's named volumes whose data lies on their hosts, and not where their options say. */
export function volumeNames({ container }: TaskTemplate): string[] {
  return container.mounts.flatMap((mount) => {
    const isHere = mount.type === 'volume' && mount.driverOptions === undefined;
    return isHere && mount.source !== undefined ? [mount.source] : [];
  });
}

/** Notes on each named volume the nodes where a task with it ran: there its data lies, also when the service is made anew. */
export function planVolumes(view: View, faults: Faults): Plan {
  const ranOn = new Map<string, Set<string>>();
  faults.forEach('task', view.tasks.values(), ({ template, nodeId, status }) => {
    if (nodeId === undefined || status.startedAt === undefined || !view.nodes.has(nodeId)) return;
    for (const name of volumeNames(template)) {
      const nodes = ranOn.get(name);
      if (nodes === undefined) ranOn.set(name, new Set([nodeId]));
      else nodes.add(nodeId);
    }
  });
  if (ranOn.size === 0) return [];
  const plan: Plan = [];
  faults.forEach('volume', view.volumes.values(), (volume) => {
    const known = volume.nodeIds ?? [];
    const more = [...(ranOn.get(volume.spec.name) ?? [])].filter((nodeId) => !known.includes(nodeId));
    if (more.length === 0) return;
    const nodeIds = [...known.filter((nodeId) => view.nodes.has(nodeId)), ...more];
    plan.push([{ kind: 'volume', action: 'update', object: { ...volume, nodeIds } }]);
  });
  return plan;
}

/** The nodes that hold data of the template's named volumes. */
export function volumeNodes(template: TaskTemplate, view: View): Set<string> {
  const names = volumeNames(template);
  if (names.length === 0) return new Set();
  const volumes = [...view.volumes.values()].filter(({ spec }) => names.includes(spec.name));
  return new Set(volumes.flatMap(({ nodeIds }) => nodeIds ?? []));
}

/**
 * The node to which a task should return, by slot: where the slot's last task that started is or was. Empty for a template
 * without a named volume, unless it is to return whatever it has.
 */
export function homeNodes(
  { serviceId, template }: Pick<Task, 'serviceId' | 'template'>,
  view: View,
  returns = volumeNames(template).length > 0,
): Map<number, string> {
  const homes = new Map<number, string>();
  if (!returns) return homes;
  const latest = new Map<number, number>();
  for (const { slot, nodeId, status, createdAt } of view.tasksOfService(serviceId)) {
    if (nodeId === undefined || status.startedAt === undefined) continue;
    if (createdAt < (latest.get(slot) ?? 0)) continue;
    latest.set(slot, createdAt);
    homes.set(slot, nodeId);
  }
  return homes;
}
