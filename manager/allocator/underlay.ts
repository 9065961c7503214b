/** What the hosts say of the networks that they are on themselves, as far as overlay networks must heed it. Pure. */
import {
  formatSubnet,
  parseSubnet,
  subnetSize,
  subnetsOverlap,
  type Subnet,
} from '../../src/spec/address.ts';
import { vxlanOverheadBytes } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';
import { underlayMtuMin, widePrefix } from '../../src/spec/underlay.ts';

/** What one worker says that it is on, and no manager's host is, takes no more of the pool from the others than this part of it, */
export const poolShareOfWorker = 1 / 4;
/** and so many addresses beside the pool: those of a /12. */
export const addressesOfWorkerMax = 2 ** 20;

interface HostNetwork {
  subnet: Subnet;
  hostname: string;
}

/**
 * The networks that hosts are on, and those that they reach through a gateway; each once. What is beyond a worker's share is not
 * heeded: that host gets no task of a network there.
 */
export class HostNetworks {
  readonly #connected: HostNetwork[];
  readonly #routed: HostNetwork[];

  constructor(nodes: Iterable<Node>, pool: Subnet) {
    const all = [...nodes];
    this.#connected = collect(all, 'connected', pool);
    this.#routed = collect(all, 'routed', pool);
  }

  /** In words, what the subnet would take from a host that is on it; undefined when nothing. */
  whyNot(subnet: Subnet): string | undefined {
    const found = this.#connected.find((other) => subnetsOverlap(other.subnet, subnet));
    return found && `${formatSubnet(found.subnet)}, which node ${found.hostname} is on`;
  }

  /** Whether a host reaches something else there through a gateway: better left alone while there is a choice. */
  isRouted(subnet: Subnet): boolean {
    return this.#routed.some((other) => subnetsOverlap(other.subnet, subnet));
  }
}

function collect(nodes: Node[], kind: 'connected' | 'routed', pool: Subnet): HostNetwork[] {
  const found = new Map<string, HostNetwork>();
  // Managers first: what their hosts are on counts, whatever workers say.
  const isManager = ({ role }: Node) => role === 'manager';
  for (const node of [...nodes.filter(isManager), ...nodes.filter((each) => !isManager(each))]) {
    const { hostname } = node.description ?? {};
    const told = (node.description?.underlay?.[kind] ?? [])
      .filter((text) => !found.has(text))
      .map(parseSubnet)
      .filter(({ prefix }) => prefix > widePrefix);
    // What is only routed is passed over while there is a choice, and so takes nothing from anybody.
    const counts = isManager(node) || kind === 'routed' ? told : heeded(told, pool);
    for (const subnet of counts) {
      found.set(formatSubnet(subnet), { subnet, hostname: hostname! });
    }
  }
  return [...found.values()].toSorted((left, right) => left.subnet.base - right.subnet.base);
}

/** As many of a worker's networks as its share allows, the narrowest first: those are the likeliest to be what it is on. */
function heeded(told: Subnet[], pool: Subnet): Subnet[] {
  let ofPool = subnetSize(pool) * poolShareOfWorker;
  let beside = addressesOfWorkerMax;
  return told
    .toSorted((left, right) => right.prefix - left.prefix)
    .filter((subnet) => {
      const isOfPool = subnetsOverlap(subnet, pool);
      const size = isOfPool ? Math.min(subnetSize(subnet), subnetSize(pool)) : subnetSize(subnet);
      if (size > (isOfPool ? ofPool : beside)) return false;
      if (isOfPool) ofPool -= size;
      else beside -= size;
      return true;
    });
}

/** What fits through VXLAN between every two hosts whose network is not broken; undefined while no host has said what it carries. */
export function leastOverlayMtu(nodes: Iterable<Node>): number | undefined {
  let least: number | undefined;
  for (const { description } of nodes) {
    const told = description?.underlay?.mtuBytes;
    if (told === undefined || told < underlayMtuMin) continue; // such a host says itself that its network is broken
    const carried = told - vxlanOverheadBytes;
    least = Math.min(least ?? carried, carried);
  }
  return least;
}
