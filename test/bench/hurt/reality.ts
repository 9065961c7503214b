import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { canRollBack } from '../../../src/spec/change.ts';
import type { Node } from '../../../src/spec/node.ts';
import type { Service, ServiceSpec } from '../../../src/spec/service.ts';
import { systemClock } from '../../../src/util/clock.ts';
import { ShoalError } from '../../../src/util/errors.ts';
import type { ApplicationSummary, TaskInfo, VolumeInfo } from '../../../src/wire/api.ts';
import type { TaskRow } from '../../../src/cli/tasks.ts';
import type { Client } from '../../../src/wire/client.ts';
import type { Cluster } from '../../harness/cluster.ts';
import type { Host } from '../../harness/host.ts';
import { getJson } from '../../harness/load.ts';
import {
  application,
  serviceKeys,
  type ServiceKey,
  type ServiceState,
  type State,
  type Variant,
} from './model.ts';
import type { MidwayLook } from './midway.ts';
import { port, secondPort } from './project.ts';

/** What there is, asked of the manager, of the command line, of the hosts and of the published ports. */

/** A container as its host's containerd and kernel tell of it. */
export interface Container {
  host: string;
  id: string;
  image: string;
  /** The variable VERSION of its first process. */
  version: string;
}

export interface Answer {
  version: string;
  replica: string;
  api: { version: string; replica: string };
}

export interface Seen {
  /** Of `shoal ls`; absent: it does not list the project. */
  summary?: ApplicationSummary;
  /** Of `shoal ps`. */
  rows: TaskRow[];
  /** Those that run, on all hosts. */
  containers: Container[];
  /** What the published port of each host answers; text: why it does not. */
  answers: { host: string; answer: Answer | string }[];
  /** Hosts on which the second port takes connections. */
  secondPortOn: string[];
  /** What the store has noted, oldest first, for each host that has such a volume. */
  starts: { host: string; lines: string[] }[];
}

const answersPerHost = 6;
const connectLimitMs = 5_000;

async function asking<T>(cluster: Cluster, ask: (client: Client) => Promise<T>): Promise<T> {
  const client = cluster.client();
  try {
    return await ask(client);
  } finally {
    client.close();
  }
}

export async function nodeCalled(cluster: Cluster, name: string): Promise<Node> {
  const nodes = await asking(cluster, (client) => client.request<Node[]>('GET', '/nodes'));
  const found = nodes.find(({ description }) => description?.hostname === name);
  if (found) return found;
  throw new ShoalError('not_found', `Cannot find node ${name}`);
}

/** The services and tasks of the project as the manager has them. */
export interface Stored {
  services: Service[];
  tasks: TaskInfo[];
}

export async function askStored(cluster: Cluster): Promise<Stored> {
  return await asking(cluster, async (client) => ({
    services: await client.request<Service[]>('GET', `/services?application=${application}`),
    tasks: await client.request<TaskInfo[]>('GET', `/tasks?application=${application}`),
  }));
}

/** The manager's view of the project as the oracle reads it. */
export async function askState(cluster: Cluster): Promise<State> {
  const { services } = await askStored(cluster);
  const [volume, nodes] = await asking(cluster, async (client) => [
    await client.request<VolumeInfo>('GET', `/volumes/${application}_data`),
    await client.request<Node[]>('GET', '/nodes'),
  ]);
  const nameOf = (node: Node | undefined) => node?.description?.hostname;
  const drained = nameOf(nodes.find(({ availability }) => availability === 'drain'));
  const state = Object.fromEntries(serviceKeys.map((key) => [key, stateOf(serviceCalled(services, key))]));
  return {
    services: state as Record<ServiceKey, ServiceState>,
    home: nameOf(nodes.find(({ id }) => id === volume.home?.nodeId)) ?? '',
    ...(drained !== undefined && { drained }),
  };
}

export function serviceCalled(services: readonly Service[], key: ServiceKey): Service {
  const found = services.find(({ spec }) => spec.name === `${application}_${key}`);
  if (found) return found;
  throw new ShoalError('not_found', `Cannot find service ${application}_${key}`);
}

function stateOf(service: Service): ServiceState {
  const { mode } = service.spec;
  return {
    ...variantIn(service.spec),
    replicas: mode.kind === 'replicated' ? mode.replicas : 0,
    ...(canRollBack(service) && { target: variantIn(service.rollbackTarget!.spec) }),
  };
}

function variantIn({ task, ports }: ServiceSpec): Variant {
  return {
    version: task.container.environment.VERSION ?? '',
    secondPort: ports.some(({ published }) => published === secondPort),
  };
}

/** What a command prints as JSON. Throws `failed_precondition` with what it says when it fails. */
async function printed<T>(cluster: Cluster, args: string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await cluster.shoal([...args, '--json']);
  if (exitCode === 0) return JSON.parse(stdout) as T;
  throw new ShoalError('failed_precondition', `Cannot see \`shoal ${args.join(' ')}\`: ${stderr.trim()}`);
}

async function askSummary(cluster: Cluster): Promise<ApplicationSummary | undefined> {
  const summaries = await printed<ApplicationSummary[]>(cluster, ['ls']);
  return summaries.find(({ name }) => name === application);
}

/** Asks `ps`, then `ls` and the hosts, then `ps` again. */
export async function lookMidway(cluster: Cluster): Promise<MidwayLook> {
  const beganMs = systemClock.monotonic();
  const askRows = () => printed<TaskRow[]>(cluster, ['ps', '-p', application, '--all']);
  const before = await askRows();
  const [summary, containers] = await Promise.all([
    askSummary(cluster),
    Promise.all(cluster.hosts.map(containersOn)),
  ]);
  const after = await askRows();
  return { beganMs, before, ...(summary && { summary }), containers: containers.flat(), after };
}

/** Asks everybody at about the same time. */
export async function look(cluster: Cluster): Promise<Seen> {
  const { hosts } = cluster;
  const [summary, rows, containers, answers, open, starts] = await Promise.all([
    askSummary(cluster),
    printed<TaskRow[]>(cluster, ['ps', '-p', application]),
    Promise.all(hosts.map(containersOn)),
    Promise.all(hosts.map(answersOf)),
    Promise.all(hosts.map((host) => takesConnections(host, secondPort))),
    Promise.all(hosts.map(startsOn)),
  ]);
  return {
    ...(summary && { summary }),
    rows,
    containers: containers.flat(),
    answers: answers.flat(),
    secondPortOn: hosts.filter((_, index) => open[index]).map(({ name }) => name),
    starts: starts.flat(),
  };
}

/** Containers whose first process lives, with the image from containerd and the variables from the kernel. */
async function containersOn(host: Host): Promise<Container[]> {
  const script = `
    ctr="ctr -a /run/shoal/containerd.sock -n shoal"
    $ctr containers list | awk 'NR > 1 { print "container", $1, $2 }'
    $ctr tasks list | while read id pid state; do
      test "$state" = RUNNING && echo "task $id $(tr '\\0' '\\n' </proc/$pid/environ | sed -n 's/^VERSION=//p')"
    done
    true`;
  const printed = await host.run(['sh', '-c', script]);
  const lines = printed.split('\n').map((line) => line.split(' '));
  const images = new Map(lines.flatMap(([kind, id, image]) => (kind === 'container' ? [[id, image]] : [])));
  return lines.flatMap(([kind, id = '', version = '']) =>
    kind === 'task' && version !== 'other'
      ? [{ host: host.name, id, image: images.get(id) ?? '', version }]
      : [],
  );
}

async function answersOf({ name, address }: Host): Promise<Seen['answers']> {
  const answers: Seen['answers'] = [];
  for (let turn = 0; turn < answersPerHost; turn++) {
    const answer = await getJson<Answer>(`http://${address}:${port}/`).catch((error: unknown) =>
      String(error),
    );
    answers.push({ host: name, answer });
  }
  return answers;
}

function takesConnections({ address }: Host, at: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port: at, timeout: connectLimitMs });
    const end = (takes: boolean) => {
      socket.destroy();
      resolve(takes);
    };
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
    socket.on('timeout', () => end(false));
  });
}

/** Addresses of tasks to which the host's kernel sends new connections to services and published ports. */
export async function targetsOn(host: Host): Promise<string[]> {
  const script = `for map in service_slots port_slots; do nft list map inet shoal $map; done`;
  const printed = await host.run(['sh', '-c', script]);
  return printed.match(/\d+(?:\.\d+){3}/g) ?? [];
}

async function startsOn(host: Host): Promise<Seen['starts']> {
  const path = join(host.stateDirectory, 'volumes', `${application}_data`, 'data', 'starts');
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? [] : [{ host: host.name, lines: text.split('\n').filter(Boolean) }];
}
