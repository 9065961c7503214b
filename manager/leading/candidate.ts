import { isManager } from '../../src/spec/manager-state.ts';
import type { Node } from '../../src/spec/node.ts';
import type { View } from '../store/objects.ts';

/** A manager that leads or would, as the others find it. */
export interface Candidate {
  /** Its host's node; not known at `init`, before the host has joined. */
  nodeId?: string;
  /** `HOST:PORT` of its API. */
  address: string;
}

/** As the store keeps it. */
export function formatCandidate({ nodeId, address }: Candidate): string {
  return JSON.stringify({ nodeId, address });
}

/** Undefined for what is no candidate of ours, such as one of another version. */
export function parseCandidate(text: string): Candidate | undefined {
  try {
    const { nodeId, address } = JSON.parse(text) as Partial<Record<keyof Candidate, unknown>>;
    if (typeof address !== 'string' || hostOf(address) === '') return undefined;
    return { address, ...(typeof nodeId === 'string' && { nodeId }) };
  } catch {
    return undefined;
  }
}

/** The node that its manager runs on, by its id or else by its address. */
export function nodeOfCandidate(view: View, { nodeId, address }: Candidate): Node | undefined {
  if (nodeId !== undefined) return view.nodes.get(nodeId);
  const host = hostOf(address);
  const managers = [...view.nodes.values()].filter(isManager);
  return (
    managers.find(({ manager }) => manager?.address === address) ??
    managers.find(({ description, approvedAddress }) =>
      [description?.address, approvedAddress].includes(host),
    )
  );
}

/** The host of `HOST:PORT`; of an IPv6 address without its brackets. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}
