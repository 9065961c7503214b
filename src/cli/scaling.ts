import type { Service } from '../spec/service.ts';
import { anchorServices } from '../spec/sharing.ts';

/** A service and how many replicas it is to have. */
export interface ScaleTarget {
  service: Service;
  replicas: number;
}

/**
 * The order in which the services can be scaled one after the other without one ever having more replicas than those
 * that it shares with: those that shrink first, each before its anchors; then those that grow, each after its anchors.
 */
export function scalingOrder(targets: readonly ScaleTarget[]): ScaleTarget[] {
  const byName = new Map(targets.map((target) => [target.service.spec.name, target]));
  const anchorsFirst = new Set<ScaleTarget>();
  const visited = new Set<ScaleTarget>();
  const visit = (target: ScaleTarget) => {
    if (visited.has(target)) return;
    visited.add(target);
    for (const name of anchorServices(target.service.spec.task)) {
      const anchor = byName.get(name);
      if (anchor !== undefined) visit(anchor);
    }
    anchorsFirst.add(target);
  };
  for (const target of targets) visit(target);
  const ordered = [...anchorsFirst];
  return [...ordered.filter(shrinks).toReversed(), ...ordered.filter((target) => !shrinks(target))];
}

function shrinks({ service, replicas }: ScaleTarget): boolean {
  const { mode } = service.spec;
  return mode.kind === 'replicated' && replicas < mode.replicas;
}
