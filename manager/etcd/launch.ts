import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { lockedExitCode } from './exit.ts';

/** The kernel ends anything else on the host first: without its member a manager is none. */
const oomScoreAdjust = -900;

export interface LaunchOptions {
  program: string;
  flags: readonly string[];
  /** Held for as long as etcd runs. Its own lock makes a second etcd wait without a word. */
  lockPath: string;
  /** Takes what it says on stderr, in pieces. @default it is thrown away */
  onOutput?: (text: string) => void;
}

/**
 * Starts etcd as a child of this process that ends with it, however it ends. Variables of the environment are kept from it:
 * those that begin with ETCD_ would be flags.
 */
export function launchEtcd({ program, flags, lockPath, onOutput }: LaunchOptions): ChildProcess {
  const lock = ['--nonblock', '--no-fork', '--conflict-exit-code', String(lockedExitCode), lockPath];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'flock', ...lock, program, ...flags], {
    stdio: ['ignore', 'ignore', onOutput === undefined ? 'ignore' : 'pipe'],
    env: { PATH: process.env.PATH },
  });
  if (onOutput !== undefined) child.stderr?.setEncoding('utf8').on('data', onOutput);
  if (child.pid !== undefined) protect(child.pid);
  return child;
}

function protect(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(oomScoreAdjust));
  } catch {
    // only root may; etcd runs all the same
  }
}

/** Resolves when the process has ended, or could not be started at all, and all that it said has been read. */
export function endOf(
  child: ChildProcess,
): Promise<{ code: number | undefined; signal: string | undefined; cause?: Error }> {
  return new Promise((resolve) => {
    child.once('error', (cause) => resolve({ code: undefined, signal: undefined, cause }));
    child.once('close', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
  });
}
