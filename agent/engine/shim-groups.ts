/**
 * Containers of one group share a shim process, which the first of them starts. Two that begin at once would start one
 * each, and the one that loses the common socket would stay behind; so the first of a group begins alone.
 */
export class ShimGroups {
  readonly #groups = new Map<string, string>();
  readonly #members = new Map<string, Set<string>>();
  readonly #firsts = new Map<string, Promise<unknown>>();

  /** Makes a container's process: alone while the group has no other, side by side afterwards. Throws what `create` throws. */
  async join(group: string, id: string, create: () => Promise<void>): Promise<void> {
    while (!this.#members.has(group)) {
      const first = this.#firsts.get(group);
      if (first === undefined) return await this.#joinFirst(group, id, create);
      await first.catch(() => undefined); // its caller hears of it; here the next one tries
    }
    await create();
    this.#add(group, id);
  }

  /** The container's process is gone, or is about to go. */
  leave(id: string): void {
    const group = this.#groups.get(id);
    if (group === undefined) return;
    this.#groups.delete(id);
    const members = this.#members.get(group);
    members?.delete(id);
    if (members?.size === 0) this.#members.delete(group);
  }

  async #joinFirst(group: string, id: string, create: () => Promise<void>): Promise<void> {
    const first = create().then(() => this.#add(group, id));
    this.#firsts.set(group, first);
    try {
      await first;
    } finally {
      this.#firsts.delete(group);
    }
  }

  #add(group: string, id: string): void {
    this.#groups.set(id, group);
    const members = this.#members.get(group) ?? new Set();
    this.#members.set(group, members.add(id));
  }
}
