import { parseSubnet, subnetsOverlap, type Subnet } from './address.ts';
import type { NodeUnderlay } from './node.ts';

/**
 * A network this wide or wider says nothing of a part of it: VPNs write `0.0.0.0/1` or `10.0.0.0/8` for all that they might
 * ever reach. What a host needs of it (its addresses, gateways and resolvers) counts by itself.
 */
export const widePrefix = 11;
/** A host whose own network carries less is broken, and no others follow it: IPv6 asks as much of every link (RFC 8200, section 5). */
export const underlayMtuMin = 1_280;

/** Descriptions are asked about again and again, and never changed. */
const parsed = new WeakMap<readonly string[], Subnet[]>();

/** The network that a host is on itself and of which an overlay network with this subnet would take something. */
export function connectedOverlap(
  { connected }: Pick<NodeUnderlay, 'connected'>,
  subnet: Subnet,
): Subnet | undefined {
  const own = parsed.get(connected) ?? connected.map(parseSubnet);
  parsed.set(connected, own);
  return own.find((each) => subnetsOverlap(each, subnet));
}
