import { isDeepStrictEqual } from 'node:util';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import type { FileReference, Service } from '../../src/spec/service.ts';
import { defaultRouteIndex } from '../../src/spec/route.ts';
import { compareTaskStates, isTerminal, type Task } from '../../src/spec/task.ts';
import type {
  AssignmentKind,
  AssignmentPut,
  AssignmentRemove,
  EndpointAssignment,
  FileAssignment,
  NetworkAssignment,
  ServiceAssignment,
  TaskAssignment,
} from '../../src/wire/session.ts';
import type { View } from '../store/objects.ts';

/** Everything one node is told, by `KIND/ID`. */
export type AssignmentSet = ReadonlyMap<string, AssignmentPut>;

/** What all nodes' sets are cut from; made once for a view. */
export interface Overview {
  view: View;
  /** Live tasks (assigned and not ended) by each network they are on, and their address there. */
  liveByNetwork: Map<string, Map<string, Task>>;
  /** Services by each network they are reachable on. */
  servicesByNetwork: Map<string, Service[]>;
  endpointsByService: Map<string, Task[]>;
  /** Networks by which services with ingress ports are reached: every node is part of them. */
  ingressNetworks: Set<string>;
  secretsByName: Map<string, FileAssignment>;
  configsByName: Map<string, FileAssignment>;
}

/** Whether an agent has the task and has not finished with it. */
export function isLive(task: Task): boolean {
  return (
    task.nodeId !== undefined &&
    compareTaskStates(task.status.state, 'assigned') >= 0 &&
    !isTerminal(task.status.state)
  );
}

/** Whether new connections may go to the task: it runs, shall run, and its node is not down. */
export function isEndpoint(task: Task, nodes: ReadonlyMap<string, Node>): boolean {
  return (
    task.status.state === 'running' &&
    task.desiredState === 'running' &&
    task.attachments.length > 0 &&
    nodes.get(task.nodeId ?? '')?.status.state !== 'down'
  );
}

/** Indexes of the view that every node's set needs. */
export function overviewOf(view: View): Overview {
  const overview: Overview = {
    view,
    liveByNetwork: new Map(),
    servicesByNetwork: new Map(),
    endpointsByService: new Map(),
    ingressNetworks: new Set(),
    secretsByName: filesByName(view.secrets.values()),
    configsByName: filesByName(view.configs.values()),
  };
  for (const task of view.tasks.values()) {
    if (!isLive(task)) continue;
    for (const { networkId, address } of task.attachments) noteAddress(overview, networkId, address, task);
    if (isEndpoint(task, view.nodes)) addTo(overview.endpointsByService, task.serviceId, task);
  }
  for (const service of view.services.values()) {
    for (const { name } of service.spec.task.networks) {
      const network = view.networkByName(name);
      if (network) addTo(overview.servicesByNetwork, network.id, service);
    }
    const ingress = ingressNetworkOf(view, service);
    if (ingress !== undefined) overview.ingressNetworks.add(ingress);
  }
  return overview;
}

/** A task with a fixed address may have been lost with its host: then its successor has the address. */
function noteAddress({ liveByNetwork }: Overview, networkId: string, address: string, task: Task): void {
  const known = liveByNetwork.get(networkId) ?? new Map<string, Task>();
  liveByNetwork.set(networkId, known);
  const other = known.get(address);
  if (other === undefined || other.createdAt < task.createdAt) known.set(address, task);
}

/**
 * The node's complete set. A task whose desired state says stop is told so only when it is in `drained`; until then the
 * node is told to let it run. Tasks wait here until their networks have what the node needs of them.
 */
export function assignmentsFor(
  overview: Overview,
  nodeId: string,
  drained: ReadonlySet<string>,
): Map<string, AssignmentPut> {
  const { view } = overview;
  const set = new Map<string, AssignmentPut>();
  const put = (assignment: AssignmentPut) => set.set(`${assignment.kind}/${assignment.value.id}`, assignment);
  const tasks = [...view.tasksOfNode(nodeId)].filter(isForAgent);
  const wanted = new Set(overview.ingressNetworks);
  for (const task of tasks) {
    if (isLive(task)) for (const { networkId } of task.attachments) wanted.add(networkId);
  }
  const networks = new Set<string>();
  for (const networkId of wanted) {
    const network = networkAssignment(view, networkId, nodeId);
    if (network === undefined) continue;
    networks.add(networkId);
    put({ kind: 'network', value: network });
    for (const [address, peer] of overview.liveByNetwork.get(networkId) ?? []) {
      const hostAddress = view.nodes.get(peer.nodeId ?? '')?.description?.address;
      if (peer.nodeId === nodeId || hostAddress === undefined) continue;
      put({ kind: 'peer', value: { id: `${networkId}/${peer.id}`, networkId, address, hostAddress } });
    }
  }
  putServices(overview, networks, put);
  for (const task of tasks) {
    // Only a task the agent does not have yet may wait: leaving out one that runs would end it.
    const waits = task.status.state === 'assigned' && task.desiredState !== 'shutdown';
    if (waits && !task.attachments.every(({ networkId }) => networks.has(networkId))) continue;
    put({ kind: 'task', value: taskAssignment(task, view, drained) });
    if (isTerminal(task.status.state)) continue;
    const { secrets, configs } = task.template.container;
    for (const value of filesOf(secrets, overview.secretsByName)) put({ kind: 'secret', value });
    for (const value of filesOf(configs, overview.configsByName)) put({ kind: 'config', value });
  }
  return set;
}

function putServices(overview: Overview, networks: Set<string>, put: (value: AssignmentPut) => void): void {
  const services = new Set<Service>();
  for (const networkId of networks) {
    for (const service of overview.servicesByNetwork.get(networkId) ?? []) services.add(service);
  }
  for (const service of services) {
    // A service that wants a virtual IP is not named before it has one, or its name would resolve to tasks.
    if (service.endpoint === undefined) continue;
    put({ kind: 'service', value: serviceAssignment(overview.view, service, networks) });
    for (const task of overview.endpointsByService.get(service.id) ?? []) {
      const value = endpointAssignment(task, networks);
      if (value !== undefined) put({ kind: 'endpoint', value });
    }
  }
}

/** Assigned and later, until it has ended and nobody wants to remember it. */
function isForAgent(task: Task): boolean {
  if (compareTaskStates(task.status.state, 'assigned') < 0) return false;
  return !(isTerminal(task.status.state) && task.desiredState === 'remove');
}

function taskAssignment(task: Task, view: View, drained: ReadonlySet<string>): TaskAssignment {
  const { id, application, serviceId, serviceName, slot, template, attachments, anchors, status } = task;
  // What runs beside an endpoint may serve its connections, and goes on for as long as it must.
  const started = compareTaskStates(status.state, 'starting') >= 0;
  const beside = Object.values((started && anchors) || {}).map((anchorId) => view.tasks.get(anchorId));
  const isHeld =
    stops(task) && [task, ...beside].some((one) => one !== undefined && isDraining(one, drained));
  const desiredState = isHeld ? 'running' : task.desiredState;
  const rest = { template, desiredState, attachments, status, ...(anchors && { anchors }) };
  const initialises = task.initialises ? { initialises: true as const } : {};
  return { id, application, serviceId, serviceName, slot, ...rest, ...initialises };
}

function stops({ desiredState }: Task): boolean {
  return desiredState === 'shutdown' || desiredState === 'remove';
}

/** Whether the task is to stop, and connections may still be sent to it. */
function isDraining(task: Task, drained: ReadonlySet<string>): boolean {
  return stops(task) && needsDrain(task) && !drained.has(task.id);
}

/** Whether nodes may send connections to the task: only a running one was ever an endpoint. */
export function needsDrain(task: Task): boolean {
  return task.status.state === 'running' && task.attachments.length > 0;
}

function networkAssignment(view: View, networkId: string, nodeId: string): NetworkAssignment | undefined {
  const network: Network | undefined = view.networks.get(networkId);
  const bridgeAddress = network?.bridgeAddresses[nodeId];
  if (network?.vni === undefined || network.subnet === undefined || bridgeAddress === undefined)
    return undefined;
  const peers = Object.entries(network.bridgeAddresses).flatMap(([peerId, bridgeAddress]) => {
    const hostAddress = view.nodes.get(peerId)?.description?.address;
    return peerId === nodeId || hostAddress === undefined
      ? []
      : [{ nodeId: peerId, bridgeAddress, hostAddress }];
  });
  const { id, vni, subnet, virtualSubnet, spec } = network;
  return {
    id,
    name: spec.name,
    vni,
    subnet,
    ...(virtualSubnet && { virtualSubnet }),
    internal: spec.internal,
    ...(spec.mtuBytes && { mtuBytes: spec.mtuBytes }),
    bridgeAddress,
    peers,
  };
}

/** Where the default route is, so that replies to hosts that pass connections on leave by the network they came from. */
function ingressNetworkOf(view: View, service: Service): string | undefined {
  if ((service.endpoint?.ports ?? []).length === 0) return undefined;
  const networks = service.spec.task.networks.map(({ name, gatewayPriority }) => {
    const network = view.networkByName(name);
    return { id: network?.id, internal: network?.spec.internal ?? true, gatewayPriority };
  });
  return networks[Math.max(0, defaultRouteIndex(networks))]?.id;
}

function serviceAssignment(view: View, service: Service, networks: ReadonlySet<string>): ServiceAssignment {
  const { name, key, application, links } = service.spec;
  const present = service.spec.task.networks.flatMap((reference) => {
    const networkId = view.networkByName(reference.name)?.id;
    if (networkId === undefined || !networks.has(networkId)) return [];
    const virtualAddress = service.endpoint?.virtualAddresses[networkId];
    return [{ networkId, virtualAddress, aliases: reference.aliases }];
  });
  const ingressNetworkId = ingressNetworkOf(view, service);
  const serves = ingressNetworkId !== undefined && networks.has(ingressNetworkId);
  return {
    id: service.id,
    name,
    key,
    application,
    networks: present,
    ports: serves ? (service.endpoint?.ports ?? []) : [],
    ingressNetworkId: serves ? ingressNetworkId : undefined,
    ...(links && { links }),
  };
}

function endpointAssignment(task: Task, networks: ReadonlySet<string>): EndpointAssignment | undefined {
  const here = task.attachments.filter(({ networkId }) => networks.has(networkId));
  if (here.length === 0) return undefined;
  const addresses = Object.fromEntries(here.map(({ networkId, address }) => [networkId, address]));
  return { id: task.id, serviceId: task.serviceId, slot: task.slot, nodeId: task.nodeId ?? '', addresses };
}

function filesOf(references: FileReference[], byName: Map<string, FileAssignment>): FileAssignment[] {
  return references.flatMap(({ name }) => byName.get(name) ?? []);
}

function filesByName(
  files: Iterable<{ id: string; spec: { name: string; data: string } }>,
): Map<string, FileAssignment> {
  return new Map([...files].map(({ id, spec }) => [spec.name, { id, name: spec.name, data: spec.data }]));
}

function addTo<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** What turns the set that a node has into the one it shall have. Removals name kind and id. */
export function diffAssignments(
  before: AssignmentSet,
  after: AssignmentSet,
): { put: AssignmentPut[]; remove: AssignmentRemove[] } {
  const put: AssignmentPut[] = [];
  const remove: AssignmentRemove[] = [];
  for (const [key, value] of after) {
    const old = before.get(key);
    if (old === undefined || !sameAssignment(old, value)) put.push(value);
  }
  for (const [key, { kind, value }] of before) if (!after.has(key)) remove.push({ kind, id: value.id });
  return { put, remove };
}

/** The status that a task's assignment carries is what the agent itself reported: no reason to send it again. */
function sameAssignment(left: AssignmentPut, right: AssignmentPut): boolean {
  if (left.kind === 'task' && right.kind === 'task') {
    return (
      (left.value.desiredState === right.value.desiredState &&
        left.value.template === right.value.template &&
        left.value.attachments === right.value.attachments) ||
      isDeepStrictEqual({ ...left.value, status: 0 }, { ...right.value, status: 0 })
    );
  }
  if (isFile(left.kind)) return left.value.id === right.value.id;
  return isDeepStrictEqual(left, right);
}

function isFile(kind: AssignmentKind): boolean {
  return kind === 'secret' || kind === 'config';
}
