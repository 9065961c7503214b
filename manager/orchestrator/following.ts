import { isWanted } from '../../src/spec/task.ts';
import { isDeepStrictEqual } from 'node:util';
import { changeService } from '../../src/spec/change.ts';
import { restartsWith } from '../../src/spec/following.ts';
import type { Service } from '../../src/spec/service.ts';
import type { View } from '../store/objects.ts';
import type { Planning } from './planning.ts';

/**
 * The service after it has taken note of the updates of the dependencies that it restarts with: rolled without any other
 * change once such an update is complete or rolled back. Undefined when there is nothing new.
 */
export function followUpdates(service: Service, { view, now, random }: Planning): Service | undefined {
  const followed: Record<string, number> = { ...service.followed };
  let restarts = false;
  for (const dependency of restartsWith(service, (name) => view.serviceByName(name))) {
    const { spec, specVersion } = dependency;
    const seen = followed[spec.name];
    const settled = isSettled(dependency, view);
    // One that is just being updated when it is first looked at is followed as well.
    if (seen === undefined) followed[spec.name] = settled ? specVersion : 0;
    else if (seen !== specVersion && settled) {
      followed[spec.name] = specVersion;
      restarts = true;
    }
  }
  if (isDeepStrictEqual(followed, service.followed ?? {})) return undefined;
  if (!restarts) return { ...service, followed };
  const task = { ...service.spec.task, forceUpdate: service.spec.task.forceUpdate + 1 };
  const changed = changeService(service, { ...service.spec, task }, { cause: 'dependency', now, random });
  return { ...changed, followed };
}

/** Whether every task of the service is of its version, and nobody watches the new ones for failures any more. */
function isSettled({ id, specVersion, updateStatus: status }: Service, view: View): boolean {
  if (status !== undefined && !status.state.endsWith('completed')) return false;
  return Iterator.from(view.tasksOfService(id)).every(
    (task) => !isWanted(task) || task.specVersion === specVersion,
  );
}
