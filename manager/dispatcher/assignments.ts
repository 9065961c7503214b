import { isDeepStrictEqual } from 'node:util';
import type { Network } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import { networksReached } from '../../src/spec/former.ts';
import { defaultRouteIndex } from '../../src/spec/route.ts';
import type { FormerEndpoint, Service } from '../../src/spec/service.ts';
import { compareTaskStates, isTerminal, type Task } from '../../src/spec/task.ts';
import type {
  EndpointAssignment,
  NetworkAssignment,
  ServiceAssignment,
  TaskAssignment,
} from '../../src/wire/session.ts';
import type { View } from '../store/objects.ts';
import { templateId } from '../store/templates.ts';

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

/** Assigned and later, until it has ended and nobody wants to remember it. */
export function isForAgent(task: Task): boolean {
  if (compareTaskStates(task.status.state, 'assigned') < 0) return false;
  return !(isTerminal(task.status.state) && task.desiredState === 'remove');
}

/**
 * A task whose desired state says stop is told so only when it is in `drained`; until then its agent is told to let it run.
 */
export function taskAssignment(task: Task, view: View, drained: ReadonlySet<string>): TaskAssignment {
  const { id, application, serviceId, serviceName, slot, template, attachments, anchors, volumeIds, status } =
    task;
  // What runs beside an endpoint may serve its connections, and goes on for as long as it must.
  const started = compareTaskStates(status.state, 'starting') >= 0;
  const beside = Object.values((started && anchors) || {}).map((anchorId) => view.tasks.get(anchorId));
  const isHeld =
    stops(task) && [task, ...beside].some((one) => one !== undefined && isDraining(one, drained));
  const desiredState = isHeld ? 'running' : task.desiredState;
  const rest = {
    templateId: templateId(template),
    desiredState,
    attachments,
    status,
    ...(anchors && { anchors }),
    ...(volumeIds && { volumeIds }),
  };
  const initialises = task.initialises ? { initialises: true as const } : {};
  return { id, application, serviceId, serviceName, slot, ...rest, ...initialises };
}

export function stops({ desiredState }: Task): boolean {
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

/** Undefined as long as the network has no place, or the node no address there. */
export function networkAssignment(
  view: View,
  networkId: string,
  nodeId: string,
): NetworkAssignment | undefined {
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
  const { id, vni, subnet, virtualSubnet, spec, mtuBytes = spec.mtuBytes } = network;
  return {
    id,
    name: spec.name,
    vni,
    subnet,
    ...(virtualSubnet && { virtualSubnet }),
    internal: spec.internal,
    ...(mtuBytes && { mtuBytes }),
    bridgeAddress,
    peers,
  };
}

/** Where the default route is, so that replies to hosts that pass connections on leave by the network they came from. */
function ingressNetworkOf(view: View, { ports, networks: references }: Reach): string | undefined {
  if (ports.length === 0) return undefined;
  const networks = references.map(({ name, gatewayPriority }) => {
    const network = view.networkByName(name);
    return { id: network?.id, internal: network?.spec.internal ?? true, gatewayPriority };
  });
  return networks[Math.max(0, defaultRouteIndex(networks))]?.id;
}

type Reach = Pick<FormerEndpoint, 'ports' | 'networks'>;

/** A service's networks that there are, its own first and in the order of its spec; and where published ports lead to. */
export interface ServiceNetworks {
  joined: { networkId: string; aliases: string[] }[];
  ingressNetworkId: string | undefined;
  /** Of each version before it that still serves. */
  formerIngressIds: (string | undefined)[];
}

export function networksOf(view: View, service: Service): ServiceNetworks {
  const joined = networksReached(service).flatMap(({ name, aliases }) => {
    const networkId = view.networkByName(name)?.id;
    return networkId === undefined ? [] : [{ networkId, aliases }];
  });
  const { ports = [], former = [] } = service.endpoint ?? {};
  return {
    joined,
    ingressNetworkId: ingressNetworkOf(view, { ports, networks: service.spec.task.networks }),
    formerIngressIds: former.map((each) => ingressNetworkOf(view, each)),
  };
}

/** The networks that every node is part of, so that each can pass on what comes for a published port. */
export function ingressIds({ ingressNetworkId, formerIngressIds }: ServiceNetworks): string[] {
  const ids = [ingressNetworkId, ...formerIngressIds].filter((id) => id !== undefined);
  return [...new Set(ids)];
}

/** The service as a node on these networks sees it. */
export function serviceAssignment(
  service: Service,
  { joined, ingressNetworkId, formerIngressIds }: ServiceNetworks,
  networks: ReadonlySet<string>,
): ServiceAssignment {
  const { name, key, application, links } = service.spec;
  const present = joined
    .filter(({ networkId }) => networks.has(networkId))
    .map(({ networkId, aliases }) => {
      const virtualAddress = service.endpoint?.virtualAddresses[networkId];
      return { networkId, virtualAddress, aliases };
    });
  const former = (service.endpoint?.former ?? []).map(({ upTo, ports }, index) => {
    const id = formerIngressIds[index];
    return id !== undefined && networks.has(id) ? { upTo, ports, ingressNetworkId: id } : { upTo, ports: [] };
  });
  const serves = ingressNetworkId !== undefined && networks.has(ingressNetworkId);
  return {
    id: service.id,
    name,
    key,
    application,
    networks: present,
    ports: serves ? (service.endpoint?.ports ?? []) : [],
    ...(service.endpoint?.former && { former }),
    ingressNetworkId: serves ? ingressNetworkId : undefined,
    ...(links && { links }),
  };
}

/** The task as a node on these networks may send connections to it; undefined when it shares none with it. */
export function endpointAssignment(
  task: Task,
  networks: ReadonlySet<string>,
): EndpointAssignment | undefined {
  const here = task.attachments.filter(({ networkId }) => networks.has(networkId));
  if (here.length === 0) return undefined;
  const addresses = Object.fromEntries(here.map(({ networkId, address }) => [networkId, address]));
  const { id, serviceId, slot, nodeId = '', specVersion } = task;
  return { id, serviceId, slot, nodeId, specVersion, addresses };
}

/** Whether the agent does not have the task yet, so that it may wait for its networks. Leaving out one that runs would end it. */
export function mayWait({ status, desiredState }: Task): boolean {
  return status.state === 'assigned' && desiredState !== 'shutdown';
}

/** Whether an agent has to be told again. The status in a task's assignment is what the agent itself reported. */
export function sameTask(left: TaskAssignment, right: TaskAssignment): boolean {
  const same =
    left.desiredState === right.desiredState &&
    left.templateId === right.templateId &&
    left.attachments === right.attachments;
  return same || isDeepStrictEqual({ ...left, status: 0 }, { ...right, status: 0 });
}

/** Whether the task has the address that another one has as well: that was lost with its host, and this is its successor. */
export function isNewer(task: Task, than: Task): boolean {
  return task.createdAt > than.createdAt || (task.createdAt === than.createdAt && task.id > than.id);
}
