/** From what the manager says and which tasks are here to what the kernel should hold. Pure. */
import {
  formatAddress,
  formatSubnet,
  macOf,
  parseAddress,
  parseSubnet,
  virtualSubnetOf,
} from '../../src/spec/address.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { vxlanOverheadBytes } from '../../src/spec/network.ts';
import { interfaceName } from '../../src/spec/names.ts';
import { defaultRouteIndex } from '../../src/spec/route.ts';
import type { NetworkAttachment } from '../../src/spec/task.ts';
import { portName, type OpenPort } from '../../src/spec/port.ts';
import type { EndpointAssignment, NetworkAssignment, ServiceAssignment } from '../../src/wire/session.ts';
import { portsOfEndpoint } from './published.ts';
import type { NetworkAssignments, TaskNetwork } from './network.ts';
import { assignmentSets, bridgeSets, endpointsMax, localSets, sizeClass, type SetName } from './rules.ts';
import { emptyLinks, type Elements, type LinkState } from './state.ts';

export interface HostFacts {
  hostAddress: string;
  underlayMtu: number;
  vxlanPort: number;
  /** Names of published ports that programs of this host listen on; they stay theirs. */
  foreignPorts: ReadonlySet<string>;
}

export interface AssignmentPlan {
  links: LinkState;
  elements: Elements;
}

function emptyElements(names: readonly SetName[]): Elements {
  return new Map(names.map((name) => [name, new Map<string, string>()]));
}

/** The mark of connections that a peer's bridge passed on: its address as a number, which no other bridge has. */
function markOf(address: string): string {
  return `0x${parseAddress(address).toString(16).padStart(8, '0')}`;
}

/** Everything that follows from the assignments alone. */
export function planAssignments(assignments: NetworkAssignments, facts: HostFacts): AssignmentPlan {
  const links = emptyLinks();
  const elements = emptyElements([...assignmentSets, ...bridgeSets]);
  for (const network of assignments.networks.values()) planNetwork(network, facts, links, elements);
  for (const peer of assignments.peers.values()) {
    const network = assignments.networks.get(peer.networkId);
    if (!network || peer.hostAddress === facts.hostAddress) continue;
    reach(links, network.id, peer.address, peer.hostAddress);
    elements.get('live')!.set(peer.address, '');
    elements.get('hosts')!.set(peer.hostAddress, '');
  }
  const endpoints = Map.groupBy(assignments.endpoints.values(), (endpoint) => endpoint.serviceId);
  for (const service of assignments.services.values()) {
    const sorted = (endpoints.get(service.id) ?? []).toSorted(bySlot).slice(0, endpointsMax);
    planService(service, sorted, assignments, elements);
    planPorts(service, sorted, facts, elements);
  }
  return { links, elements };
}

function bySlot(left: EndpointAssignment, right: EndpointAssignment): number {
  return left.slot - right.slot || (left.id < right.id ? -1 : 1);
}

function planNetwork(
  network: NetworkAssignment,
  facts: HostFacts,
  links: LinkState,
  elements: Elements,
): void {
  const bridge = interfaceName('bridge', network.id);
  const virtual = virtualSubnetOf(network);
  const mtu = mtuOf(network, facts.underlayMtu);
  links.bridges.set(bridge, {
    address: `${network.bridgeAddress}/${parseSubnet(network.subnet).prefix}`,
    mac: macOf(network.bridgeAddress),
    mtu,
    virtualSubnet: formatSubnet(virtual),
    wrong: '',
  });
  links.vxlans.set(interfaceName('vxlan', network.id), {
    bridge,
    vni: network.vni,
    local: facts.hostAddress,
    port: facts.vxlanPort,
    mtu,
    wrong: '',
  });
  elements.get('bridge_pairs')!.set(`"${bridge}" . "${bridge}"`, '');
  elements.get('overlay')!.set(formatSubnet(parseSubnet(network.subnet)), '');
  elements.get('virtual')!.set(formatSubnet(virtual), '');
  elements.get('bridge_addresses')!.set(network.bridgeAddress, '');
  elements.get('vnis')!.set(String(network.vni), '');
  if (network.internal) elements.get('internal')!.set(`"${bridge}"`, '');
  for (const peer of network.peers) {
    if (peer.hostAddress === facts.hostAddress) continue;
    reach(links, network.id, peer.bridgeAddress, peer.hostAddress);
    elements.get('hosts')!.set(peer.hostAddress, '');
    const mark = markOf(peer.bridgeAddress);
    elements.get('marks')!.set(mark, '');
    elements.get('peer_marks')!.set(macOf(peer.bridgeAddress), mark);
    elements.get('peer_macs')!.set(mark, macOf(peer.bridgeAddress));
  }
}

/** Frames for `address` go to `hostAddress`, and the local bridge answers ARP for it. */
function reach(links: LinkState, networkId: string, address: string, hostAddress: string): void {
  links.neighbours.set(`${interfaceName('bridge', networkId)} ${address}`, macOf(address));
  links.forwards.set(`${interfaceName('vxlan', networkId)} ${macOf(address)}`, hostAddress);
}

function planService(
  service: ServiceAssignment,
  endpoints: EndpointAssignment[],
  assignments: NetworkAssignments,
  elements: Elements,
): void {
  for (const { networkId, virtualAddress } of service.networks) {
    if (!assignments.networks.has(networkId)) continue;
    const addresses = addressesOn(networkId, endpoints);
    for (const address of addresses) elements.get('live')!.set(address, '');
    if (virtualAddress === undefined || addresses.length === 0) continue;
    const size = sizeClass(addresses.length);
    elements.get('service_size')!.set(virtualAddress, `goto service_${size}`);
    const slots = elements.get('service_slots')!;
    for (let slot = 0; slot < size; slot++)
      slots.set(`${virtualAddress} . ${slot}`, addresses[slot % addresses.length]!);
  }
}

/** Adds the service's published ports, except those that a foreign program holds. */
function planPorts(
  service: ServiceAssignment,
  endpoints: EndpointAssignment[],
  facts: HostFacts,
  elements: Elements,
): void {
  for (const [key, { port, targets }] of portTargets(service, endpoints)) {
    if (facts.foreignPorts.has(portName(port))) continue;
    const size = sizeClass(targets.length);
    const family = port.address === undefined ? 'port' : 'address_port';
    elements.get(`${family}_size`)!.set(key, `goto ${family}_${size}`);
    const slots = elements.get(`${family}_slots`)!;
    for (let slot = 0; slot < size; slot++) slots.set(`${key} . ${slot}`, targets[slot % targets.length]!);
  }
}

/** Where connections to each published port go, by its key in the maps: each endpoint has the ports of its own version. */
function portTargets(
  service: ServiceAssignment,
  endpoints: EndpointAssignment[],
): Map<string, { port: OpenPort; targets: string[] }> {
  const found = new Map<string, { port: OpenPort; targets: string[] }>();
  for (const endpoint of endpoints) {
    const { ports, ingressNetworkId = '' } = portsOfEndpoint(service, endpoint);
    const address = endpoint.addresses[ingressNetworkId];
    if (address === undefined) continue;
    for (const port of ports) {
      const key = portElement(port);
      const each = found.get(key) ?? { port, targets: [] };
      each.targets.push(`${address} . ${port.target}`);
      found.set(key, each);
    }
  }
  return found;
}

/** A port as a key of the maps: those of one address are in maps of their own, with the address in front. */
function portElement({ protocol, published, address }: OpenPort): string {
  return `${address === undefined ? '' : `${address} . `}${protocol} . ${published}`;
}

function addressesOn(networkId: string, endpoints: EndpointAssignment[]): string[] {
  return endpoints
    .map((endpoint) => endpoint.addresses[networkId])
    .filter((address) => address !== undefined);
}

/** Everything that follows from the tasks attached here and from the DNS servers (bridge address to port) alone. */
export function planLocal(tasks: Iterable<TaskNetwork>, dnsPorts: ReadonlyMap<string, number>): Elements {
  const elements = emptyElements(localSets);
  for (const task of tasks) {
    for (const [index, { address }] of task.attachments.entries()) {
      elements.get('local')!.set(address, '');
      elements.get('hairpin')!.set(`${address} . ${address}`, '');
      elements.get('sources')!.set(`"${vethName(task.taskId, index)}" . ${macOf(address)} . ${address}`, '');
    }
    const first = task.attachments[0];
    for (const port of first ? task.hostPorts : []) {
      const set = port.address === undefined ? 'host_ports' : 'address_host_ports';
      elements.get(set)!.set(portElement(port), `${first!.address} . ${port.target}`);
    }
  }
  for (const [address, port] of dnsPorts) elements.get('dns')!.set(address, String(port));
  return elements;
}

/** One interface of a task: its name on the host and in the task, and how it is set up. */
export interface TaskInterface {
  hostName: string;
  taskName: string;
  networkId: string;
  bridge: string;
  /** With its prefix length. */
  address: string;
  mac: string;
  mtu: number;
  /** The bridge's address: where virtual IPs are routed to. */
  gateway: string;
  virtualSubnet: string;
  defaultRoute: boolean;
}

/** What is agreed on for all hosts, as far as VXLAN leaves that of this host's own network. */
function mtuOf({ mtuBytes }: NetworkAssignment, underlayMtu: number): number {
  return Math.min(mtuBytes ?? underlayMtu, underlayMtu - vxlanOverheadBytes);
}

/** Those that are given, and eth0, eth1, … for the others. */
function interfaceNames(attachments: readonly NetworkAttachment[]): string[] {
  const given = new Set(attachments.map(({ interfaceName }) => interfaceName));
  let next = 0;
  return attachments.map((attachment) => {
    if (attachment.interfaceName !== undefined) return attachment.interfaceName;
    while (given.has(`eth${next}`)) next++;
    return `eth${next++}`;
  });
}

/**
 * The interfaces of a task, eth0, eth1, … in the order of its attachments where they have no names of their own. Throws `network_failed` when a network is not known here (yet).
 */
export function planTask(
  task: TaskNetwork,
  networks: ReadonlyMap<string, NetworkAssignment>,
  underlayMtu: number,
): TaskInterface[] {
  const gateway = defaultRouteIndex(
    task.attachments.map(({ networkId, gatewayPriority }) => ({
      internal: networks.get(networkId)?.internal ?? true,
      gatewayPriority,
    })),
  );
  const names = interfaceNames(task.attachments);
  return task.attachments.map(({ networkId, address }, index) => {
    const network = networks.get(networkId);
    if (!network) {
      throw new ShoalError(
        'network_failed',
        `Cannot attach task ${task.taskId}: network ${networkId} is not known on this host`,
        { next: 'Wait until the manager has sent the network to this host.' },
      );
    }
    return {
      hostName: vethName(task.taskId, index),
      taskName: names[index]!,
      networkId,
      bridge: interfaceName('bridge', networkId),
      address: `${formatAddress(parseAddress(address))}/${parseSubnet(network.subnet).prefix}`,
      mac: macOf(address),
      mtu: mtuOf(network, underlayMtu),
      gateway: network.bridgeAddress,
      virtualSubnet: formatSubnet(virtualSubnetOf(network)),
      defaultRoute: index === gateway,
    };
  });
}

/** Interface names hold 15 characters: the kind, ten of the task's id, and the attachment's index. */
export function vethName(taskId: string, index: number): string {
  return `${interfaceName('veth', taskId)}${index}`;
}
