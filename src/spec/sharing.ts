import type { ServiceMode, ServiceSpec, TaskTemplate } from './service.ts';

/** Full names of the services that a task made from the template takes something over from. */
export function anchorServices({ sharing }: Pick<TaskTemplate, 'sharing'>): string[] {
  if (sharing === undefined) return [];
  const { network, ipc, pid, mounts = [] } = sharing;
  const names = [network, ipc, pid, ...mounts.map(({ service }) => service)];
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** The service and those that it shares with, whose placement holds for it as well: without them it cannot run. */
export function withAnchors(
  spec: ServiceSpec,
  serviceByName: (name: string) => ServiceSpec | undefined,
): ServiceSpec[] {
  const specs = new Set([spec]);
  // A set grows while it is gone through, and each service comes once.
  for (const one of specs) {
    for (const name of anchorServices(one.task)) {
      const anchor = serviceByName(name);
      if (anchor !== undefined) specs.add(anchor);
    }
  }
  return [...specs];
}

/** Why tasks of the one cannot be paired with tasks of the other, in words that come after the anchor's name; undefined when they can. */
export function pairingProblem(mode: ServiceMode, anchor: ServiceMode): string | undefined {
  if (mode.kind !== anchor.kind) {
    return anchor.kind === 'global'
      ? 'runs on every node, and this one does not'
      : 'does not run on every node, as this one does';
  }
  if (mode.kind === 'global' || anchor.kind === 'global' || mode.replicas <= anchor.replicas)
    return undefined;
  return `has ${anchor.replicas === 1 ? 'one replica' : `${anchor.replicas} replicas`}, and this one ${mode.replicas}`;
}
