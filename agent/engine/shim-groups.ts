import { systemRandom } from '../../src/util/random.ts';

/**
 * As many containers share a shim. All of them may end at once, and the shim has 32 places for exits, also of what it runs
 * itself (containerd#2709); `shim-budget.ts` divides the others.
 */
export const shimContainersMax = 10;
/** With this annotation containerd's shim for runc tells who shares it. */
export const groupAnnotation = 'io.containerd.runc.v2.group';
const separator = '.';

interface Shim {
  name: string;
  /** Containers that have a place, from before their record is made until they are removed. */
  members: Set<string>;
  /** Of those: containers whose process was made and is not being removed. */
  alive: Set<string>;
  /** Whether its process is there, or will be until the last of `alive` goes. */
  isUp: boolean;
  /** It has begun to end, and takes nobody any more. */
  isRetired: boolean;
  first?: Promise<unknown>;
}

/**
 * Containers of one group share shim processes, `shimContainersMax` each. A shim is started by the first of its
 * containers: two that begin at once would start one each, and the one that loses the common socket would stay behind, so
 * the first of a shim begins alone. A shim ends with its last container; its name is not used again.
 */
export class ShimGroups {
  readonly #shims = new Map<string, Shim>();
  readonly #places = new Map<string, Shim>();

  /** Gives the name of the shim that the container is to have. Without a group it is its own, which nobody shares. */
  place(group: string, id: string): string {
    const kept = this.#places.get(id);
    if (kept !== undefined) return kept.name;
    const isOpen = ({ name, members, isRetired }: Shim) =>
      !isRetired && members.size < shimContainersMax && groupOf(name) === group;
    const open = group === '' ? undefined : [...this.#shims.values()].find(isOpen);
    const name = open?.name ?? (group === '' ? id : `${group}${separator}${systemRandom.id()}`);
    this.#enter(name, id);
    return name;
  }

  /** Takes note of a container that an earlier process made. */
  adopt(name: string, id: string): void {
    if (this.#places.has(id)) return;
    const shim = this.#enter(name, id);
    shim.alive.add(id);
    shim.isUp = true;
  }

  has(id: string): boolean {
    return this.#places.has(id);
  }

  /** The name of the container's shim; that of a container that is not known is its own. */
  shimOf(id: string): string {
    return this.#places.get(id)?.name ?? id;
  }

  /** Containers that share the shim with this one, itself included. */
  sharing(id: string): string[] {
    return [...(this.#places.get(id)?.members ?? [id])];
  }

  /** Makes a container's process: alone while its shim is not up, side by side afterwards. Throws what `create` throws. */
  async join(id: string, create: () => Promise<void>): Promise<void> {
    const shim = this.#places.get(id);
    if (shim === undefined) return await create();
    while (!shim.isUp) {
      if (shim.first === undefined) return await this.#joinFirst(shim, id, create);
      await shim.first.catch(() => undefined); // its caller hears of it; here the next one tries
    }
    await create();
    shim.alive.add(id);
    shim.isUp = true;
  }

  /** The container's process is about to go. */
  leave(id: string): void {
    const shim = this.#places.get(id);
    if (shim === undefined || !shim.alive.delete(id) || shim.alive.size > 0) return;
    shim.isUp = false;
    shim.isRetired = true;
  }

  /** The container is gone. */
  forget(id: string): void {
    const shim = this.#places.get(id);
    if (shim === undefined) return;
    this.leave(id);
    this.#places.delete(id);
    shim.members.delete(id);
    if (shim.members.size === 0) this.#shims.delete(shim.name);
  }

  #enter(name: string, id: string): Shim {
    const shim = this.#shims.get(name) ?? {
      name,
      members: new Set(),
      alive: new Set(),
      isUp: false,
      isRetired: false,
    };
    shim.members.add(id);
    this.#shims.set(name, shim);
    this.#places.set(id, shim);
    return shim;
  }

  async #joinFirst(shim: Shim, id: string, create: () => Promise<void>): Promise<void> {
    const first = create().then(() => {
      shim.alive.add(id);
      shim.isUp = true;
    });
    shim.first = first;
    try {
      await first;
    } finally {
      delete shim.first;
    }
  }
}

/** A name without a separator is of an earlier version, whose shims took any number of containers. */
function groupOf(name: string): string {
  const end = name.lastIndexOf(separator);
  return end < 0 ? name : name.slice(0, end);
}
