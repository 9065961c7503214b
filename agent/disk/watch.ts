import { stat } from 'node:fs/promises';
import type { ConditionReporter } from '../conditions/conditions.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import { formatBytes } from '../../src/util/text.ts';
import { spaceOf, type Space } from './space.ts';

const mebibyte = 1024 * 1024;
/** Below this much free room, or this share of a small disk, a disk counts as full. */
const fullBytes = 256 * mebibyte;
const fullShare = 0.05;
/** A disk that was full must have this many times as much free before it counts as one with room again. */
const recoveryFactor = 2;
const lookIntervalMs = 5_000;
/** After a write found no room the disk counts as full at least this long, whatever is free then. */
export const noSpaceHoldMs = 20_000;

export interface WatchedDisk {
  /** What is kept there, for the words of the condition and as its source: `state`, `images`. */
  name: string;
  path: string;
}

export interface DiskWatchOptions {
  disks: WatchedDisk[];
  conditions: ConditionReporter;
  clock: Clock;
  log: Logger;
  /** @default spaceOf */
  look?: (path: string) => Promise<Space>;
}

/** With less free room than this a disk counts as full. */
export function leastFreeBytes({ totalBytes }: Space): number {
  return Math.min(fullBytes, totalBytes * fullShare);
}

/** Whether a disk counts as full. One that did needs twice the room to lose that, so that it does not come and go. */
export function isFull(space: Space, wasFull: boolean): boolean {
  const factor = wasFull ? recoveryFactor : 1;
  return (
    space.freeBytes < leastFreeBytes(space) * factor ||
    space.freeFiles < space.totalFiles * (fullShare / 5) * factor
  );
}

/**
 * Watches over the room on the disks that Shoal writes to, and reports `DiskFull`: when little is left, and when a write
 * found none. Disks that hold several things are reported once.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #loop: Loop;
  readonly #full = new Set<string>();
  /** Until when a disk counts as full because a write said so (monotonic ms). */
  readonly #heldUntil = new Map<string, number>();

  constructor(options: DiskWatchOptions) {
    const { clock, log } = options;
    this.#options = options;
    const tick = () => this.#lookAtAll();
    this.#loop = new Loop({ name: 'disk watch', clock, log, tick, intervalMs: lookIntervalMs });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** A write to this disk found no room. */
  noSpace(name: string): void {
    this.#heldUntil.set(name, this.#options.clock.monotonic() + noSpaceHoldMs);
    this.#loop.poke();
  }

  async #lookAtAll(): Promise<void> {
    const devices = new Set<number>();
    for (const { name, path } of this.#options.disks) {
      // what is not there yet will be made by somebody else
      const device = (await stat(path).catch(() => undefined))?.dev;
      if (device === undefined) continue;
      if (devices.has(device) && !this.#isHeld(name)) this.#tell(name, path, undefined);
      else await this.#lookAt(name, path);
      devices.add(device);
    }
  }

  async #lookAt(name: string, path: string): Promise<void> {
    const { look = spaceOf, log } = this.#options;
    try {
      const space = await look(path);
      const full = this.#isHeld(name) || isFull(space, this.#full.has(name));
      this.#tell(name, path, full ? space : undefined);
    } catch (error) {
      log.warn('the room on a disk cannot be seen', { path, error: messageOf(error) });
    }
  }

  #isHeld(name: string): boolean {
    return this.#options.clock.monotonic() < (this.#heldUntil.get(name) ?? 0);
  }

  #tell(name: string, path: string, space: Space | undefined): void {
    const { conditions } = this.#options;
    if (space === undefined) {
      this.#full.delete(name);
      conditions.clear('DiskFull', name);
      return;
    }
    this.#full.add(name);
    conditions.set('DiskFull', name, fullWords(path, space));
  }
}

/** In round numbers: every change of the words is told to the manager. */
function fullWords(path: string, { freeBytes, totalBytes, freeFiles, totalFiles }: Space): string {
  const roundUp = (count: number) => (count < 1 ? 1 : 2 ** Math.ceil(Math.log2(count)));
  const fewFiles = freeFiles < totalFiles * fullShare;
  const files = fewFiles ? `, and fewer than ${roundUp(freeFiles + 1)} files` : '';
  if (freeBytes < mebibyte) return `${path} has no space left of ${formatBytes(totalBytes)}${files}`;
  return `${path} has less than ${formatBytes(roundUp(freeBytes + 1))} of ${formatBytes(totalBytes)} free${files}`;
}
