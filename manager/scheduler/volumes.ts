import type { TaskTemplate } from '../../src/spec/service.ts';
import { volumeNames } from '../../src/spec/volume-names.ts';
import type { Task } from '../../src/spec/task.ts';
import type { View } from '../store/objects.ts';

/** The nodes that may hold data of the template's named volumes. */
export function volumeNodes(template: TaskTemplate, view: View): Set<string> {
  const names = volumeNames(template);
  if (names.length === 0) return new Set();
  const volumes = [...view.volumes.values()].filter(({ spec }) => names.includes(spec?.name));
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
