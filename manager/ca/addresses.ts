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
 * comes from there, or it was approved when the host joined or by an administrator, and no other node has it.
 * Throws `permission_denied` or `already_exists`.
 */
export function checkAddress(view: View, node: Node, address: string, origin: Origin): void {
  const remote = plainAddress(origin.remoteAddress);
  const approved = [node.approvedAddress, node.description?.address, remote];
  if (isLoopback(remote)) approved.push(origin.ownAddress);
  if (!isUnicast(address) || !approved.includes(address)) {
    throw new ShoalError(
      'permission_denied',
      `node ${node.id} cannot have the address ${address}: it is connected from ${remote}`,
      { next: `If the address is right, approve it: \`shoal node update --address ${address} ${node.id}\`.` },
    );
  }
  checkUnique(view, node.id, address);
}

/**
 * Whether the address may be approved for the node, of which there may be nothing yet. Throws `invalid_argument` or
 * `already_exists`.
 */
export function checkApproval(view: View, nodeId: string | undefined, address: string): void {
  if (!isUnicast(address)) {
    throw new ShoalError('invalid_argument', `Cannot use ${address} as the address of a host`);
  }
  checkUnique(view, nodeId, address);
}

/** Throws `already_exists` when another node has the address, unless that one is down or was never here. */
function checkUnique(view: View, nodeId: string | undefined, address: string): void {
  const other = view.nodes
    .values()
    .find(
      (node) => node.id !== nodeId && node.status.state === 'ready' && node.description?.address === address,
    );
  if (other === undefined) return;
  const name = other.description?.hostname ?? other.id;
  throw new ShoalError('already_exists', `the address ${address} is that of node ${other.id} (${name})`, {
    next: 'Give each host an address of its own: `--advertise-address`.',
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
