import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** What the kernel says of processes, whatever shims and the engine say. */

const cgroupRoot = '/sys/fs/cgroup';
const signalRounds = 5;

interface Stat {
  state: string;
  parent: number;
  session: number;
  /** As wait(2) gives it. */
  waitStatus: number;
}

/** Processes of the control group with this path and of those below it; none when it is gone. */
export function processesOf(cgroupVersion: 1 | 2, path: string): number[] {
  const folder = cgroupVersion === 2 ? join(cgroupRoot, path) : join(cgroupRoot, 'memory', path);
  return processesBelow(folder);
}

/**
 * Sends the signal to every process of a control group that belongs to this session (the one that `leader` began), which
 * is what a command has started and not sent into the background as a daemon. With SIGKILL until there is none left:
 * a process may start another while it is looked for. Returns how many signals were sent.
 */
export function signalSession(processes: () => number[], leader: number, signal: number): number {
  let signalled = 0;
  for (let round = 0; round < signalRounds; round++) {
    const members = processes().filter((pid) => {
      const stat = statOf(pid);
      return stat?.session === leader && isAlive(stat);
    });
    for (const pid of members) sendSignal(pid, signal);
    signalled += members.length;
    if (members.length === 0 || signal !== 9) break;
  }
  return signalled;
}

/** How a process ended that its parent has not asked after yet, as a shell would say it; nothing while it lives. */
export function endOf(pid: number): { exitCode?: number } | undefined {
  const stat = statOf(pid);
  if (stat === undefined) return {};
  if (isAlive(stat)) return undefined;
  const signal = stat.waitStatus & 0x7f;
  return { exitCode: signal === 0 ? (stat.waitStatus >> 8) & 0xff : 128 + signal };
}

/** The words of its command line; none of one that has ended. */
export function commandOf(pid: number): string[] {
  return (textOf(`/proc/${pid}/cmdline`) ?? '').split('\0');
}

/** Processes that have this one as their parent. */
export function childrenOf(parent: number): number[] {
  const pids = readdirSync('/proc').map(Number);
  return pids.filter((pid) => pid > 0 && statOf(pid)?.parent === parent);
}

/** A process that has ended already is no error. */
export function sendSignal(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function processesBelow(folder: string): number[] {
  const own = textOf(join(folder, 'cgroup.procs'));
  if (own === undefined) return [];
  const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [
    ...own
      .split('\n')
      .filter((line) => line !== '')
      .map(Number),
    ...folders.flatMap(({ name }) => processesBelow(join(folder, name))),
  ];
}

/** From `/proc/PID/stat` (proc(5)): the name in it may hold anything, so what counts comes after its last bracket. */
function statOf(pid: number): Stat | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  return {
    state: fields[0]!,
    parent: Number(fields[1]),
    session: Number(fields[3]),
    waitStatus: Number(fields[49]),
  };
}

function isAlive({ state }: Stat): boolean {
  return state !== 'Z' && state !== 'X';
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENODEV' || code === 'EOPNOTSUPP') return undefined;
    throw error;
  }
}
