import {
  formatAddress,
  formatSubnet,
  isUsableAddress,
  parseAddress,
  parseSubnet,
  subnetContains,
  subnetSize,
  virtualSubnetOf,
  type Subnet,
} from '../../src/spec/address.ts';
import type { Network } from '../../src/spec/network.ts';
import { isTerminal, taskName, type Task } from '../../src/spec/task.ts';
import { assert } from '../../src/util/errors.ts';
import type { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import { cursorName, nextFree, usableAddresses, type Cursors, type Range } from './range.ts';

/** What an address is for that a host has on a network. */
export const bridgeHolder = 'the bridge of a host';

/** A network that has its subnet. */
export type PlacedNetwork = Network & { subnet: string };

/** Addresses of one purpose. */
interface Part {
  range: Range;
  /** Only addresses of the range. */
  used: Set<number>;
  /** How many there are to use. */
  size: number;
  cursor: string;
}

/** Gives out the addresses of one network: one part of it to virtual IPs, the others to bridges and tasks. */
export class NetworkAddresses {
  readonly #name: string;
  readonly #subnet: Subnet;
  readonly #virtualSubnet: Subnet;
  readonly #tasks: Part;
  readonly #virtual: Part;
  readonly #cursors: Cursors;
  /** What each address in use is for, in words. */
  readonly #holders = new Map<number, string>();

  /** The cursors are moved as addresses are taken. `kept`: addresses that only those get who ask for them. */
  constructor(network: PlacedNetwork, kept: Iterable<string>, cursors: Cursors) {
    this.#name = network.spec.name;
    this.#subnet = parseSubnet(network.subnet);
    this.#virtualSubnet = virtualSubnetOf(network);
    this.#cursors = cursors;
    const pool = parseSubnet(network.spec.range ?? network.subnet);
    this.#tasks = {
      ...taskRange(this.#subnet, pool, this.#virtualSubnet),
      used: new Set(),
      cursor: cursorName.tasks(network.id),
    };
    const range = usableAddresses(this.#virtualSubnet);
    const size = range.last - range.first + 1;
    this.#virtual = { range, size, used: new Set(), cursor: cursorName.virtual(network.id) };
    for (const address of [...(network.spec.reserved ?? []), ...kept]) this.keep(address);
    for (const address of Object.values(network.bridgeAddresses)) this.use(address, bridgeHolder);
  }

  /** Notes an address that is in use already, and for what. */
  use(address: string, holder: string): void {
    this.#holders.set(parseAddress(address), holder);
    this.keep(address);
  }

  /** Notes an address that is not to be given to anyone who does not ask for it. */
  keep(address: string): void {
    const value = parseAddress(address);
    const part = subnetContains(this.#virtualSubnet, value) ? this.#virtual : this.#tasks;
    if (value >= part.range.first && value <= part.range.last) part.used.add(value);
  }

  /** Why `takeForTask` would find nothing, in words; undefined when it would find something. */
  whyFull(): string | undefined {
    const { used, size } = this.#tasks;
    return used.size < size ? undefined : this.#noneLeft('address', size, 'tasks and hosts');
  }

  /** Why `takeVirtual` would find nothing, in words; undefined when it would find something. */
  whyVirtualFull(): string | undefined {
    const { used, size } = this.#virtual;
    return used.size < size ? undefined : this.#noneLeft('virtual IP', size, 'services');
  }

  #noneLeft(what: string, size: number, users: string): string {
    const subnet = formatSubnet(this.#subnet);
    return `network ${this.#name} has no free ${what}: its subnet ${subnet} has ${size} for ${users}; give it a larger subnet, or use several networks`;
  }

  /** A free address for a task or a bridge, whose name is `holder`; there must be one. */
  takeForTask(holder: string): string {
    return this.#take(this.#tasks, holder, (candidate) => subnetContains(this.#virtualSubnet, candidate));
  }

  /** A free virtual IP; there must be one. */
  takeVirtual(holder: string): string {
    return this.#take(this.#virtual, holder, () => false);
  }

  /** Why a task cannot have this very address, in words; undefined when it can. */
  whyNot(address: string): string | undefined {
    const value = parseAddress(address);
    if (!isUsableAddress(this.#subnet, value)) {
      return `network ${this.#name} has no address ${address}: its subnet is ${formatSubnet(this.#subnet)}`;
    }
    if (subnetContains(this.#virtualSubnet, value)) {
      const block = formatSubnet(this.#virtualSubnet);
      return `address ${address} of network ${this.#name} is one of its virtual IPs, which are ${block}`;
    }
    const holder = this.#holders.get(value);
    return holder && `address ${address} of network ${this.#name} is in use by ${holder}`;
  }

  /** Without a cursor, as after a change of leader, taking goes on after the address of the newest task. */
  startAfter(address: string): void {
    if (!this.#cursors.has(this.#tasks.cursor)) this.#cursors.set(this.#tasks.cursor, parseAddress(address));
  }

  #take(part: Part, holder: string, isElsewhere: (candidate: number) => boolean): string {
    const address = nextFree(
      part.range,
      this.#cursors.get(part.cursor),
      (candidate) => part.used.has(candidate) || isElsewhere(candidate),
    );
    assert(address !== undefined, 'nothing is taken from what is full');
    part.used.add(address);
    this.#holders.set(address, holder);
    this.#cursors.set(part.cursor, address);
    return formatAddress(address);
  }
}

/** What is given to bridges and tasks: the pool without the virtual IPs and without what no interface can have. */
function taskRange(subnet: Subnet, pool: Subnet, virtual: Subnet): { range: Range; size: number } {
  const usable = usableAddresses(subnet);
  let first = Math.max(pool.base, usable.first);
  let last = Math.min(pool.base + subnetSize(pool) - 1, usable.last);
  const virtualLast = virtual.base + subnetSize(virtual) - 1;
  // At an end they cut the range short; in the middle they are passed over.
  if (virtual.base <= first && virtualLast >= first) first = virtualLast + 1;
  if (virtual.base <= last && virtualLast >= last) last = virtual.base - 1;
  const inMiddle = virtual.base > first && virtualLast < last ? subnetSize(virtual) : 0;
  return { range: { first, last }, size: last - first + 1 - inMiddle };
}

/** Blocks smaller than this hold too few virtual IPs to be of use. */
const virtualPrefixMax = 29;

/**
 * The largest block of the pool, half of it at most, in which none of these addresses is; of several the last. Undefined
 * when they leave none of a useful size.
 */
export function chooseVirtualSubnet(pool: Subnet, addresses: readonly number[]): Subnet | undefined {
  for (let prefix = pool.prefix + 1; prefix <= virtualPrefixMax; prefix++) {
    const size = 2 ** (32 - prefix);
    const met = new Set(
      addresses
        .filter((address) => subnetContains(pool, address))
        .map((address) => Math.floor((address - pool.base) / size)),
    );
    for (let index = 2 ** (prefix - pool.prefix) - 1; index >= 0; index--) {
      if (!met.has(index)) return { base: pool.base + index * size, prefix };
    }
  }
  return undefined;
}

/** The addresses that services ask for by themselves, by the full name of the network. */
export function fixedAddresses(view: View, faults: Faults): Map<string, string[]> {
  const fixed = new Map<string, string[]>();
  faults.forEach('service', view.services.values(), (service) => {
    for (const { name, address } of service.spec.task.networks) {
      if (address === undefined) continue;
      parseAddress(address); // or it is the networks that could not be worked with
      const others = fixed.get(name);
      if (others === undefined) fixed.set(name, [address]);
      else others.push(address);
    }
  });
  return fixed;
}

/** The addresses of every network that has a subnet, with those in use noted. One pass over all tasks and services. */
export function addressesInUse(view: View, cursors: Cursors, faults: Faults): Map<string, NetworkAddresses> {
  const networks = new Map<string, NetworkAddresses>();
  const fixed = fixedAddresses(view, faults);
  faults.forEach('network', view.networks.values(), (network) => {
    const { subnet } = network;
    if (subnet === undefined) return;
    const kept = fixed.get(network.spec.name) ?? [];
    networks.set(network.id, new NetworkAddresses({ ...network, subnet }, kept, cursors));
  });
  faults.forEach('service', view.services.values(), (service) => {
    for (const [networkId, address] of Object.entries(service.endpoint?.virtualAddresses ?? {})) {
      networks.get(networkId)?.use(address, `service ${service.spec.name}`);
    }
  });
  const newest = new Map<string, { task: Task; address: string }>();
  faults.forEach('task', view.tasks.values(), (task) => {
    for (const { networkId, address } of task.attachments) {
      parseAddress(address);
      const known = newest.get(networkId);
      if (known === undefined || isNewer(task, address, known)) newest.set(networkId, { task, address });
      if (isTerminal(task.status.state)) continue;
      if (isLost(task, view)) networks.get(networkId)?.keep(address);
      else networks.get(networkId)?.use(address, `task ${taskName(task)}`);
    }
  });
  for (const [networkId, { address }] of newest) networks.get(networkId)?.startAfter(address);
  return networks;
}

/** Whether nobody knows what became of the task, and it is not wanted any more: its successor may have its fixed address. */
function isLost({ nodeId, desiredState }: Task, view: View): boolean {
  if (desiredState !== 'shutdown' && desiredState !== 'remove') return false;
  if (nodeId === undefined) return false;
  const node = view.nodes.get(nodeId);
  return node === undefined || node.status.state === 'down';
}

/** Tasks made in one millisecond got their addresses upwards. */
function isNewer(task: Task, address: string, than: { task: Task; address: string }): boolean {
  if (task.createdAt !== than.task.createdAt) return task.createdAt > than.task.createdAt;
  return parseAddress(address) > parseAddress(than.address);
}
