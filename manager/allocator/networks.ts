import { isDeepStrictEqual } from 'node:util';
import {
  formatSubnet,
  parseAddress,
  parseSubnet,
  subnetContains,
  subnetSize,
  subnetsOverlap,
  upperHalf,
  type Subnet,
} from '../../src/spec/address.ts';
import { defaultAddressPool, defaultSubnetPrefix, firstVni } from '../../src/spec/defaults.ts';
import type { Network, NetworkSpec } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import { assert, messageOf } from '../../src/util/errors.ts';
import { checkNetwork, checkNode } from '../store/damage.ts';
import type { Faults } from '../store/isolate.ts';
import type { Plan, View } from '../store/objects.ts';
import {
  addressesInUse,
  chooseVirtualSubnet,
  fixedAddresses,
  NetworkAddresses,
  bridgeHolder,
} from './addresses.ts';
import { HostNetworks, leastOverlayMtu } from './underlay.ts';
import { byAge, cursorName, nextFree, once, serveInTurn, type Cursors } from './range.ts';

/** VXLAN network identifiers have 24 bits (RFC 7348, section 5). */
const lastVni = 2 ** 24 - 1;
/** Half of a /28 leaves seven addresses for bridges and tasks. */
const prefixMax = 28;

/** Gives VNI, subnet and a bridge address for every node to the networks that lack them. Moves the cursors. */
export function planNetworks(view: View, cursors: Cursors, faults: Faults): Plan {
  const nodes = faults.filter('node', view.nodes.values(), (node) => {
    checkNode(node);
    return true;
  });
  const carried = leastOverlayMtu(nodes);
  const todo = faults.filter('network', view.networks.values(), (network) => {
    checkNetwork(network);
    return !network.removing && lacks(network, view, carried);
  });
  if (todo.length === 0) return [];
  const subnets = new Subnets(view, nodes, cursors, faults);
  const addresses = once(() => addressesInUse(view, cursors, faults));
  const plan: Plan = [];
  const served = serveInTurn(todo.sort(byAge), (network) => subnets.takeFor(network));
  for (const { item: network, result } of served) {
    const mtuBytes = mtuOf(network, carried);
    const changed = faults.isolated('network', network.id, () => {
      if (result.failed) return withError(network, result.reason);
      const place = { ...result.place, ...(mtuBytes && { mtuBytes }) };
      const kept = subnets.fixed().get(network.spec.name) ?? [];
      const own =
        addresses().get(network.id) ?? new NetworkAddresses({ ...network, ...place }, kept, cursors);
      return withBridges(network, place, view, own);
    });
    if (changed !== undefined) plan.push([{ kind: 'network', action: 'update', object: changed }]);
  }
  return plan;
}

function lacks(network: Network, view: View, carried: number | undefined): boolean {
  if (network.subnet === undefined || network.vni === undefined) return true;
  if (network.mtuBytes !== mtuOf(network, carried)) return true;
  const nodeIds = Object.keys(network.bridgeAddresses);
  return nodeIds.length !== view.nodes.size || nodeIds.some((id) => !view.nodes.has(id));
}

function withError(network: Network, allocationError: string): Network | undefined {
  return allocationError === network.allocationError ? undefined : { ...network, allocationError };
}

/** `carried` is what all hosts carry; what was told once stays while nobody tells. */
function mtuOf({ spec, mtuBytes }: Network, carried: number | undefined): number | undefined {
  return carried === undefined ? mtuBytes : Math.min(spec.mtuBytes ?? carried, carried);
}

type Place = Required<Pick<Network, 'subnet' | 'vni'>> & Pick<Network, 'virtualSubnet' | 'mtuBytes'>;

/** The network with a bridge address for each node; undefined when nothing changes. */
function withBridges(
  network: Network,
  place: Place,
  view: View,
  addresses: NetworkAddresses,
): Network | undefined {
  const { subnet } = place;
  const bridgeAddresses: Record<string, string> = {};
  let allocationError: string | undefined;
  for (const node of [...view.nodes.values()].sort(byAge)) {
    const known = network.bridgeAddresses[node.id];
    if (known !== undefined) bridgeAddresses[node.id] = known;
    else if (addresses.whyFull() === undefined)
      bridgeAddresses[node.id] = addresses.takeForTask(bridgeHolder);
    else allocationError = `subnet ${subnet} has no free address for every node`;
  }
  const same =
    network.subnet !== undefined &&
    network.vni !== undefined &&
    network.mtuBytes === place.mtuBytes &&
    allocationError === network.allocationError &&
    isDeepStrictEqual(bridgeAddresses, network.bridgeAddresses);
  return same ? undefined : { ...network, ...place, bridgeAddresses, allocationError };
}

/** The subnets and VNIs of all networks. */
class Subnets {
  readonly #view: View;
  readonly #cursors: Cursors;
  readonly #used: { name: string; subnet: Subnet }[] = [];
  readonly #vnis = new Set<number>();
  readonly #nodes: readonly Node[];
  /** Addresses that services ask for by themselves, by network. */
  readonly fixed: () => Map<string, string[]>;
  readonly #pool: Subnet;
  readonly #hosts: HostNetworks;

  constructor(view: View, nodes: readonly Node[], cursors: Cursors, faults: Faults) {
    this.#view = view;
    this.#nodes = nodes;
    this.#cursors = cursors;
    this.fixed = once(() => fixedAddresses(view, faults));
    this.#pool = parseSubnet(view.cluster?.addressPool ?? defaultAddressPool);
    this.#hosts = new HostNetworks(nodes, this.#pool);
    faults.forEach('network', view.networks.values(), ({ spec, subnet, vni }) => {
      if (vni !== undefined && Number.isInteger(vni)) this.#vnis.add(vni);
      if (subnet !== undefined) this.#used.push({ name: spec.name, subnet: parseSubnet(subnet) });
    });
    // Without a cursor, as after a change of leader, it goes on after the highest VNI in use.
    const highest = Math.max(0, ...this.#vnis);
    if (!cursors.has(cursorName.vni) && highest > 0) cursors.set(cursorName.vni, highest);
  }

  /** VNI and subnet: those it has, those asked for, or the next free ones; otherwise the reason in words. */
  takeFor(network: Network): { failed: false; place: Place } | { failed: true; reason: string } {
    try {
      const { subnet, virtualSubnet } = network.subnet === undefined ? this.#take(network) : network;
      const vni = network.vni ?? this.#takeVni();
      const place = { subnet: subnet!, vni, ...(virtualSubnet && { virtualSubnet }) };
      return { failed: false, place };
    } catch (error) {
      return { failed: true, reason: messageOf(error) };
    }
  }

  #takeVni(): number {
    const range = { first: firstVni, last: lastVni };
    const vni = nextFree(range, this.#cursors.get(cursorName.vni), (candidate) => this.#vnis.has(candidate));
    assert(vni !== undefined, 'there are fewer networks than VNIs');
    this.#vnis.add(vni);
    this.#cursors.set(cursorName.vni, vni);
    return vni;
  }

  #take({ spec }: Network): Pick<Network, 'subnet' | 'virtualSubnet'> {
    const { name, subnet: wanted } = spec;
    const subnet = wanted === undefined ? this.#cut() : this.#check(parseSubnet(wanted));
    const virtual = this.#virtualOf(spec, subnet);
    this.#used.push({ name, subnet });
    return {
      subnet: formatSubnet(subnet),
      ...(isDeepStrictEqual(virtual, upperHalf(subnet)) ? {} : { virtualSubnet: formatSubnet(virtual) }),
    };
  }

  /** Where the virtual IPs go: away from every address that is wanted for something else. */
  #virtualOf({ name, range, reserved = [] }: NetworkSpec, subnet: Subnet): Subnet {
    const pool = range === undefined ? subnet : parseSubnet(range);
    if (!subnetContains(subnet, pool.base) || pool.prefix < subnet.prefix || pool.prefix > prefixMax) {
      throw new Error(`range ${range} is not a part of ${formatSubnet(subnet)} of a /${prefixMax} at least`);
    }
    const addresses = [...reserved, ...(this.fixed().get(name) ?? [])];
    const virtual = chooseVirtualSubnet(pool, addresses.map(parseAddress));
    if (virtual === undefined) {
      throw new Error(`the fixed addresses leave no block of ${formatSubnet(pool)} for virtual IPs`);
    }
    return virtual;
  }

  #check(subnet: Subnet): Subnet {
    const text = formatSubnet(subnet);
    if (subnet.prefix > prefixMax)
      throw new Error(`subnet ${text} is too small: it must be a /${prefixMax} at least`);
    // The lowest one, so that the reason is the same however the networks are ordered.
    const [other] = this.#used
      .filter((used) => subnetsOverlap(used.subnet, subnet))
      .sort((left, right) => left.subnet.base - right.subnet.base);
    if (other)
      throw new Error(`subnet ${text} overlaps ${formatSubnet(other.subnet)} of network ${other.name}`);
    const node = this.#nodeIn(subnet);
    if (node) throw new Error(`subnet ${text} contains the address of node ${node.description?.hostname}`);
    const taken = this.#hosts.whyNot(subnet);
    if (taken !== undefined) throw new Error(`subnet ${text} overlaps ${taken}; ask for another one`);
    return subnet;
  }

  /** Free subnets are counted by their place in the pool. */
  #cut(): Subnet {
    const pool = this.#pool;
    const prefix = this.#view.cluster?.subnetPrefix ?? defaultSubnetPrefix;
    const at = (index: number): Subnet => ({
      base: pool.base + index * subnetSize({ base: 0, prefix }),
      prefix,
    });
    const last = 2 ** (prefix - pool.prefix) - 1;
    const indexes = this.#used
      .filter(({ subnet }) => subnetContains(pool, subnet.base))
      .map(({ subnet }) => Math.floor((subnet.base - pool.base) / subnetSize({ base: 0, prefix })));
    const cursor =
      this.#cursors.get(cursorName.subnet) ?? (indexes.length > 0 ? Math.max(...indexes) : undefined);
    const isUsed = (candidate: number) => {
      const subnet = at(candidate);
      return this.#used.some((used) => subnetsOverlap(used.subnet, subnet)) || this.#isOfHost(subnet);
    };
    const range = { first: 0, last };
    // What is behind a gateway may be in use there or not: it is taken only when nothing else is left.
    const index =
      nextFree(range, cursor, (candidate) => isUsed(candidate) || this.#hosts.isRouted(at(candidate))) ??
      nextFree(range, cursor, isUsed);
    if (index === undefined) {
      const taken = this.#hosts.whyNot(pool);
      const why = taken === undefined ? '' : `; of it ${taken}`;
      throw new Error(`the cluster's address pool ${formatSubnet(pool)} has no free /${prefix}${why}`);
    }
    this.#cursors.set(cursorName.subnet, index);
    return at(index);
  }

  /** Whether a host would lose something of its own network by it. */
  #isOfHost(subnet: Subnet): boolean {
    return this.#nodeIn(subnet) !== undefined || this.#hosts.whyNot(subnet) !== undefined;
  }

  /** A network that contains a host's own address would take the underlay's traffic. */
  #nodeIn(subnet: Subnet): Node | undefined {
    return this.#nodes.find(({ description }) => {
      // A host may describe itself with an IPv6 address, which no subnet of ours contains.
      if (description === undefined || !/^[\d.]+$/.test(description.address)) return false;
      return subnetContains(subnet, parseAddress(description.address));
    });
  }
}
