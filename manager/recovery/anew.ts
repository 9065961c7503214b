import type { Cluster } from '../../src/spec/cluster.ts';
import type { Node } from '../../src/spec/node.ts';

/**
 * What the stored cluster becomes when one manager goes on with it alone: the cluster is of the next generation, the others are workers, and
 * nobody is a member of etcd any more. `nodes` of the answer are only those that have changed. Applications, services and tasks
 * stay as they are, so that no container is touched.
 *
 * Which keys of the store say who leads is the store's own matter: whoever copies a store leaves them out.
 */
export function startAnew(
  cluster: Cluster,
  nodes: readonly Node[],
  ownNodeId: string,
): { cluster: Cluster; nodes: Node[] } {
  const became = nodes.map((node) => (node.id === ownNodeId ? alone(node) : left(node)));
  return {
    cluster: { ...cluster, generation: (cluster.generation ?? 1) + 1 },
    nodes: became.filter((node, index) => node !== nodes[index]),
  };
}

/** The node whose manager goes on. What was wrong with its member is over too. */
function alone(node: Node): Node {
  const { role, manager } = node;
  const isAsItShouldBe =
    role === 'manager' && manager?.member === undefined && manager?.problem === undefined;
  if (isAsItShouldBe) return node;
  const { manager: _, ...others } = node;
  return {
    ...others,
    role: 'manager',
    ...(manager === undefined ? {} : { manager: { address: manager.address } }),
  };
}

/** A node whose manager, if it has one, was left behind: it comes back by joining again. */
function left(node: Node): Node {
  if (node.role === 'worker' && node.manager === undefined) return node;
  const { manager: _, ...others } = node;
  return { ...others, role: 'worker' };
}
