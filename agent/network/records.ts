/** What is attached here, one small file a task, so that a new process knows what the old one had made. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../src/util/log.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { TaskNetwork } from './network.ts';
import { checkTaskNetwork } from './parse.ts';

/**
 * A record is written once the kernel has all of the task's interfaces, and removed after they are gone: a namespace
 * without a record is one that was never finished. No fsync: a machine that loses power loses its namespaces too.
 */
export class TaskRecords {
  readonly #folder: string;
  readonly #log: Logger;

  constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Every record that can be read; one that cannot is removed, for its task then counts as unfinished. */
  async load(): Promise<Map<string, TaskNetwork>> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const records = new Map<string, TaskNetwork>();
    for (const name of await readdir(this.#folder)) {
      try {
        const task = JSON.parse(await readFile(join(this.#folder, name), 'utf8')) as TaskNetwork;
        if (name !== `${task.taskId}.json`) throw new Error('it names another task');
        checkTaskNetwork(task);
        records.set(task.taskId, task);
      } catch (error) {
        this.#log.warn('Cannot read the network record of a task; it is made anew', {
          name,
          error: messageOf(error),
        });
        await rm(join(this.#folder, name), { force: true });
      }
    }
    return records;
  }

  async save(task: TaskNetwork): Promise<void> {
    const path = join(this.#folder, `${task.taskId}.json`);
    await writeFile(`${path}.new`, JSON.stringify(task), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async remove(taskId: string): Promise<void> {
    await rm(join(this.#folder, `${taskId}.json`), { force: true });
  }

  async removeAll(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
