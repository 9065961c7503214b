import { codeOf } from '../../src/util/errors.ts';
import type { Clock } from '../../src/util/clock.ts';
import { systemRandom } from '../../src/util/random.ts';
import { isNotFound, type ContainerdClient } from './client.ts';

const lifetimeMs = 60 * 60 * 1000;
const prefix = 'shoal-view-';

/**
 * Short-lived leases: what is made under one goes with it. One whose deletion failed, or that an earlier process left, is
 * deleted by the next `sweep`; the expiry that each carries is for a host whose daemon never comes back.
 */
export class Leases {
  readonly #client: ContainerdClient;
  readonly #clock: Clock;
  readonly #held = new Set<string>();
  /** True while there may be some that nobody holds. */
  #strays = true;

  constructor(client: ContainerdClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Calls `work` with the id of a lease of its own. */
  async use<T>(work: (id: string) => Promise<T>): Promise<T> {
    const id = `${prefix}${systemRandom.id()}`;
    const expire = new Date(this.#clock.now() + lifetimeMs).toISOString();
    this.#held.add(id);
    try {
      await this.#client.call('Leases.Create', { id, labels: { 'containerd.io/gc.expire': expire } });
      return await work(id);
    } finally {
      this.#held.delete(id);
      await this.#delete(id);
    }
  }

  /** Deletes those that nobody holds, if there may be any. Throws when containerd is away; then the next one does it. */
  async sweep(): Promise<void> {
    if (!this.#strays) return;
    this.#strays = false;
    try {
      const { leases } = await this.#client.call('Leases.List', { filters: [] });
      const strays = leases.filter(({ id }) => id.startsWith(prefix) && !this.#held.has(id));
      for (const { id } of strays) await this.#delete(id);
    } catch (error) {
      this.#strays = true;
      throw error;
    }
  }

  async #delete(id: string): Promise<void> {
    try {
      await this.#client.call('Leases.Delete', { id });
    } catch (error) {
      if (isNotFound(error)) return;
      this.#strays = true;
      if (codeOf(error) !== 'unavailable') throw error;
    }
  }
}
