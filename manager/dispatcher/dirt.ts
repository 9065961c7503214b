import type { Fragment, Increments } from './fragment.ts';
import type { NetworkFacts, Peer } from './network-facts.ts';
import type { NodeFacts } from './node-facts.ts';
import { addTo } from './sets.ts';
import type { EndpointFact, ServiceFact } from './shared-facts.ts';

/** How a node's networks have changed. */
interface Move {
  before: ReadonlySet<string>;
  joined: Set<string>;
  left: Set<string>;
}

/** What one update has found that may be other than the nodes were told. */
export class Dirt {
  /** Addresses by network. */
  readonly peers = new Map<string, Set<string>>();
  /** Networks by node that the node may join or leave. */
  readonly places = new Map<NodeFacts, Set<string>>();
  /** Networks that any node may join or leave, or whose own assignment may be another. */
  readonly networks = new Set<string>();
  /** Networks of which nothing may be left to know. */
  readonly touched = new Set<string>();
  /** What they were. */
  readonly services = new Map<string, ServiceFact | undefined>();
  readonly endpoints = new Map<string, EndpointFact | undefined>();
  readonly moves = new Map<NodeFacts, Move>();

  /** Notes that the node joins, or leaves, the network; the node must still have its networks of before. */
  move(node: NodeFacts, networkId: string, joins: boolean): void {
    const known = this.moves.get(node);
    const move = known ?? { before: new Set(node.networks), joined: new Set(), left: new Set() };
    if (known === undefined) this.moves.set(node, move);
    (joins ? move.joined : move.left).add(networkId);
  }
}

/** Ids by node, each pair once, for nodes that are told anything. */
export class Pairs {
  readonly #listening: (nodeId: string) => boolean;
  readonly #ids = new Map<NodeFacts, Set<string>>();

  constructor(listening: (nodeId: string) => boolean) {
    this.#listening = listening;
  }

  add(node: NodeFacts, id: string): void {
    if (this.#listening(node.id)) addTo(this.#ids, node, id);
  }

  addAll(node: NodeFacts, ids: Iterable<string> = []): void {
    if (this.#listening(node.id)) for (const id of ids) addTo(this.#ids, node, id);
  }

  forEach(visit: (node: NodeFacts, id: string) => void): void {
    for (const [node, ids] of this.#ids) for (const id of ids) visit(node, id);
  }
}

/** Collects what the nodes that listen are to be told in one update. */
export class Teller {
  readonly listening: (nodeId: string) => boolean;
  readonly #dirt: Dirt;
  readonly #increments: Increments;

  constructor(dirt: Dirt, increments: Increments, listening: (nodeId: string) => boolean) {
    this.#dirt = dirt;
    this.#increments = increments;
    this.listening = listening;
  }

  networksBefore(node: NodeFacts): ReadonlySet<string> {
    return this.#dirt.moves.get(node)?.before ?? node.networks;
  }

  hasJoined(node: NodeFacts, networkId: string): boolean {
    return this.#dirt.moves.get(node)?.joined.has(networkId) === true;
  }

  change(node: NodeFacts, before: Fragment | undefined, after: Fragment | undefined): void {
    this.#increments.change(node.id, before, after);
  }

  put(node: NodeFacts, make: () => Fragment): void {
    if (this.listening(node.id)) this.#increments.of(node.id).put(make());
  }

  /** One peer to all members but those that are told of the whole network. */
  peer(facts: NetworkFacts, before: Peer | undefined, after: Peer | undefined): void {
    for (const node of facts.members) {
      if (!this.listening(node.id) || this.hasJoined(node, facts.id)) continue;
      this.change(node, peerFor(node, before), peerFor(node, after));
    }
  }

  /** The network and its peers; they must be as they are now. */
  join(node: NodeFacts, facts: NetworkFacts, make: () => Fragment): void {
    this.put(node, make);
    if (!this.listening(node.id)) return;
    for (const peer of facts.peers.values()) this.change(node, undefined, peerFor(node, peer));
  }

  /** The opposite; the peers must be as they were. */
  leave(node: NodeFacts, facts: NetworkFacts): void {
    if (!this.listening(node.id)) return;
    this.#increments.of(node.id).remove('network', facts.id);
    for (const peer of facts.peers.values()) this.change(node, peerFor(node, peer), undefined);
  }
}

/** A node is not told where its own tasks are. */
function peerFor(node: NodeFacts, peer: Peer | undefined): Fragment | undefined {
  return peer?.nodeId === node.id ? undefined : peer?.fragment;
}
