import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';

/** What dockerd gives itself. The manager, a child of the daemon, has the same; containers get their own, 0 by default. */
export const daemonOomScore = -500;

/** A host that runs out of memory shall end containers before the processes that look after them (proc(5)). */
export function protectFromOutOfMemory(log: Logger, path = '/proc/self/oom_score_adj'): void {
  try {
    if (Number(readFileSync(path, 'utf8')) > daemonOomScore) writeFileSync(path, String(daemonOomScore));
  } catch (error) {
    log.warn('the daemon may be ended before containers when memory runs out', { error: messageOf(error) });
  }
}
