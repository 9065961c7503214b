import { readFile, readdir, readlink, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { tryCommand } from '../../src/util/command.ts';
import type { Logger } from '../../src/util/log.ts';
import { sendSignal } from './kernel-processes.ts';
import { ifGone, listenerOf } from './shim-sockets.ts';

/** containerd clears a creation that was cut short by itself, one step in 5 s at most (`io.containerd.timeout.shim.cleanup`). */
const patienceMs = 12_000;
const pollMs = 25;
const socketScheme = 'unix://';
const signalKill = 9;

export interface BundlesOptions {
  /** Where containerd's second runtime keeps the bundles of our namespace. */
  directory: string;
  clock: Clock;
  log: Logger;
  /** When containerd was last seen to be away, in ms; 0: never. */
  lostAt: () => number;
}

/**
 * Bundles: the folders that containerd keeps for its tasks. One killed between making a bundle and giving it to the shim
 * leaves it for ever, and with it the container's id is taken; its shim may wait for ever as well.
 */
export class Bundles {
  readonly #options: BundlesOptions;

  constructor(options: BundlesOptions) {
    this.#options = options;
  }

  /**
   * For a container that containerd says it has no task of: waits until its bundle is gone, and removes one that a
   * containerd that is no more has left. Resolves at once when there is none, as nearly always.
   */
  async clear(id: string): Promise<void> {
    const { directory, clock, log, lostAt } = this.#options;
    const bundle = join(directory, id);
    const limit = clock.monotonic() + patienceMs;
    for (;;) {
      const found = await stat(bundle).catch(ifGone);
      if (!found) return;
      if (found.mtimeMs < lostAt() || clock.monotonic() > limit) break;
      await clock.sleep(pollMs);
    }
    log.info('removing what a killed containerd has left of a container', { container: id });
    await this.#endShim(id);
    await tryCommand('umount', ['--lazy', join(bundle, 'rootfs')]); // nearly always nothing is mounted, and it says so
    const work = await readlink(join(bundle, 'work')).catch(ifGone);
    if (work !== undefined) await rm(work, { recursive: true, force: true });
    await rm(bundle, { recursive: true, force: true });
  }

  /** The shim that looks after the container, if it is there. */
  async shimOf(id: string): Promise<number | undefined> {
    const address = await this.#address(id);
    return address === undefined ? undefined : await listenerOf(address);
  }

  /** The container's first process, as the runtime wrote it down; it may have ended since. */
  async initPid(id: string): Promise<number | undefined> {
    const text = await readFile(join(this.#options.directory, id, 'init.pid'), 'utf8').catch(ifGone);
    const pid = Number(text);
    return pid > 0 ? pid : undefined;
  }

  /** Paths of the sockets of all shims that a bundle names, other than this one. */
  async shimSockets(except?: string): Promise<Set<string>> {
    const ids = (await readdir(this.#options.directory).catch(ifGone)) ?? [];
    const addresses = await Promise.all(ids.filter((id) => id !== except).map((id) => this.#address(id)));
    return new Set(addresses.filter((address) => address !== undefined));
  }

  /** Ends the shim that was started for the bundle, unless it serves other bundles. */
  async #endShim(id: string): Promise<void> {
    const { log } = this.#options;
    const address = await this.#address(id);
    if (address === undefined || (await this.shimSockets(id)).has(address)) return;
    const pid = await listenerOf(address);
    if (pid === undefined) return;
    log.info('ending a shim that serves no container', { container: id, pid });
    sendSignal(pid, signalKill);
    await rm(address, { force: true });
  }

  async #address(id: string): Promise<string | undefined> {
    const text = await readFile(join(this.#options.directory, id, 'address'), 'utf8').catch(ifGone);
    return text?.trim().replace(socketScheme, '');
  }
}
