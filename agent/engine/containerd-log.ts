import { copyFile, stat, truncate } from 'node:fs/promises';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';

/** containerd's log and the one before it have at most about this size each. */
export const containerdLogBytesMax = 10 * 1024 * 1024;
const lookIntervalMs = 30_000;

/**
 * Keeps the log of a containerd of our own within bounds for as long as the signal allows. containerd outlives us with its
 * log open for appending, so the file is copied and emptied, not renamed.
 */
export async function boundContainerdLog(options: {
  path: string;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { path, clock, log, signal } = options;
  while (!signal.aborted) {
    try {
      await rotateWhenLarge(path, containerdLogBytesMax);
    } catch (error) {
      log.warn("containerd's log could not be rotated", { path, error: messageOf(error) });
    }
    await clock.sleep(lookIntervalMs, signal).catch(() => undefined); // woken early: stopping
  }
}

/** Copies a file larger than that to `PATH.1` and empties it. Lines written in between are lost. */
export async function rotateWhenLarge(path: string, bytesMax: number): Promise<boolean> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (found === undefined || found.size <= bytesMax) return false;
  try {
    await copyFile(path, `${path}.1`);
  } finally {
    await truncate(path); // on a full disk this is what makes room
  }
  return true;
}
