/** What the hosts say of the networks that they are on themselves, as far as overlay networks must heed it. Pure. */
import { formatSubnet, parseSubnet, subnetsOverlap, type Subnet } from '../../src/spec/address.ts';
import { vxlanOverheadBytes } from '../../src/spec/network.ts';
import type { Node } from '../../src/spec/node.ts';

/** No host makes the networks of all others smaller than this allows: IPv6 asks as much of every link (RFC 8200, section 5). */
export const underlayMtuMin = 1_280;

interface HostNetwork {
  subnet: Subnet;
  hostname: string;
}

/** The networks that hosts are on, and those that they reach through a gateway; each once. */
export class HostNetworks {
  readonly #connected: HostNetwork[];
  readonly #routed: HostNetwork[];

  constructor(nodes: Iterable<Node>) {
    const all = [...nodes];
    this.#connected = collect(all, 'connected');
    this.#routed = collect(all, 'routed');
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

function collect(nodes: Node[], kind: 'connected' | 'routed'): HostNetwork[] {
  const found = new Map<string, HostNetwork>();
  for (const { description } of nodes) {
    for (const text of description?.underlay?.[kind] ?? []) {
      if (!found.has(text)) {
        found.set(text, { subnet: parseSubnet(text), hostname: description!.hostname });
      }
    }
  }
  return [...found.values()].toSorted((left, right) => left.subnet.base - right.subnet.base);
}

/** What fits through VXLAN between every two hosts; undefined while no host has said what it carries. */
export function leastOverlayMtu(nodes: Iterable<Node>): number | undefined {
  let least: number | undefined;
  for (const { description } of nodes) {
    const told = description?.underlay?.mtuBytes;
    if (told === undefined) continue;
    const carried = Math.max(told, underlayMtuMin) - vxlanOverheadBytes;
    least = Math.min(least ?? carried, carried);
  }
  return least;
}
