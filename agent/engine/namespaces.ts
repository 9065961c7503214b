import { open, type FileHandle } from 'node:fs/promises';
import { ShoalError } from '../../src/util/errors.ts';
import { isNotFound, type ContainerdClient } from './client.ts';
import type { JoinedContainers } from './engine.ts';
import { describeTask } from './task-state.ts';

/** Where each namespace that is joined can be found, by its name in the runtime specification. */
export type NamespacePaths = { [Kind in keyof JoinedContainers]?: string };

const kinds = [
  ['network', 'net'],
  ['ipc', 'ipc'],
  ['pid', 'pid'],
] as const;

/**
 * Does `work` with the namespaces of the containers held open. They are named by descriptors of this process: a process's
 * number may be another's by the time that the runtime looks at it. Throws `namespace_gone`, with its id
 * as `details`, when one does not run.
 */
export async function withNamespaces<T>(
  client: ContainerdClient,
  join: JoinedContainers | undefined,
  work: (paths: NamespacePaths) => Promise<T>,
): Promise<T> {
  const opened: FileHandle[] = [];
  const paths: NamespacePaths = {};
  try {
    for (const [kind, file] of kinds) {
      const id = join?.[kind];
      if (id === undefined) continue;
      const handle = await openNamespace(client, id, file);
      opened.push(handle);
      paths[kind] = `/proc/${process.pid}/fd/${handle.fd}`;
    }
    return await work(paths);
  } finally {
    for (const handle of opened) await handle.close();
  }
}

async function openNamespace(client: ContainerdClient, id: string, file: string): Promise<FileHandle> {
  const pid = await pidOf(client, id);
  if (pid === undefined) throw gone(id);
  const handle = await open(`/proc/${pid}/ns/${file}`).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' || error.code === 'ESRCH' ? gone(id) : error;
  });
  try {
    // Only what still runs now was that container's when it was opened.
    if ((await pidOf(client, id)) !== pid) throw gone(id);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The process of a container that runs. */
async function pidOf(client: ContainerdClient, containerId: string): Promise<number | undefined> {
  try {
    const { process: task } = await client.call('Tasks.Get', { containerId });
    const { state, pid } = describeTask(task ?? undefined);
    if (state === 'unknown') {
      throw new ShoalError(
        'unavailable',
        `Cannot join the namespaces of ${containerId}: its shim does not answer`,
      );
    }
    return state === 'running' ? pid : undefined;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function gone(id: string): ShoalError {
  const message = `Cannot join the namespaces of ${id}: it does not run`;
  return new ShoalError('namespace_gone', message, { details: id });
}
