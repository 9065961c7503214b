import type { ServiceSpec } from '../../src/spec/service.ts';
import { damageOfNode } from '../store/damage.ts';
import type { View } from '../store/objects.ts';
import { explainNodes, lastingFilters } from './filters.ts';
import { NodeUse } from './node-use.ts';

/**
 * Why no node of the cluster could ever take a task of the service, even if all were ready and empty, in words; undefined when
 * one could, or when no node is known. A global service goes where it can, and that may be nowhere yet.
 */
export function whyNowhere(spec: ServiceSpec, view: View): string | undefined {
  if (spec.mode.kind === 'global') return undefined;
  const nodes = [...view.nodes.values()].filter(
    (node) => damageOfNode(node) === undefined && node.description !== undefined,
  );
  if (nodes.length === 0) return undefined;
  const filters = lastingFilters(spec.task);
  const uses = nodes.map((node) => new NodeUse(node));
  if (uses.some((use) => filters.every((filter) => filter.fits(use)))) return undefined;
  return explainNodes(uses, { fixed: filters, changing: [] });
}
