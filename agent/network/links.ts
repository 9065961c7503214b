/** Bridges, VXLAN ports, neighbours, forwarding entries and the host's ends of tasks' interfaces: made, compared, repaired. */
import { assert, ShoalError } from '../../src/util/errors.ts';
import type { TaskAttacher } from './attacher.ts';
import { linkCommands } from './commands.ts';
import { bridgeBatch, ipBatch, listNamespaces, prepareBridge } from './kernel.ts';
import type { TaskNetwork } from './network.ts';
import type { TaskInterface } from './plan.ts';
import { portText, readLinks } from './read-links.ts';
import { difference, type LinkState } from './state.ts';

/** Interfaces of the tasks that are attached here, by task. */
export type TaskInterfaces = ReadonlyMap<TaskNetwork, TaskInterface[]>;

export class HostLinks {
  readonly #attacher: TaskAttacher;
  /** What the kernel has, as far as we applied it; absent when it must be read again. */
  #known: LinkState | undefined;
  /** As it was just read. */
  #found: LinkState | undefined;

  constructor(attacher: TaskAttacher) {
    this.#attacher = attacher;
  }

  get isKnown(): boolean {
    return this.#known !== undefined;
  }

  /** What the kernel has is not known any more: the next `apply` reads it. */
  forget(): void {
    this.#known = undefined;
    this.#found = undefined;
  }

  /** Everything of ours that the kernel has; what belongs to no task is removed when it has to be read. */
  async current(tasks: readonly string[]): Promise<LinkState> {
    if (this.#known) return this.#known;
    const found = await readLinks();
    const taskIds = [...tasks, ...(await listNamespaces())];
    await this.#attacher.removeStrayInterfaces([...found.ports.keys()], taskIds);
    return (this.#found = found);
  }

  /** Makes the kernel match; ports of tasks too when they have to be read. Throws `network_failed`. */
  async apply(wanted: LinkState, tasks: TaskInterfaces): Promise<void> {
    try {
      const isRead = !this.#known;
      await run(this.#known ?? this.#found ?? (await readLinks()), wanted);
      if (isRead) await this.#repairPorts(tasks);
      this.#known = wanted;
      this.#found = undefined;
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  /** What the kernel has not, or not so, in words. */
  async differences(tasks: TaskInterfaces): Promise<string[]> {
    assert(this.#known, 'what is not known cannot be compared');
    return differencesOf(await readLinks(), this.#known, tasks);
  }

  /** After the bridges are there. */
  async #repairPorts(tasks: TaskInterfaces): Promise<void> {
    const { ports } = await readLinks();
    const wrong = [...tasks].flatMap(([task, interfaces]) => {
      const bad = interfaces.filter(
        ({ hostName, bridge, mac }) => ports.get(hostName) !== portText(bridge, mac),
      );
      return bad.map((each) => ({ task, interface: each, isThere: ports.has(each.hostName) }));
    });
    if (wrong.length > 0) await this.#attacher.repair(wrong);
  }
}

/** Everything that is wanted and not found, or found and not wanted, one line each. */
export function differencesOf(found: LinkState, wanted: LinkState, tasks: TaskInterfaces): string[] {
  const ports = new Map(
    [...tasks.values()].flat().map(({ hostName, bridge, mac }) => [hostName, portText(bridge, mac)]),
  );
  const compare = (kind: string, from: ReadonlyMap<string, string>, to: ReadonlyMap<string, string>) => {
    const { add, remove } = difference(from, to);
    const gone = add.map(
      ([key]) => `${kind} ${key} is ${from.has(key) ? `wrong: ${from.get(key)}` : 'gone'}`,
    );
    const foreign = remove.filter(([key]) => !to.has(key)).map(([key]) => `${kind} ${key} is not ours`);
    return [...gone, ...foreign];
  };
  const states = <T extends object>(
    kind: string,
    from: ReadonlyMap<string, T>,
    to: ReadonlyMap<string, T>,
  ) => {
    const wrong = new Map(
      [...from].map(([name, state]) => [name, to.has(name) ? wrongFields(state, to.get(name)!) : 'not ours']),
    );
    return compare(kind, wrong, new Map([...to.keys()].map((name) => [name, ''])));
  };
  return [
    ...states('bridge', found.bridges, wanted.bridges),
    ...states('VXLAN port', found.vxlans, wanted.vxlans),
    ...compare('neighbour', found.neighbours, wanted.neighbours),
    ...compare('forwarding entry', found.forwards, wanted.forwards),
    // What was attached half-way has ports too, and is cleared away when it is attached again or detached.
    ...compare('port', new Map([...found.ports].filter(([name]) => ports.has(name))), ports),
  ];
}

/** The fields that are not as wanted, with what was found; '' when all are. */
function wrongFields<T extends object>(found: T, wanted: T): string {
  return (Object.entries(wanted) as [keyof T & string, unknown][])
    .filter(([field, value]) => found[field] !== value)
    .map(([field]) => `${field === 'wrong' ? '' : `${field} `}${String(found[field]) || 'missing'}`)
    .join(', ');
}

async function run(from: LinkState, to: LinkState): Promise<void> {
  const commands = linkCommands(from, to);
  throwOnFailure(commands.ip, await ipBatch(commands.ip));
  await Promise.all(commands.bridges.map((bridge) => prepareBridge(bridge)));
  throwOnFailure(commands.bridge, await bridgeBatch(commands.bridge));
}

/** What is to be removed and is not there is no failure. */
const removal = /^(fdb|neigh|route) del /u;
const notThere = /No such file or directory|No such process/u;

/** Throws `network_failed` with the first line that failed. */
export function throwOnFailure(lines: readonly string[], failures: ReadonlyMap<number, string>): void {
  const real = [...failures].filter(([index, said]) => !(removal.test(lines[index]!) && notThere.test(said)));
  const [first] = real;
  if (!first) return;
  throw new ShoalError(
    'network_failed',
    `Cannot change the host's network: '${lines[first[0]]}': ${first[1]}`,
    { details: Object.fromEntries(real.map(([index, said]) => [lines[index] ?? '', said])) },
  );
}
