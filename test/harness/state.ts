import { readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemRandom } from '../../src/util/random.ts';
import { ShoalError } from '../../src/util/errors.ts';

/**
 * What `DIR/state.json` holds. It is written before anything is made, and everything that is made can be found from it:
 * every process carries `id` in its environment, every link, cgroup and file has a name that follows from it.
 */
export interface ClusterState {
  /** 8 lower-case letters and digits. */
  id: string;
  hosts: { name: string; address: string }[];
  /** `10.99.7`: the hosts' addresses are `.11`, `.12`, …; absent until one has been chosen. */
  subnet?: string;
  /** Who is making it right now; absent once it stands. */
  maker?: ProcessIdentity;
}

/** A process id alone may be another process's later. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since the machine started, field 22 of `/proc/PID/stat` (proc(5)). */
  startedAt: number;
}

export const hostsMax = 26;
/** Set in the environment of every process of a cluster; its value is the cluster's id. */
export const markerName = 'SHOAL_TEST_CLUSTER';
export const registryPort = 5000;

/** `a`, `b`, … */
export function hostNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String.fromCodePoint('a'.codePointAt(0)! + index));
}

/** Host number `index` (from 0), the root namespace and the switch on the underlay `10.99.N`. */
export const addresses = {
  host: (subnet: string, index: number) => `${subnet}.${11 + index}`,
  root: (subnet: string) => `${subnet}.1`,
  switch: (subnet: string) => `${subnet}.2`,
};

/** The root namespace's link to the switch; at most 15 characters. */
export const rootLinkName = (id: string) => `sht${id}`;
/** Parent of all cgroups of the cluster, in every hierarchy. */
export const cgroupParent = (id: string) => `/shoal-test-${id}`;

/** Where things lie in a cluster's folder. */
export function paths(directory: string) {
  const host = (name: string) => join(directory, 'hosts', name);
  return {
    state: join(directory, 'state.json'),
    hosts: join(directory, 'hosts'),
    disks: join(directory, 'disks'),
    registry: join(directory, 'registry'),
    images: join(directory, 'images'),
    applications: join(directory, 'applications'),
    clocks: join(directory, 'clocks'),
    run: (name: string) => join(host(name), 'run'),
    lib: (name: string) => join(host(name), 'lib'),
    log: (name: string) => join(host(name), 'daemon.log'),
    socket: (name: string) => join(host(name), 'run', 'shoal.sock'),
  };
}

export function newState(count: number, maker: ProcessIdentity): ClusterState {
  const hosts = hostNames(count).map((name) => ({ name, address: '' }));
  return { id: systemRandom.id().slice(0, 8), hosts, maker };
}

/** Written whole or not at all. */
export async function saveState(directory: string, state: ClusterState): Promise<void> {
  const { state: path } = paths(directory);
  await writeFile(`${path}.new`, JSON.stringify(state, null, 2));
  await rename(`${path}.new`, path);
}

/** The state in `directory`, or nothing when there is none. */
export async function tryLoadState(directory: string): Promise<ClusterState | undefined> {
  try {
    return JSON.parse(await readFile(paths(resolve(directory)).state, 'utf8')) as ClusterState;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The state in `directory`; throws `not_found` when there is none. */
export async function loadState(directory: string): Promise<ClusterState> {
  const state = await tryLoadState(directory);
  if (state) return state;
  throw new ShoalError('not_found', `Cannot find a cluster of test hosts in ${directory}`, {
    next: 'Name the folder that was given to `up` with --dir.',
  });
}
