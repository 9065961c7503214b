/** Overlay networks that would take something from the host's own network. Pure. */
import { formatSubnet, parseSubnet } from '../../src/spec/address.ts';
import { connectedOverlap } from '../../src/spec/underlay.ts';
import type { NetworkAssignment } from '../../src/wire/session.ts';
import type { Underlay } from './underlay.ts';

/**
 * Why networks are not made on this host, by their id. A network that stands here already (`isStanding`) stays: tasks may run
 * on it, and the host has lived with it.
 */
export function refusedNetworks(
  networks: Iterable<NetworkAssignment>,
  underlay: Underlay,
  isStanding: (networkId: string) => boolean,
): Map<string, string> {
  const refused = new Map<string, string>();
  for (const { id, name, subnet } of networks) {
    if (isStanding(id)) continue;
    const conflict = connectedOverlap(underlay, parseSubnet(subnet));
    if (!conflict) continue;
    refused.set(
      id,
      `network ${name} is not made on this host: its subnet ${subnet} overlaps ${formatSubnet(conflict)}, which the host is on itself. Make the network anew, or with another subnet`,
    );
  }
  return refused;
}
