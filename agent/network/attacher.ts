/** Makes and removes the namespaces of tasks, several in one batch of commands. */
import { readFile } from 'node:fs/promises';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { Limiter } from '../../src/util/queue.ts';
import type { Logger } from '../../src/util/log.ts';
import type { NetworkAssignment } from '../../src/wire/session.ts';
import {
  attachLines,
  deleteLines,
  insideLines,
  interfaceLines,
  mtuLines,
  portEntryLines,
  portRepairLines,
} from './commands.ts';
import { bridgeBatch, ipBatch, ipInside, linkMtus, listNamespaces, namespacePrefix } from './kernel.ts';
import type { TaskNetwork } from './network.ts';
import { planTask, vethName, type TaskInterface } from './plan.ts';

/** Processes inside namespaces at the same time. */
const insideLimit = 4;

export interface TaskChange {
  /** Ids of tasks to remove. */
  remove: readonly string[];
  make: readonly TaskNetwork[];
  networks: ReadonlyMap<string, NetworkAssignment>;
  underlayMtu: number;
}

/** An interface of an attached task whose end on the host is gone or not as it is to be. */
export interface WrongInterface {
  task: TaskNetwork;
  interface: TaskInterface;
  isThere: boolean;
}

export class TaskAttacher {
  readonly #log: Logger;
  readonly #inside = new Limiter(insideLimit);
  /** What the networks' MTUs were when tasks were last given them. */
  #matchedMtu = '';

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
  async removeStrayInterfaces(veths: readonly string[], taskIds: readonly string[]): Promise<void> {
    const owners = new Set(taskIds.map(vethStem));
    const stray = veths.filter((name) => !owners.has(name.slice(0, vethStemLength)));
    if (stray.length === 0) return;
    this.#log.info('Removing interfaces of tasks that are gone', { count: stray.length });
    await ipBatch(deleteLines(stray, []));
  }

  /**
   * Gives the interfaces of tasks that run, both ends of each, the MTU that their networks have now. Looks at the kernel only
   * when that has changed since the last time.
   */
  async matchMtu(
    tasks: Iterable<TaskNetwork>,
    networks: ReadonlyMap<string, NetworkAssignment>,
    underlayMtu: number,
  ): Promise<void> {
    const wanted = JSON.stringify(
      [...networks.values()].map(({ id, mtuBytes }) => [id, mtuBytes, underlayMtu]),
    );
    if (wanted === this.#matchedMtu) return;
    const current = await linkMtus();
    const differing = [...tasks]
      .filter(({ attachments }) => attachments.every(({ networkId }) => networks.has(networkId)))
      .map((task) => {
        const interfaces = planTask(task, networks, underlayMtu);
        const others = interfaces.filter(({ hostName, mtu }) => (current.get(hostName) ?? mtu) !== mtu);
        return { taskId: task.taskId, interfaces: others };
      })
      .filter(({ interfaces }) => interfaces.length > 0);
    await Promise.all(differing.map((each) => this.#inside.run(() => this.#setMtu(each))));
    this.#matchedMtu = wanted;
  }

  /** The task's end first: the host's end tells later whether it was done. */
  async #setMtu({ taskId, interfaces }: { taskId: string; interfaces: TaskInterface[] }): Promise<void> {
    try {
      const inside = interfaces.flatMap(({ taskName, mtu }) => mtuLines(taskName, mtu));
      await ipInside(namespacePrefix + taskId, inside);
      const failed = await ipBatch(interfaces.map(({ hostName, mtu }) => `link set ${hostName} mtu ${mtu}`));
      if (failed.size > 0) throw new Error([...failed.values()].join('; '));
    } catch (error) {
      // It may be ending just now, or have given its interface another name.
      this.#log.warn('Cannot change the MTU of a task', { taskId, error: messageOf(error) });
    }
  }

  /** Puts right what is wrong of interfaces of tasks that are attached; those that are gone are made anew in their namespaces. */
  async repair(wrong: readonly WrongInterface[]): Promise<void> {
    const there = wrong.filter(({ isThere }) => isThere).map((each) => each.interface);
    const gone = wrong.filter(({ isThere }) => !isThere);
    const lines = [
      ...portRepairLines(there),
      ...gone.flatMap(({ task, interface: each }) => interfaceLines(namespacePrefix + task.taskId, [each])),
    ];
    const failures = [...(await ipBatch(lines))].map(([index, said]) => `'${lines[index]}': ${said}`);
    const entries = portEntryLines(wrong.map((each) => each.interface));
    const notEntered = [...(await bridgeBatch(entries))].map(
      ([index, said]) => `'${entries[index]}': ${said}`,
    );
    for (const { task, interface: each } of gone) {
      await this.#inside
        .run(() => ipInside(namespacePrefix + task.taskId, insideLines([each])))
        .catch((error: unknown) => failures.push(messageOf(error)));
    }
    const [first] = [...failures, ...notEntered];
    if (first !== undefined)
      throw new ShoalError('network_failed', `Cannot repair the network of tasks: ${first}`);
  }

  /** Removes some tasks and makes others, side by side. Gives the errors by task id. */
  async change(change: TaskChange): Promise<Map<string, unknown>> {
    const [links, namespaces] = await Promise.all([interfaceNames(), listNamespaces()]);
    const failures = await Promise.all([
      removeTasks(change.remove, links, namespaces),
      this.#make(change, links, namespaces),
    ]);
    return new Map(failures.flatMap((each) => [...each]));
  }

  async #make(
    { make, networks, underlayMtu }: TaskChange,
    links: readonly string[],
    namespaces: readonly string[],
  ): Promise<Map<string, unknown>> {
    const failures = new Map<string, unknown>();
    const lines: { taskId: string; line: string }[] = [];
    const made: { taskId: string; interfaces: TaskInterface[] }[] = [];
    // Attempts that died half-way are cleared away first.
    const remains = await removeTasks(
      make.map(({ taskId }) => taskId),
      links,
      namespaces,
    );
    for (const task of make) {
      const { taskId } = task;
      try {
        if (remains.has(taskId)) throw remains.get(taskId);
        const interfaces = planTask(task, networks, underlayMtu);
        for (const line of attachLines(namespacePrefix + taskId, interfaces)) lines.push({ taskId, line });
        made.push({ taskId, interfaces });
      } catch (error) {
        failures.set(taskId, error);
      }
    }
    for (const [index, said] of await ipBatch(lines.map(({ line }) => line))) {
      const { taskId, line } = lines[index]!;
      if (!failures.has(taskId)) failures.set(taskId, kernelRefused(taskId, `'${line}': ${said}`));
    }
    const configure = async ({ taskId, interfaces }: (typeof made)[number]) => {
      try {
        await this.#inside.run(() => ipInside(namespacePrefix + taskId, insideLines(interfaces)));
      } catch (error) {
        failures.set(taskId, kernelRefused(taskId, messageOf(error)));
      }
    };
    const entries = made
      .filter(({ taskId }) => !failures.has(taskId))
      .flatMap(({ taskId, interfaces }) => portEntryLines(interfaces).map((line) => ({ taskId, line })));
    const [notEntered] = await Promise.all([
      bridgeBatch(entries.map(({ line }) => line)),
      ...made.filter(({ taskId }) => !failures.has(taskId)).map(configure),
    ]);
    for (const [index, said] of notEntered) {
      const { taskId, line } = entries[index]!;
      if (!failures.has(taskId)) failures.set(taskId, kernelRefused(taskId, `'${line}': ${said}`));
    }
    return failures;
  }
}

function kernelRefused(taskId: string, why: string): ShoalError {
  return new ShoalError('network_failed', `Cannot set up the network of task ${taskId}: ${why}`, {
    next: 'Run `shoal doctor` on that host.',
  });
}

/** What the names of all host ends of a task begin with; their index follows. */
function vethStem(taskId: string): string {
  return vethName(taskId, 0).slice(0, -1);
}
const vethStemLength = vethStem('0123456789ab').length;

/** Deletes what there is of these tasks; gives errors for those of which something is left. */
async function removeTasks(
  taskIds: readonly string[],
  links: readonly string[],
  namespaces: readonly string[],
): Promise<Map<string, unknown>> {
  const failures = new Map<string, unknown>();
  const stems = new Map(taskIds.map((taskId) => [vethStem(taskId), taskId]));
  const ours = (name: string) => stems.has(name.slice(0, vethStemLength));
  const ids = new Set(taskIds);
  const lines = deleteLines(
    links.filter(ours),
    namespaces.filter((id) => ids.has(id)).map((id) => namespacePrefix + id),
  );
  const failed = await ipBatch(lines);
  if (failed.size === 0) return failures;
  // Something may have gone by itself while it was to be deleted, which is no failure: only what is left counts.
  const said = [...failed].map(([index, why]) => `'${lines[index]}': ${why}`).join('; ');
  const [linksLeft, namespacesLeft] = await Promise.all([interfaceNames(), listNamespaces()]);
  const left = [
    ...linksLeft.filter(ours).map((name) => stems.get(name.slice(0, vethStemLength))!),
    ...namespacesLeft.filter((id) => ids.has(id)),
  ];
  for (const taskId of left) failures.set(taskId, kernelRefused(taskId, said));
  return failures;
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
