import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { ClusterInfo, InitRequest, JoinRequest, JoinTokens, LocalInfo } from '../../src/wire/api.ts';
import { localPrefix } from '../../src/wire/api.ts';
import { connect, type Client } from '../../src/wire/client.ts';
import { managerState, type ManagerState } from '../../src/spec/manager-state.ts';
import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import { systemClock, withDeadline } from '../../src/util/clock.ts';
import { tryCommand, type CommandOptions, type CommandResult } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { mountDisk } from './disk.ts';
import { leftovers, removeHostCgroups, takeDown } from './down.ts';
import { checkMachine, daemonCommand, findHosts, projectRoot, startHost, type Host } from './host.ts';
import type { BuiltImage, BuiltIndex } from './image.ts';
import { killProcess, killUntilGone, ownIdentity, readProcess } from './processes.ts';
import { pushImage, registryReady, writeRegistryConfig } from './registry.ts';
import {
  addresses,
  hostsMax,
  loadState,
  newState,
  paths,
  registryPort,
  saveState,
  tryLoadState,
  type ClusterState,
} from './state.ts';
import { clusterEnvironment, makeSwitch, switchPid } from './underlay.ts';

export interface ClusterOptions {
  /** @default 3 */
  hosts?: number;
  /** How many of them are managers: the first ones. @default 1 */
  managers?: number;
  /** Hosts that have their state on a disk of their own, and its size in MiB. */
  disks?: Record<string, number>;
  /** Where everything of it lies. @default a new folder among the temporary ones */
  directory?: string;
  /** What every host keeps running instead of the daemon of this clone; no cluster is formed then. */
  command?: string[];
  /** Variables of a host's daemon, and of what it starts, beside those of every host. */
  environment?: (directory: string, host: string) => Promise<Record<string, string>>;
  /** Told what is being done. */
  onStep?: (step: string) => void;
  /** Ends the making; nothing stays behind then. */
  signal?: AbortSignal;
}

const daemonLimitMs = 20_000;
const readyLimitMs = 60_000;
/** Moving the store and adding its members, one after another. */
const managersLimitMs = 90_000;
const commandLimitMs = 120_000;
const pollMs = 50;

/** A standing cluster of test hosts. */
export class Cluster {
  readonly directory: string;
  readonly id: string;
  readonly hosts: Host[];
  /** `ADDRESS:PORT` of the registry, for hosts and for the root namespace. */
  readonly registry: string;

  constructor(directory: string, state: ClusterState, hosts: Host[]) {
    this.directory = directory;
    this.id = state.id;
    this.hosts = hosts;
    this.registry = registryName(state);
  }

  /** The host of that name (`a`, `b`, …); throws `not_found`. */
  host(name: string): Host {
    const found = this.hosts.find((host) => host.name === name);
    if (found) return found;
    throw new ShoalError('not_found', `Cannot find host ${name} in ${this.directory}`);
  }

  /** The first host, which is the manager. */
  get manager(): Host {
    return this.hosts[0]!;
  }

  /** Runs `shoal ARGS` against a host's daemon, the manager's unless named, and gives what it printed and its exit code. */
  async shoal(args: string[], options: CommandOptions & { host?: string } = {}): Promise<CommandResult> {
    const { host: name, ...others } = options;
    const host = name === undefined ? this.manager : this.host(name);
    const [program, ...all] = shoalCommand(args);
    return await tryCommand(program, all, {
      timeoutMs: commandLimitMs,
      ...others,
      env: { PATH: process.env['PATH'], HOME: '/root', SHOAL_HOST: host.endpoint, ...others.env },
    });
  }

  /** A client of a host's API, the manager's unless named; the caller closes it. */
  client(name?: string): Client {
    return connect((name === undefined ? this.manager : this.host(name)).endpoint);
  }

  /** Pushes an image to the registry; gives the name under which hosts pull it. */
  async push(name: string, image: BuiltImage | BuiltIndex): Promise<string> {
    await pushImage(this.registry, name, image);
    return `${this.registry}/${name}`;
  }

  /** The newest lines of the hosts' logs that are more than information, for whoever looks into a failed test. */
  async troubles(linesMax = 15): Promise<string> {
    const logs = await Promise.all(
      this.hosts.map(async ({ name, logPath }) => {
        const lines = (await readFile(logPath, 'utf8').catch(() => '')).split('\n');
        const telling = lines.filter((line) => line !== '' && !/"level":"(info|debug)"/.test(line));
        return telling.slice(-linesMax).map((line) => `${name}: ${line}\n`);
      }),
    );
    return logs.flat().join('');
  }

  /** What is left of the cluster on this machine; empty after `down`. */
  async leftovers(): Promise<string[]> {
    return await leftovers(this.directory, this.id);
  }

  /**
   * Turns a host off, without a warning, and on again: its processes, links, mounts and `/run` are gone, its disk is not.
   * Resolves when it is being started, with `host(name)` being the new one.
   */
  async reboot(name: string): Promise<Host> {
    const old = this.host(name);
    const state = await loadState(this.directory);
    const outer = await readProcess((await readProcess(old.initPid))!.parentPid);
    killProcess(old.initPid, 'SIGKILL');
    await killUntilGone(async () => {
      const found = outer && (await readProcess(outer.pid));
      return found?.startedAt === outer?.startedAt && found ? [found] : [];
    });
    await rm(paths(this.directory).run(name), { recursive: true, force: true });
    await removeHostCgroups(this.id, name);
    const command = daemonCommand(this.directory, state, name, this.registry);
    const host = await startHost({ directory: this.directory, state, name, command });
    this.hosts.splice(this.hosts.indexOf(old), 1, host);
    return host;
  }

  /** Removes every trace. */
  async down(): Promise<void> {
    await takeDown(this.directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}

/** The command line of this clone: program and arguments. */
export function shoalCommand(args: string[]): [string, ...string[]] {
  return [join(projectRoot, 'node_modules/.bin/node'), join(projectRoot, 'bin/shoal.mjs'), ...args];
}

const registryName = ({ subnet }: ClusterState) => `${addresses.switch(subnet!)}:${registryPort}`;

/**
 * Makes hosts and forms a cluster of them. It stands until `down`, and no longer than this process: a guard outside it
 * takes the cluster down when this process ends without having done so.
 */
export async function createCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const directory = resolve(options.directory ?? (await mkdtemp(join(tmpdir(), 'shoal-hosts-'))));
  await mkdir(directory, { recursive: true });
  const guard = startGuard(directory);
  const cluster = await bringUp({ ...options, directory });
  const down = cluster.down.bind(cluster);
  cluster.down = async () => {
    await down();
    guard.stop();
  };
  return cluster;
}

/** Makes hosts and forms a cluster of them, which stands until `takeDown`. On failure nothing stays behind. */
export async function bringUp(options: ClusterOptions & { directory: string }): Promise<Cluster> {
  const { hosts = 3, managers = 1, directory } = options;
  if (!(hosts >= 1 && hosts <= hostsMax)) {
    throw new ShoalError('invalid_argument', `Cannot make ${hosts} hosts: 1 to ${hostsMax} are possible`);
  }
  if (!(managers >= 1 && managers <= hosts)) {
    throw new ShoalError('invalid_argument', `Cannot make ${managers} managers of ${hosts} hosts`);
  }
  await checkMachine(directory);
  await mkdir(directory, { recursive: true });
  if (await tryLoadState(directory)) {
    throw new ShoalError('already_exists', `Cannot make hosts in ${directory}: there are some already`, {
      next: 'Take them down first, or choose another folder.',
    });
  }
  const state = newState(hosts, await ownIdentity());
  await saveState(directory, state);
  try {
    return await build(state, options);
  } catch (error) {
    await takeDown(directory);
    throw error;
  }
}

async function build(state: ClusterState, options: ClusterOptions & { directory: string }): Promise<Cluster> {
  const { directory, onStep = () => undefined, signal } = options;
  onStep(`making ${state.hosts.length} hosts`);
  const subnet = await makeSwitch(state.id, async (subnet) => {
    state.subnet = subnet;
    state.hosts = state.hosts.map(({ name }, index) => ({ name, address: addresses.host(subnet, index) }));
    await saveState(directory, state);
  });
  for (const [name, mebibytes] of Object.entries(options.disks ?? {})) {
    await mountDisk(directory, name, mebibytes);
  }
  const registry = runRegistry(directory, state, addresses.switch(subnet));
  const starting = state.hosts.map(async ({ name }) => {
    const command = options.command ?? daemonCommand(directory, state, name, registryName(state));
    const variables = Object.entries((await options.environment?.(directory, name)) ?? {});
    const assigned = variables.map(([variable, value]) => `${variable}=${value}`);
    return startHost({ directory, state, name, command: ['env', ...assigned, ...command] });
  });
  // all of them come to an end before a failure is passed on: what is started later would not be found and removed
  await Promise.allSettled([registry, ...starting]);
  await registry;
  const hosts = await Promise.all(starting);
  signal?.throwIfAborted();
  if (!options.command) await form(hosts, { managers: options.managers ?? 1, onStep, signal });
  delete state.maker;
  await saveState(directory, state);
  return new Cluster(directory, state, hosts);
}

/** The registry is at home in the switch's namespace, where no firewall of this machine stands before it. */
async function runRegistry(directory: string, state: ClusterState, address: string): Promise<void> {
  const config = await writeRegistryConfig({
    address,
    port: registryPort,
    directory: paths(directory).registry,
  });
  const namespace = `--net=/proc/${await switchPid(state.id)}/ns/net`;
  spawn('nsenter', [namespace, 'docker-registry', 'serve', config], {
    detached: true,
    stdio: 'ignore',
    env: clusterEnvironment(state.id),
  }).unref();
  await registryReady(`${address}:${registryPort}`);
}

/** The first host starts a cluster, the others join it with the tokens it gives: managers one after another, workers together. */
async function form(
  [first, ...others]: Host[],
  {
    managers,
    onStep,
    signal,
  }: { managers: number; onStep: (step: string) => void; signal: AbortSignal | undefined },
): Promise<void> {
  const ask = async <T>(host: Host, path: string, body: unknown): Promise<T> => {
    await daemonReady(host, signal);
    const client = connect(host.endpoint);
    try {
      return await client.request<T>('POST', `${localPrefix}${path}`, body);
    } finally {
      client.close();
    }
  };
  onStep('forming the cluster');
  const init: InitRequest = { advertiseAddress: first!.address };
  const { tokens } = await ask<LocalInfo & { tokens: JoinTokens }>(first!, '/init', init);
  const manager = tokens.addresses[0] ?? first!.address;
  const joins = (host: Host, token: string) => {
    const join: JoinRequest = { token, manager, advertiseAddress: host.address };
    return ask<LocalInfo>(host, '/join', join);
  };
  for (const host of others.slice(0, managers - 1)) {
    onStep(`host ${host.name} joins as a manager`);
    await joins(host, tokens.manager);
  }
  await Promise.all(others.slice(managers - 1).map((host) => joins(host, tokens.worker)));
  await nodesReady(first!, others.length + 1, signal);
  if (managers > 1) await managersReady(first!, managers, signal);
}

/** Asks a host's daemon until `check` says yes; what it throws means not yet, until the deadline. */
async function askUntil(
  host: Host,
  limit: { ms: number; what: string; stop: AbortSignal | undefined },
  check: (client: Client, signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const client = connect(host.endpoint);
  const ask = async (signal: AbortSignal) => {
    while (!(await check(client, signal).catch(() => false))) await systemClock.sleep(pollMs, signal);
  };
  try {
    await withDeadline(limit.ms, limit.what, ask, limit.stop);
  } finally {
    client.close();
  }
}

/** Resolves when the host's daemon answers on its socket. */
async function daemonReady(host: Host, stop?: AbortSignal): Promise<void> {
  const what = `Starting the daemon of host ${host.name} (see ${host.logPath})`;
  await askUntil(host, { ms: daemonLimitMs, what, stop }, async (client, signal) => {
    await client.request<LocalInfo>('GET', `${localPrefix}/info`, undefined, { signal });
    return true;
  });
}

/** Resolves when that many nodes are ready in the eyes of the manager. */
export async function nodesReady(manager: Host, count: number, stop?: AbortSignal): Promise<void> {
  const what = `Waiting for ${count} ready nodes (see ${manager.logPath})`;
  await askUntil(manager, { ms: readyLimitMs, what, stop }, async (client, signal) => {
    const nodes = await client.request<Node[]>('GET', '/nodes', undefined, { signal });
    return nodes.filter(({ status }) => status.state === 'ready').length >= count;
  });
}

/** Resolves when that many managers have their place in the eyes of the one on the host: of two the second one is a standby. */
export async function managersReady(host: Host, count: number, stop?: AbortSignal): Promise<void> {
  const what = `Waiting for ${count} managers (see ${host.logPath})`;
  await askUntil(host, { ms: managersLimitMs, what, stop }, async (client, signal) => {
    const states = Object.values(await managerStates(client, signal)).sort();
    const follower = count === 2 ? 'Standby' : 'Reachable';
    return isDeepStrictEqual(states, ['Leader', ...Array<string>(count - 1).fill(follower)]);
  });
}

/** What each manager is, by its host's name. */
export async function managerStates(
  client: Client,
  signal?: AbortSignal,
): Promise<Record<string, ManagerState>> {
  const [nodes, { leader }] = await Promise.all([
    client.request<Node[]>('GET', '/nodes', undefined, { ...(signal && { signal }) }),
    client.request<ClusterInfo>('GET', '/cluster', undefined, { ...(signal && { signal }) }),
  ]);
  const states = nodes.map((node) => [nodeName(node), managerState(node, leader)] as const);
  return Object.fromEntries(states.filter((each): each is [string, ManagerState] => each[1] !== undefined));
}

/** Takes up a cluster that stands already. */
export async function openCluster(directory: string): Promise<Cluster> {
  const state = await loadState(directory);
  return new Cluster(resolve(directory), state, await findHosts(resolve(directory), state));
}

/**
 * A small process outside this one that waits for this one's end, however it comes, and then takes the cluster down.
 * The other end of its standard input is here and nowhere else.
 */
function startGuard(directory: string): { stop: () => void } {
  const down = [join(import.meta.dirname, 'hosts.ts'), 'down', '--dir', directory];
  const script = 'cat >/dev/null; test -e "$STATE" || exit 0; exec "$@"';
  const guard = spawn('sh', ['-c', script, 'guard', process.execPath, ...down], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { ...process.env, STATE: paths(directory).state },
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref(); // a pipe is a net.Socket, which the type does not say
  return { stop: () => guard.stdin.destroy() };
}
