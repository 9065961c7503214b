import { hostPathMemoryMs, lacksHostPath, neededHostPaths } from '../../src/spec/host-path.ts';
import { nodeName } from '../../src/spec/node-name.ts';
import type { TaskTemplate } from '../../src/spec/service.ts';
import { hasPassed } from '../../src/util/steady-clock.ts';
import type { View } from '../store/objects.ts';
import type { Filter } from './node-use.ts';

/** Nodes that are named in one reason. */
const namesMax = 10;

/** Keeps tasks away from nodes where one of the service has just found a source of its bind mounts missing. */
export function hostPathFilters(
  serviceId: string,
  template: TaskTemplate,
  view: View,
  now: number,
): Filter[] {
  const paths = neededHostPaths(template);
  if (paths.length === 0) return [];
  const lacking = new Map(paths.map((path) => [path, new Set<string>()]));
  for (const { nodeId, status } of view.tasksOfService(serviceId)) {
    if (nodeId === undefined || status?.error === undefined || hasPassed(status.at, hostPathMemoryMs, now))
      continue;
    for (const path of paths) if (lacksHostPath(status, path)) lacking.get(path)!.add(nodeId);
  }
  return [...lacking].map(([path, nodes]) => ({
    explain: `no ${path}`,
    namesNodes: true,
    detail: (uses) => shortList(uses.map(({ node }) => nodeName(node)).toSorted()),
    fits: ({ node }) => !nodes.has(node.id),
  }));
}

function shortList(names: string[]): string {
  const more = names.length - namesMax;
  return `${names.slice(0, namesMax).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
