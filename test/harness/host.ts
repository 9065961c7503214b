import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand, tryCommand, type CommandOptions, type CommandResult } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import {
  clusterProcesses,
  findProcesses,
  killProcess,
  namespaceProcesses,
  readProcess,
  type Process,
} from './processes.ts';
import { cgroupParent, paths, type ClusterState } from './state.ts';
import { clusterEnvironment, firstLine, plug, setPort } from './underlay.ts';

export const projectRoot = join(import.meta.dirname, '../..');
const supervisor = join(import.meta.dirname, 'supervisor.sh');

/** Parts of a host that a test may kill. */
export type Part = 'agent' | 'manager' | 'etcd' | 'containerd';

/** One test host of a standing cluster. */
export class Host {
  readonly name: string;
  readonly address: string;
  readonly #directory: string;
  readonly #clusterId: string;
  /** The host's first process, as the root namespace counts. */
  readonly initPid: number;

  constructor(directory: string, state: ClusterState, name: string, initPid: number) {
    this.#directory = directory;
    this.#clusterId = state.id;
    this.name = name;
    this.address = state.hosts.find((host) => host.name === name)!.address;
    this.initPid = initPid;
  }

  /** What `SHOAL_HOST` must be to speak to this host's daemon from the root namespace. */
  get endpoint(): string {
    return `unix://${this.socket}`;
  }

  get socket(): string {
    return paths(this.#directory).socket(this.name);
  }

  get stateDirectory(): string {
    return paths(this.#directory).lib(this.name);
  }

  get logPath(): string {
    return paths(this.#directory).log(this.name);
  }

  /** A path under the host's `/run/shoal` as the root namespace sees it. */
  outside(path: string): string {
    return path.replace(/^\/run\/shoal(?=\/|$)/, paths(this.#directory).run(this.name));
  }

  /** Runs a program in all of the host's namespaces and gives what it printed, whatever its exit code. */
  async exec(command: string[], options: CommandOptions = {}): Promise<CommandResult> {
    const enter = ['-t', String(this.initPid), '-m', '-n', '-u', '-i', '-p', '--', ...command];
    return await tryCommand('nsenter', enter, { env: clusterEnvironment(this.#clusterId), ...options });
  }

  /** Like `exec`, but any exit code but 0 throws; gives standard output. */
  async run(command: string[], options: CommandOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.exec(command, options);
    if (exitCode === 0) return stdout;
    throw new ShoalError(
      'internal',
      `Cannot run ${command.join(' ')} on host ${this.name}: ${exitCode} ${stderr.trim()}`,
    );
  }

  /** The host's own processes, without those of containers. */
  async processes(): Promise<Process[]> {
    return await namespaceProcesses(this.initPid);
  }

  /** The process that is this part, if it runs. */
  async part(part: Part): Promise<Process | undefined> {
    const processes = await this.processes();
    return processes.find(({ state, name, command, parentPid }) => {
      if (state === 'Z') return false;
      if (part === 'containerd' || part === 'etcd') return name === part;
      const isDaemon = parentPid === this.initPid && / daemon( |$)/.test(command);
      return part === 'agent' ? isDaemon : !isDaemon && isManager(command);
    });
  }

  /** Kills the part with SIGKILL; throws `not_found` when it does not run. */
  async kill(part: Part): Promise<void> {
    const found = await this.part(part);
    if (!found)
      throw new ShoalError('not_found', `Cannot kill the ${part} of host ${this.name}: it does not run`);
    killProcess(found.pid, 'SIGKILL');
  }

  /** Pulls the host's network cable. */
  async cut(): Promise<void> {
    await setPort(this.#clusterId, this.name, 'down');
  }

  /** Puts the cable back. */
  async heal(): Promise<void> {
    await setPort(this.#clusterId, this.name, 'up');
  }
}

const isManager = (command: string) => /\/manager\/main\.[jt]s( |$)/.test(command);

export interface HostOptions {
  directory: string;
  state: ClusterState;
  /** Which of `state.hosts`. */
  name: string;
  /** What the host keeps running. */
  command: string[];
}

/** Starts one host on the switch; resolves when its supervisor has been told to start the program. */
export async function startHost(options: HostOptions): Promise<Host> {
  const { directory, state, name, command } = options;
  const at = paths(directory);
  await mkdir(at.run(name), { recursive: true, mode: 0o700 });
  await mkdir(at.lib(name), { recursive: true, mode: 0o700 });
  // slave: what this machine unmounts later is unmounted in the host too, and nothing of the host's comes out
  const propagation = ['--propagation', 'slave'];
  const namespaces = [
    '--mount',
    '--net',
    '--uts',
    '--ipc',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ];
  const child = spawn(
    'unshare',
    [...namespaces, ...propagation, supervisor, name, at.run(name), at.log(name), ...command],
    {
      detached: true,
      cwd: projectRoot,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: clusterEnvironment(state.id),
    },
  );
  await firstLine(child, `host ${name}`);
  const { address } = state.hosts.find((host) => host.name === name)!;
  await plug(state.id, name, address, child.pid!);
  const [init] = await childrenOf(child.pid!);
  if (!init) throw new ShoalError('internal', `Cannot start host ${name}: it ended at once`);
  await new Promise<void>((resolve) => child.stdin.end('go\n', () => resolve()));
  return new Host(directory, state, name, init.pid);
}

/** Finds the running hosts of a cluster again. */
export async function findHosts(directory: string, state: ClusterState): Promise<Host[]> {
  const processes = await clusterProcesses(state.id);
  return state.hosts.flatMap(({ name }) => {
    const isHost = ({ command }: Process) => command.includes(`${supervisor} ${name} `);
    const outer = processes.find((process) => process.name === 'unshare' && isHost(process));
    const init = processes.find((process) => process.parentPid === outer?.pid);
    return init ? [new Host(directory, state, name, init.pid)] : [];
  });
}

async function childrenOf(pid: number): Promise<Process[]> {
  return await findProcesses(async (candidate) => (await readProcess(candidate))?.parentPid === pid);
}

/** The program that a host runs unless another is given: this clone's `shoal daemon`. */
export function daemonCommand(
  directory: string,
  state: ClusterState,
  name: string,
  registry: string,
): string[] {
  const { address } = state.hosts.find((host) => host.name === name)!;
  const options = {
    state: paths(directory).lib(name),
    run: '/run/shoal',
    advertise: address,
    'insecure-registry': registry,
    'cgroup-parent': `${cgroupParent(state.id)}/${name}`,
  };
  return [
    join(projectRoot, 'node_modules/.bin/node'),
    join(projectRoot, 'bin/shoal.mjs'),
    'daemon',
    ...Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]),
  ];
}

/** Checks what hosts cannot live without. Throws `failed_precondition`. */
export async function checkMachine(directory: string): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new ShoalError('failed_precondition', 'Cannot make hosts: this needs root on Linux');
  }
  if (/^\/(run|proc|sys|dev)(\/|$)/.test(directory)) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot keep hosts in ${directory}: every host has its own there`,
      {
        next: 'Choose a folder on a disk, such as /var/tmp/hosts.',
      },
    );
  }
  await runCommand('ip', ['-Version']);
}
