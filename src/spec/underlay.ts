import { parseSubnet, subnetsOverlap, type Subnet } from './address.ts';
import type { NodeUnderlay } from './node.ts';

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
