import type { TaskTemplate } from './service.ts';
import type { TaskStatus } from './task.ts';

/** What a host says of a source of a bind mount that it does not have. */
export function missingHostPath(path: string): string {
  return `Cannot mount ${path}: it does not exist on this host`;
}

/** Sources of the template's bind mounts that hosts must have. */
export function neededHostPaths({ container }: TaskTemplate): string[] {
  return container.mounts.flatMap((mount) =>
    mount.type === 'bind' && !mount.createHostPath ? [mount.source] : [],
  );
}

/** Whether the task ended because its host does not have the path. */
export function lacksHostPath({ error }: Pick<TaskStatus, 'error'>, path: string): boolean {
  return error?.message.startsWith(missingHostPath(path)) === true;
}
