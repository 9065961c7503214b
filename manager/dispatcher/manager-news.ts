import { managerPort } from '../../src/spec/defaults.ts';
import { isManager } from '../../src/spec/manager-state.ts';
import type { Node, NodeRole } from '../../src/spec/node.ts';
import { managersToldMax, type ManagerMessage } from '../../src/wire/session.ts';
import { damageOfNode } from '../store/damage.ts';
import type { View, ViewChange } from '../store/objects.ts';

/** The node with the address of its manager as what it says of itself has it; as it is when it is none. */
export function withManagerAddress(node: Node): Node {
  const { role, manager, description } = node;
  if (description === undefined || (role !== 'manager' && manager === undefined)) return node;
  const address = `${description.address}:${description.managerPort ?? managerPort}`;
  return manager?.address === address ? node : { ...node, manager: { ...manager, address } };
}

/** What the node's host is to be: a manager for as long as it has a member of the store, for only then may its data go. */
export function roleOf(node: Pick<Node, 'role' | 'manager'>): NodeRole {
  return isManager(node) ? 'manager' : 'worker';
}

const hostOf = (address: string) => address.split(':')[0];

/**
 * `HOST:PORT` of the managers that serve, the leader's first, then the oldest. `leader`: the address of the leader's host, or `HOST:PORT`. One that waits
 * for its place in the store does not serve yet; with the embedded store the leader alone does.
 */
export function managerAddresses(nodes: Iterable<Node>, leader: string | undefined): string[] {
  const isLeader = ({ manager }: Node) =>
    leader !== undefined && hostOf(manager?.address ?? '') === hostOf(leader);
  const serves = (node: Node) =>
    isLeader(node) || ['started', 'voting'].includes(node.manager?.member?.phase ?? '');
  return [...nodes]
    .filter((node) => damageOfNode(node) === undefined && node.manager !== undefined && serves(node))
    .sort((one, other) => Number(isLeader(other)) - Number(isLeader(one)) || one.createdAt - other.createdAt)
    .map(({ manager }) => manager!.address)
    .slice(0, managersToldMax);
}

interface Listener {
  readonly nodeId: string;
  send(message: ManagerMessage): void;
}

/** Tells the hosts which managers there are and what each of them is to be, when it is another thing than they were told. */
export class ManagerNews {
  readonly #view: View;
  readonly #leader: () => string | undefined;
  readonly #told = new WeakMap<Listener, string>();
  #hasChanged = true;

  /** `leader`: the address of this manager's host, for only the leader has sessions. */
  constructor(view: View, leader: () => string | undefined) {
    this.#view = view;
    this.#leader = leader;
  }

  note({ kinds }: ViewChange): void {
    if (kinds.has('node')) this.#hasChanged = true;
  }

  tell(listener: Listener): void {
    const node = this.#view.nodes.get(listener.nodeId);
    const addresses = managerAddresses(this.#view.nodes.values(), this.#leader());
    if (node !== undefined) this.#send(listener, node, addresses);
  }

  tellAll(listeners: Iterable<Listener>): void {
    if (!this.#hasChanged) return;
    this.#hasChanged = false;
    const addresses = managerAddresses(this.#view.nodes.values(), this.#leader());
    for (const listener of listeners) {
      const node = this.#view.nodes.get(listener.nodeId);
      if (node !== undefined) this.#send(listener, node, addresses);
    }
  }

  /** Nothing is told of managers while none is known: the host keeps to those that it knows. */
  #send(listener: Listener, node: Node, addresses: string[]): void {
    if (addresses.length === 0) return;
    const message = { type: 'managers' as const, role: roleOf(node), addresses };
    const text = JSON.stringify(message);
    if (this.#told.get(listener) === text) return;
    this.#told.set(listener, text);
    listener.send(message);
  }
}
