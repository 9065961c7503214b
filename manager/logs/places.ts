/** Places of hosts, so many of each: who wants one that is taken waits, first come first served. */
export class Places {
  readonly #max: number;
  readonly #hosts = new Map<string, { taken: number; waiting: (() => void)[] }>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a place of the host; the returned function gives it back, once. */
  async take(nodeId: string): Promise<() => void> {
    const host = this.#hosts.get(nodeId) ?? { taken: 0, waiting: [] };
    this.#hosts.set(nodeId, host);
    if (host.taken < this.#max) host.taken++;
    else await new Promise<void>((resolve) => host.waiting.push(resolve));
    let isMine = true;
    return () => {
      if (!isMine) return;
      isMine = false;
      const next = host.waiting.shift();
      if (next) return next();
      host.taken--;
      if (host.taken === 0) this.#hosts.delete(nodeId);
    };
  }

  /** How many hosts have a place that is taken. */
  get size(): number {
    return this.#hosts.size;
  }
}
