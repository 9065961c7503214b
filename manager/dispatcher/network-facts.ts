import type { Task } from '../../src/spec/task.ts';
import type { View } from '../store/objects.ts';
import { isNewer } from './assignments.ts';
import { Fragment } from './fragment.ts';
import type { NodeFacts } from './node-facts.ts';

/** Where frames for one address of a network go: what all nodes but that of the task are told. */
export interface Peer {
  nodeId: string;
  fragment: Fragment;
}

/** What all nodes of one network share: it is kept once, however many they are. */
export class NetworkFacts {
  readonly id: string;
  /** Nodes that were told of the network. */
  readonly members = new Set<NodeFacts>();
  /** Ids of services that are reached on it. */
  readonly services = new Set<string>();
  /** Ids of tasks on it to which connections may go. */
  readonly endpoints = new Set<string>();
  /** By address, as the members were told. */
  readonly peers = new Map<string, Peer>();
  /** See `signatureOf`. */
  signature = '';
  /** Live tasks by address. Two have the same one when the older was lost with its host. */
  readonly #holders = new Map<string, Map<string, Task>>();

  constructor(id: string) {
    this.id = id;
  }

  /** Whether nothing is known of it any more. */
  get isEmpty(): boolean {
    const sets = [this.members, this.services, this.endpoints, this.peers, this.#holders];
    return sets.every(({ size }) => size === 0);
  }

  hold(address: string, task: Task): void {
    const holders = this.#holders.get(address) ?? new Map<string, Task>();
    this.#holders.set(address, holders.set(task.id, task));
  }

  release(address: string, taskId: string): void {
    const holders = this.#holders.get(address);
    holders?.delete(taskId);
    if (holders?.size === 0) this.#holders.delete(address);
  }

  /** Whom the address belongs to now; the same object when that is as it was. */
  peerNow(address: string, hostAddressOf: (task: Task) => string | undefined): Peer | undefined {
    let holder: Task | undefined;
    for (const task of this.#holders.get(address)?.values() ?? []) {
      if (holder === undefined || isNewer(task, holder)) holder = task;
    }
    const hostAddress = holder && hostAddressOf(holder);
    if (holder === undefined || hostAddress === undefined) return undefined;
    const id = `${this.id}/${holder.id}`;
    const value = { id, networkId: this.id, address, hostAddress };
    const before = this.peers.get(address);
    const fragment = new Fragment({ kind: 'peer', value });
    const { nodeId = '' } = holder;
    return before?.nodeId === nodeId && before.fragment.text === fragment.text
      ? before
      : { nodeId, fragment };
  }
}

/** Whether the network has all that a node needs to be part of it. */
export function hasPlace(view: View, networkId: string, nodeId: string): boolean {
  const { vni, subnet, bridgeAddresses } = view.networks.get(networkId) ?? {};
  return vni !== undefined && subnet !== undefined && bridgeAddresses?.[nodeId] !== undefined;
}

/** All that any node is told of the network itself: another one means that every member is told anew. */
export function signatureOf(view: View, networkId: string): string {
  const network = view.networks.get(networkId);
  if (network === undefined) return '';
  const { vni, subnet, virtualSubnet, spec, mtuBytes = spec.mtuBytes, bridgeAddresses } = network;
  const bridges = Object.entries(bridgeAddresses).map(([nodeId, address]) => [
    nodeId,
    address,
    view.nodes.get(nodeId)?.description?.address,
  ]);
  return JSON.stringify([vni, subnet, virtualSubnet, spec.name, spec.internal, mtuBytes, bridges]);
}
