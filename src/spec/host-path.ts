import type { TaskTemplate } from './service.ts';
import type { Task, TaskStatus } from './task.ts';

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

/** A node that lacked a path is tried again after this long: the path may be there by then. */
export const hostPathMemoryMs = 60_000;

/** Whether the task ended because its host does not have the path. */
export function lacksHostPath({ error }: Pick<TaskStatus, 'error'>, path: string): boolean {
  return error?.message.startsWith(missingHostPath(path)) === true;
}

/**
 * Whether the task was refused by a host that lacks a source of its bind mounts. Nothing of it has run and another host may have
 * the path, so that this says nothing of the service.
 */
export function isMisplaced({ template, status }: Pick<Task, 'template' | 'status'>): boolean {
  if (status.error === undefined) return false;
  return neededHostPaths(template).some((path) => lacksHostPath(status, path));
}
