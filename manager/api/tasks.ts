import type { TaskTemplate } from '../../src/spec/service.ts';
import { isWanted, newestFirst, taskName, type Task } from '../../src/spec/task.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { TaskInfo } from '../../src/wire/api.ts';
import { damageOfTask } from '../store/damage.ts';
import type { View } from '../store/objects.ts';
import { namesIn } from './users.ts';

export { newestFirst };

/** Each made once, so that one that is the same object is the same task, unchanged. */
const infos = new WeakMap<Task, TaskInfo>();

/** The task without its template. One that is damaged may have none. */
export function taskInfo(task: Task): TaskInfo {
  const known = infos.get(task);
  if (known !== undefined) return known;
  const { template, ...rest } = task as Omit<Task, 'template'> & { template?: Partial<TaskTemplate> };
  const volumes = damageOfTask(task) === undefined ? namesIn('volume', task.template) : [];
  const info = {
    ...rest,
    image: template?.container?.image ?? '',
    ...(volumes.length > 0 && { volumes }),
  };
  infos.set(task, info);
  return info;
}

/** Tasks by slot (by node in a global service), in the order given. */
export function groupBySlot(tasks: Iterable<Task>): Map<string, Task[]> {
  const slots = new Map<string, Task[]>();
  for (const task of tasks) {
    const key = task.slot > 0 ? String(task.slot) : (task.nodeId ?? task.id);
    const slot = slots.get(key);
    if (slot === undefined) slots.set(key, [task]);
    else slot.push(task);
  }
  return slots;
}

/** Whether the task has done all it was to do: it ended well, and the policy does not want it again. */
export function isCompleted(task: Task): boolean {
  return task.status.state === 'complete' && task.template.restart.condition !== 'any';
}

/**
 * The task that a person means: by its id, by its name (`app_web.1`), or any running one of a service by the service's
 * full name. Of several the one that runs, then the newest. Throws `not_found`.
 */
export function findTask(view: View, reference: string): Task {
  const byId = view.tasks.get(reference);
  if (byId !== undefined) return byId;
  const named = [...view.tasks.values()].filter(
    (task) => taskName(task) === reference || task.serviceName === reference,
  );
  const runs = (task: Task) => (task.status.state === 'running' && isWanted(task) ? 1 : 0);
  named.sort((left, right) => runs(right) - runs(left) || left.slot - right.slot || newestFirst(left, right));
  if (named[0] !== undefined) return named[0];
  throw new ShoalError('not_found', `Cannot find a task called ${JSON.stringify(reference)}`, {
    next: 'See `shoal ps` for the names of the tasks.',
  });
}
