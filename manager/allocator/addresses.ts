import {
  formatAddress,
  parseAddress,
  parseSubnet,
  splitSubnet,
  subnetContains,
} from '../../src/spec/address.ts';
import type { Network } from '../../src/spec/network.ts';
import { isTerminal, type Task } from '../../src/spec/task.ts';
import { assert } from '../../src/util/errors.ts';
import type { View } from '../store/objects.ts';
import { cursorName, nextFree, usableAddresses, type Cursors, type Range } from './range.ts';

interface Half {
  range: Range;
  used: Set<number>;
  cursor: string;
}

/** Gives out the addresses of one network: the lower half to bridges and tasks, the upper one to virtual IPs. */
export class NetworkAddresses {
  readonly #tasks: Half;
  readonly #virtual: Half;
  readonly #cursors: Cursors;

  /** `subnet` in CIDR form. The cursors are moved as addresses are taken. */
  constructor(network: Network, subnet: string, cursors: Cursors) {
    const halves = splitSubnet(parseSubnet(subnet));
    const half = (of: keyof typeof halves, cursor: string): Half => ({
      range: usableAddresses(halves[of]),
      used: new Set(),
      cursor,
    });
    this.#tasks = half('tasks', cursorName.tasks(network.id));
    this.#virtual = half('virtual', cursorName.virtual(network.id));
    this.#cursors = cursors;
    for (const address of Object.values(network.bridgeAddresses)) this.use(address);
  }

  /** Notes an address that is in use already. */
  use(address: string): void {
    const value = parseAddress(address);
    const half = value <= this.#tasks.range.last ? this.#tasks : this.#virtual;
    half.used.add(value);
  }

  /** Whether `takeForTask` would find nothing. */
  isFull(): boolean {
    return isFull(this.#tasks);
  }

  /** Whether `takeVirtual` would find nothing. */
  isVirtualFull(): boolean {
    return isFull(this.#virtual);
  }

  /** A free address for a task or a bridge; there must be one. */
  takeForTask(): string {
    return this.#take(this.#tasks);
  }

  /** A free virtual IP; there must be one. */
  takeVirtual(): string {
    return this.#take(this.#virtual);
  }

  /** Without a cursor, as after a change of leader, taking goes on after the address of the newest task. */
  startAfter(address: string): void {
    if (!this.#cursors.has(this.#tasks.cursor)) this.#cursors.set(this.#tasks.cursor, parseAddress(address));
  }

  #take(half: Half): string {
    const address = nextFree(half.range, this.#cursors.get(half.cursor), (candidate) =>
      half.used.has(candidate),
    );
    assert(address !== undefined, 'nothing is taken from what is full');
    half.used.add(address);
    this.#cursors.set(half.cursor, address);
    return formatAddress(address);
  }
}

/** Only usable addresses are ever used. */
function isFull({ range, used }: Half): boolean {
  return used.size > range.last - range.first;
}

/** The addresses of every network that has a subnet, with those in use noted. One pass over all tasks and services. */
export function addressesInUse(view: View, cursors: Cursors): Map<string, NetworkAddresses> {
  const networks = new Map<string, NetworkAddresses>();
  for (const network of view.networks.values()) {
    if (network.subnet === undefined) continue;
    networks.set(network.id, new NetworkAddresses(network, network.subnet, cursors));
  }
  for (const service of view.services.values()) {
    for (const [networkId, address] of Object.entries(service.endpoint?.virtualAddresses ?? {})) {
      networks.get(networkId)?.use(address);
    }
  }
  const newest = new Map<string, { task: Task; address: string }>();
  for (const task of view.tasks.values()) {
    for (const { networkId, address } of task.attachments) {
      if (!isTerminal(task.status.state)) networks.get(networkId)?.use(address);
      const known = newest.get(networkId);
      if (known === undefined || isNewer(task, address, known)) newest.set(networkId, { task, address });
    }
  }
  for (const [networkId, { address }] of newest) networks.get(networkId)?.startAfter(address);
  return networks;
}

/** Tasks made in one millisecond got their addresses upwards. */
function isNewer(task: Task, address: string, than: { task: Task; address: string }): boolean {
  if (task.createdAt !== than.task.createdAt) return task.createdAt > than.task.createdAt;
  return parseAddress(address) > parseAddress(than.address);
}

/** Whether a virtual IP still lies where the network has its virtual IPs. */
export function isVirtualAddress(subnet: string, address: string): boolean {
  return subnetContains(splitSubnet(parseSubnet(subnet)).virtual, parseAddress(address));
}
