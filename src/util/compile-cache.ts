import module from 'node:module';
import { systemClock } from './clock.ts';

/** By then all that a start needs has been loaded. */
const settleMs = 10_000;

/**
 * Keeps what this thread has compiled for the next start, in the folder that `bin/shoal.mjs` names. Node does so only when a
 * process ends by itself, which one that is killed or runs for months does not; and compiling TypeScript costs a start
 * half a second and 10 to 20 MiB in each thread, which stay.
 */
export function keepCompiled(): void {
  systemClock.after(settleMs, () => module.flushCompileCache());
}
