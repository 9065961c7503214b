/** Makes and removes the namespaces of tasks, several in one batch of commands. */
import { access, readFile } from 'node:fs/promises';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { Limiter } from '../../src/util/queue.ts';
import type { Logger } from '../../src/util/log.ts';
import type { NetworkAssignment } from '../../src/wire/session.ts';
import { attachLines, insideLines, insideScript } from './commands.ts';
import { ipBatch, namespaceFolder, namespacePrefix, runInside } from './kernel.ts';
import type { TaskNetwork } from './network.ts';
import { planTask, vethName, type TaskInterface } from './plan.ts';

/** Processes inside namespaces at the same time. */
const insideLimit = 4;

export class TaskAttacher {
  readonly #log: Logger;
  readonly #inside = new Limiter(insideLimit);

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether every interface of the task is there. */
  async hasInterfaces(task: TaskNetwork): Promise<boolean> {
    if (task.attachments.length === 0) return true;
    const links = new Set(await interfaceNames());
    return task.attachments.every((_, index) => links.has(vethName(task.taskId, index)));
  }

  /** Removes host ends that belong to no known task and to no namespace. */
  async removeStrayInterfaces(
    veths: readonly string[],
    tasks: ReadonlyMap<string, TaskNetwork>,
    namespaces: readonly string[],
  ): Promise<void> {
    const owners = new Set(
      [...tasks.keys(), ...namespaces].map((taskId) => vethName(taskId, 0).slice(0, -1)),
    );
    const stray = veths.filter((name) => !owners.has(name.slice(0, vethName('0123456789', 0).length - 1)));
    if (stray.length === 0) return;
    this.#log.info('Removing interfaces of tasks that are gone', { count: stray.length });
    await ipBatch(stray.map((name) => `link del ${name}`));
  }

  /** Removes some tasks and makes others. Gives the errors by task id; throws when nothing could be done at all. */
  async change(
    remove: readonly string[],
    make: readonly TaskNetwork[],
    networks: ReadonlyMap<string, NetworkAssignment>,
    underlayMtu: number,
  ): Promise<Map<string, unknown>> {
    const failures = new Map<string, unknown>();
    const lines: { taskId: string; line: string }[] = [];
    const add = (taskId: string, text: string[]) => lines.push(...text.map((line) => ({ taskId, line })));
    const links = await interfaceNames();
    for (const taskId of remove) add(taskId, await removeLines(taskId, links));
    const made: { taskId: string; interfaces: TaskInterface[] }[] = [];
    for (const task of make) {
      try {
        const interfaces = planTask(task, networks, underlayMtu);
        // An attempt that died half-way is cleared away first.
        add(task.taskId, await removeLines(task.taskId, links));
        add(task.taskId, attachLines(namespacePrefix + task.taskId, interfaces));
        made.push({ taskId: task.taskId, interfaces });
      } catch (error) {
        failures.set(task.taskId, error);
      }
    }
    for (const [index, said] of await ipBatch(lines.map(({ line }) => line))) {
      const { taskId, line } = lines[index]!;
      if (!failures.has(taskId)) failures.set(taskId, kernelRefused(taskId, `'${line}': ${said}`));
    }
    await Promise.all(
      made
        .filter(({ taskId }) => !failures.has(taskId))
        .map(({ taskId, interfaces }) =>
          this.#inside
            .run(() => runInside(namespacePrefix + taskId, insideScript(interfaces), insideLines(interfaces)))
            .catch((error: unknown) => {
              failures.set(taskId, kernelRefused(taskId, messageOf(error)));
            }),
        ),
    );
    return failures;
  }
}

function kernelRefused(taskId: string, why: string): ShoalError {
  return new ShoalError('network_failed', `Cannot set up the network of task ${taskId}: ${why}`, {
    next: 'Run `shoal doctor` on that host.',
  });
}

/** The commands that remove what there is of a task. */
async function removeLines(taskId: string, links: readonly string[]): Promise<string[]> {
  const own = vethName(taskId, 0).slice(0, -1);
  const namespace = namespacePrefix + taskId;
  const present = await access(`${namespaceFolder}/${namespace}`).then(
    () => true,
    () => false,
  );
  return [
    // The interfaces by name, for a namespace lives on as long as a process is in it.
    ...links.filter((name) => name.startsWith(own)).map((name) => `link del ${name}`),
    ...(present ? [`netns del ${namespace}`] : []),
  ];
}

/** Every interface of this process's network namespace; proc(5), `/proc/net/dev`. */
async function interfaceNames(): Promise<string[]> {
  const text = await readFile('/proc/net/dev', 'utf8');
  return text
    .split('\n')
    .slice(2)
    .map((line) => line.split(':')[0]!.trim())
    .filter((name) => name !== '');
}
