import { readFile, readdir, readlink } from 'node:fs/promises';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { markerName, type ProcessIdentity } from './state.ts';

/** One process of this machine, as `/proc` shows it (proc(5)). */
export interface Process extends ProcessIdentity {
  parentPid: number;
  /** At most 15 characters. */
  name: string;
  /** Arguments, separated by spaces. */
  command: string;
  /** `Z`: ended, but its parent has not asked how. */
  state: string;
}

/** One process, or nothing when it has ended. */
export async function readProcess(pid: number): Promise<Process | undefined> {
  const [stat, command] = await Promise.all([
    readProc(`/proc/${pid}/stat`),
    readProc(`/proc/${pid}/cmdline`),
  ]);
  if (stat === '') return undefined;
  // the name stands in parentheses and may hold any character
  const nameEnd = stat.lastIndexOf(')');
  const fields = stat.slice(nameEnd + 2).split(' ');
  return {
    pid,
    name: stat.slice(stat.indexOf('(') + 1, nameEnd),
    state: fields[0] ?? '?',
    parentPid: Number(fields[1]),
    startedAt: Number(fields[19]),
    command: command.replaceAll('\0', ' ').trim(),
  };
}

/** Who this process is, for others to find it. */
export async function ownIdentity(): Promise<ProcessIdentity> {
  const { pid, startedAt } = (await readProcess(process.pid))!;
  return { pid, startedAt };
}

/** All processes for which `wanted` holds. */
export async function findProcesses(wanted: (pid: number) => Promise<boolean>): Promise<Process[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const found = await Promise.all(
    pids.map(async (pid) => ((await wanted(pid)) ? readProcess(pid) : undefined)),
  );
  return found.filter((process) => process !== undefined).sort((left, right) => left.pid - right.pid);
}

/** All processes that carry the cluster's marker in their environment: whatever it started and what came of that. */
export async function clusterProcesses(id: string): Promise<Process[]> {
  const marker = `${markerName}=${id}`;
  return await findProcesses(async (pid) => {
    const environment = await readProc(`/proc/${pid}/environ`);
    return environment.split('\0').includes(marker);
  });
}

/** All processes whose pid namespace is that of `initPid`; those in namespaces below it (containers) are not among them. */
export async function namespaceProcesses(initPid: number): Promise<Process[]> {
  const namespace = await namespaceOf(initPid, 'pid');
  if (namespace === '') return [];
  return await findProcesses(async (pid) => (await namespaceOf(pid, 'pid')) === namespace);
}

/** These processes and all their descendants, in whatever namespace. */
export async function processTree(roots: number[]): Promise<Process[]> {
  const all = await findProcesses(() => Promise.resolve(true));
  const found = new Set(roots);
  let size = 0;
  while (size !== found.size) {
    size = found.size;
    for (const { pid, parentPid } of all) if (found.has(parentPid)) found.add(pid);
  }
  return all.filter(({ pid }) => found.has(pid));
}

/** The namespace's identity, such as `net:[4026531840]`; empty when the process has ended. */
export async function namespaceOf(pid: number | 'self', kind: 'pid' | 'net' | 'mnt'): Promise<string> {
  return await readlink(`/proc/${pid}/ns/${kind}`).catch(ifGone);
}

/** Kills what `find` finds, and again what it finds then, until it finds nothing but ended ones. Throws after `limitMs`. */
export async function killUntilGone(find: () => Promise<Process[]>, limitMs = 20_000): Promise<void> {
  const deadline = systemClock.now() + limitMs;
  for (;;) {
    const left = (await find()).filter(({ pid, state }) => pid !== process.pid && state !== 'Z');
    if (left.length === 0) return;
    if (systemClock.now() > deadline) {
      const names = left.map(({ pid, name }) => `${pid} (${name})`).join(', ');
      throw new ShoalError('internal', `Cannot end the processes ${names}`);
    }
    for (const { pid } of left) killProcess(pid, 'SIGKILL');
    await systemClock.sleep(20);
  }
}

/** Sends a signal; a process that has ended already is no error. */
export function killProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Proportional memory of a process in bytes: shared pages count by share (`smaps_rollup`); 0 when it has ended. */
export async function proportionalMemoryBytes(pid: number): Promise<number> {
  const rollup = await readProc(`/proc/${pid}/smaps_rollup`);
  return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024;
}

async function readProc(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(ifGone);
}

/** A process may end between being listed and being read; kernel threads have no namespaces to read. */
function ifGone(error: NodeJS.ErrnoException): string {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) return '';
  throw error;
}
