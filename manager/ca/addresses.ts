import { parseAddress } from '../../src/spec/address.ts';
import type { Node } from '../../src/spec/node.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { View } from '../store/objects.ts';

/** Where the hello came from, and the address of the host that the manager runs on, if it is known. */
export interface Origin {
  remoteAddress: string;
  ownAddress?: string | undefined;
}

/**
 * Whether the other hosts may send a node's traffic to the address that its agent gives: only when the agent's connection
 * comes from there, or an administrator has approved it, and no other node has it. Throws `permission_denied` or `already_exists`.
 */
export function checkAddress(view: View, node: Node, address: string, origin: Origin): void {
  if (node.description?.address !== address) {
    const refused = whyNotApproved(node, address, origin);
    if (refused !== undefined) throw refused;
  }
  if (!isUnicast(address)) throw notApproved(node.id, address, origin);
  checkUnique(view, node, address);
}

/**
 * Whether the address may be approved for the node, of which there may be nothing yet. Throws `invalid_argument` or
 * `already_exists`.
 */
export function checkApproval(view: View, node: Pick<Node, 'id'> | undefined, address: string): void {
  if (!isUnicast(address)) {
    throw new ShoalError('invalid_argument', `Cannot use ${address} as the address of a host`);
  }
  checkUnique(view, node && { ...node, approvedAddress: address }, address);
}

/** Why the address is not borne out by the connection nor approved, with what to do; undefined when it is. */
export function whyNotApproved(
  node: Pick<Node, 'id' | 'approvedAddress'>,
  address: string,
  origin: Origin,
): ShoalError | undefined {
  const remote = plainAddress(origin.remoteAddress);
  const approved = [node.approvedAddress, remote];
  if (isLoopback(remote)) approved.push(origin.ownAddress);
  return approved.includes(address) ? undefined : notApproved(node.id, address, origin);
}

function notApproved(nodeId: string, address: string, { remoteAddress }: Origin): ShoalError {
  return new ShoalError(
    'permission_denied',
    `node ${nodeId} cannot have the address ${address}: it is connected from ${plainAddress(remoteAddress)}`,
    { next: `If the address is right, approve it: \`shoal node update --address ${address} ${nodeId}\`.` },
  );
}

/**
 * Throws `already_exists` when another node has the address. That of one that is down stays its own, for its host may come back to it,
 * unless an administrator has given it to this node.
 */
function checkUnique(
  view: View,
  node: Pick<Node, 'id' | 'approvedAddress'> | undefined,
  address: string,
): void {
  const isGiven = node?.approvedAddress === address;
  const other = view.nodes
    .values()
    .filter(({ id, description }) => id !== node?.id && description?.address === address)
    .find(({ status }) => status.state === 'ready' || !isGiven);
  if (other === undefined) return;
  const name = other.description?.hostname ?? other.id;
  const give =
    node === undefined ? '' : `, or approve it: \`shoal node update --address ${address} ${node.id}\``;
  throw new ShoalError('already_exists', `the address ${address} is that of node ${other.id} (${name})`, {
    next:
      other.status.state === 'ready'
        ? 'Give each host an address of its own: `--advertise-address`.'
        : `If the host of that node is gone for good, remove it: \`shoal node rm ${other.id}\`${give}.`,
  });
}

/** An IPv4 address as it is, whatever socket it came by. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:/i, '');
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** An address that a host can have: not 0.0.0.0/8, multicast or reserved. */
function isUnicast(address: string): boolean {
  const first = Math.floor(parseAddress(address) / 2 ** 24);
  return first > 0 && first < 224;
}
