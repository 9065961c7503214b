/**
 * What managers say of networks becomes lines for `ip`, `bridge` and `nft`, and names of files. Nobody's text is taken as it
 * is: whatever is no address, number or id of the kind that it must be is left out here, before anything is decided from it.
 */
import { parseAddress, parseSubnet } from '../../src/spec/address.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { AllocatedPort } from '../../src/spec/service.ts';
import type {
  EndpointAssignment,
  NetworkAssignment,
  PeerAssignment,
  ServiceAssignment,
} from '../../src/wire/session.ts';
import type { NetworkAssignments, TaskNetwork } from './network.ts';
import { publishedPorts } from './published.ts';

const protocols: readonly string[] = ['tcp', 'udp', 'sctp'];
/** 24 bits (RFC 7348). */
const vniMax = 2 ** 24 - 1;
/** What IPv4 asks of every link (RFC 791), and what fits into its packets. */
const mtuRange = [68, 65_535] as const;
const portMax = 65_535;
/** Ids are also parts of interface names, of which the first ten characters count, and names of files. */
const idPattern = /^[a-z0-9]{10,32}$/u;
/** What the kernel takes as a name (dev_valid_name), without what means something to `ip`. */
const interfacePattern = /^(?!\.{1,2}$)[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}$/u;

function refuse(what: string, value: unknown): never {
  throw new ShoalError('invalid_argument', `Cannot use ${JSON.stringify(value)} as ${what}`);
}

function checkId(id: unknown, what: string): void {
  if (typeof id !== 'string' || !idPattern.test(id)) refuse(what, id);
}

function checkAddress(address: unknown): void {
  if (typeof address !== 'string') refuse('an IPv4 address', address);
  parseAddress(address);
}

function checkSubnet(subnet: unknown): void {
  if (typeof subnet !== 'string') refuse('a subnet', subnet);
  parseSubnet(subnet);
}

function checkNumber(value: unknown, what: string, min: number, max: number): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) refuse(what, value);
}

function checkPort(port: AllocatedPort): void {
  checkNumber(port.published, 'a published port', 1, portMax);
  checkNumber(port.target, 'a port', 1, portMax);
  if (!protocols.includes(port.protocol)) refuse('a protocol', port.protocol);
  if (port.address !== undefined) checkAddress(port.address);
}

function checkNetwork(network: NetworkAssignment): void {
  checkId(network.id, 'the id of a network');
  checkNumber(network.vni, 'a VXLAN network identifier', 1, vniMax);
  checkSubnet(network.subnet);
  checkAddress(network.bridgeAddress);
  if (network.virtualSubnet !== undefined) checkSubnet(network.virtualSubnet);
  if (network.mtuBytes !== undefined) checkNumber(network.mtuBytes, 'an MTU', ...mtuRange);
}

function checkNetworkPeer(peer: NetworkAssignment['peers'][number]): void {
  checkAddress(peer.bridgeAddress);
  checkAddress(peer.hostAddress);
}

function checkPeer(peer: PeerAssignment): void {
  checkId(peer.networkId, 'the id of a network');
  checkAddress(peer.address);
  checkAddress(peer.hostAddress);
}

function checkService(service: ServiceAssignment): void {
  for (const { networkId, virtualAddress } of service.networks) {
    checkId(networkId, 'the id of a network');
    if (virtualAddress !== undefined) checkAddress(virtualAddress);
  }
  for (const port of publishedPorts(service)) checkPort(port);
}

function checkEndpoint(endpoint: EndpointAssignment): void {
  for (const address of Object.values(endpoint.addresses)) checkAddress(address);
}

/** Throws `invalid_argument` with what is no address, port or id; nothing of such a task may be made. */
export function checkTaskNetwork(task: TaskNetwork): void {
  checkId(task.taskId, 'the id of a task');
  for (const { networkId, address, interfaceName } of task.attachments) {
    checkId(networkId, 'the id of a network');
    checkAddress(address);
    if (interfaceName !== undefined && !interfacePattern.test(interfaceName)) {
      refuse('the name of an interface', interfaceName);
    }
  }
  for (const port of task.hostPorts) checkPort(port);
}

/** Objects that have passed: most of them come again with every change, and nobody changes one. */
const passed = new WeakSet<object>();

export interface ParsedAssignments {
  assignments: NetworkAssignments;
  /** Why something was left out, one line each. */
  refused: string[];
}

/** A copy of all that can be used. One bad object costs itself only. */
export function parseAssignments(given: NetworkAssignments): ParsedAssignments {
  const refused: string[] = [];
  const passes = <T extends object>(
    kind: string,
    id: string,
    check: (value: T) => void,
    value: T,
  ): boolean => {
    if (passed.has(value)) return true;
    try {
      check(value);
      passed.add(value);
      return true;
    } catch (error) {
      refused.push(`${kind} ${JSON.stringify(id)}: ${messageOf(error)}`);
      return false;
    }
  };
  const those = <T extends object>(kind: string, values: ReadonlyMap<string, T>, check: (value: T) => void) =>
    [...values].filter(([id, value]) => passes(kind, id, check, value));
  const networks = those('network', given.networks, checkNetwork).map(([id, network]) => {
    const peers = network.peers.filter((peer) => passes('host', peer.nodeId, checkNetworkPeer, peer));
    return [id, { ...network, peers }] as const;
  });
  return {
    assignments: {
      networks: new Map(networks),
      peers: new Map(those('peer', given.peers, checkPeer)),
      services: new Map(those('service', given.services, checkService)),
      endpoints: new Map(those('endpoint', given.endpoints, checkEndpoint)),
    },
    refused,
  };
}
