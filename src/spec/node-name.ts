import type { Node } from './node.ts';

/** What the node is called, in constraints and by people. */
export function nodeName({ id, name, description }: Node): string {
  return name ?? description?.hostname ?? id;
}

/** The node that a name belongs to. Case does not count, as in constraints; ids are taken, too. */
export function holderOf(nodes: Iterable<Node>, name: string): Node | undefined {
  const wanted = name.toLowerCase();
  for (const node of nodes) {
    if (nodeName(node).toLowerCase() === wanted || node.id === wanted) return node;
  }
  return undefined;
}

/**
 * The name that a node keeps which joined before names were kept: what its host says, unless another node is called so.
 * Constraints on a name must mean one node, and a host does not choose by what it says which.
 */
export function nameToKeep(nodes: Iterable<Node>, node: Node, said: string): string {
  if (node.name !== undefined) return node.name;
  const holder = holderOf(nodes, said);
  return holder === undefined || holder.id === node.id ? said : `${said}-${node.id}`;
}
