import { rm } from 'node:fs/promises';
import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Bundles } from './bundles.ts';
import { childrenOf, commandOf, sendSignal } from './kernel-processes.ts';
import { listenerOf, shimSockets } from './shim-sockets.ts';

const signalKill = 9;
/** From its socket to its name in the bundle a shim that starts takes milliseconds. */
const strayMs = 5_000;

export interface StrayShimsOptions {
  /** Of the containerd whose shims these are, and the namespace of ours in it. */
  address: string;
  namespace: string;
  bundles: Pick<Bundles, 'shimSockets'>;
  clock: Clock;
  log: Logger;
}

/**
 * Shims that no bundle names. When a call to make a task is cut short, because this process is killed for one, containerd
 * kills the program that starts the shim; the shim itself may be there by then, and containerd removes the bundle and
 * never hears of it.
 */
export class StrayShims {
  readonly #options: StrayShimsOptions;
  /** Sockets that no bundle names, and since when; `undefined`: their shim is not ours. */
  readonly #since = new Map<string, number | undefined>();

  constructor(options: StrayShimsOptions) {
    this.#options = options;
  }

  /** Ends those that were there and had no container at an earlier call, some seconds ago. */
  async sweep(): Promise<void> {
    const { bundles, clock } = this.#options;
    const [bound, named] = [await shimSockets(), await bundles.shimSockets()];
    const strays = bound.filter((path) => !named.has(path));
    for (const path of this.#since.keys()) if (!strays.includes(path)) this.#since.delete(path);
    for (const path of strays) {
      if (!this.#since.has(path)) this.#since.set(path, clock.monotonic());
      const since = this.#since.get(path);
      if (since !== undefined && clock.monotonic() - since >= strayMs) await this.#end(path);
    }
  }

  async #end(path: string): Promise<void> {
    const { address, namespace, log } = this.#options;
    const pid = await listenerOf(path);
    if (pid === undefined) return;
    const words = commandOf(pid);
    if (valueOf(words, '-address') !== address || valueOf(words, '-namespace') !== namespace) {
      this.#since.set(path, undefined);
      return;
    }
    if (childrenOf(pid).length > 0) return;
    log.info('ending a shim that serves no container', { pid, container: valueOf(words, '-id') });
    sendSignal(pid, signalKill);
    await rm(path, { force: true });
  }
}

const valueOf = (words: readonly string[], flag: string) => words[words.indexOf(flag) + 1];
