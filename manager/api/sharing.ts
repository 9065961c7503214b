import type { ServiceSpec } from '../../src/spec/service.ts';
import { anchorServices, pairingProblem } from '../../src/spec/sharing.ts';

/** Something in a service's sharing that cannot be: where, below the service, and why. */
export interface SharingFault {
  service: ServiceSpec;
  path: string;
  why: string;
}

/** The first thing wrong with what the services of one application share; undefined when nothing is. */
export function sharingFault(services: readonly ServiceSpec[]): SharingFault | undefined {
  const byName = new Map(services.map((spec) => [spec.name, spec]));
  for (const service of services) {
    const fault = placementFault(service, byName) ?? anchorFault(service, byName) ?? networkFault(service);
    if (fault !== undefined) return { service, ...fault };
  }
  const circle = inCircle(services);
  return circle && { service: circle, path: '/task/sharing', why: 'services share in a circle' };
}

type Fault = Omit<SharingFault, 'service'>;

function placementFault({ task, mode }: ServiceSpec, byName: Map<string, ServiceSpec>): Fault | undefined {
  const { with: leaderName } = task.placement;
  const path = '/task/placement/with';
  if (leaderName === undefined) {
    return task.sharing && { path, why: 'a service that shares must be placed with one that does not' };
  }
  const leader = byName.get(leaderName);
  if (leader === undefined) return { path, why: `${leaderName} is not part of the application` };
  if (leader.task.placement.with !== undefined)
    return { path, why: `${leaderName} is placed with another itself` };
  if (leader.mode.kind !== mode.kind) return { path, why: `${leaderName} is of another mode` };
  return undefined;
}

function anchorFault({ task, mode }: ServiceSpec, byName: Map<string, ServiceSpec>): Fault | undefined {
  const path = '/task/sharing';
  const leader = task.placement.with;
  for (const name of anchorServices(task)) {
    const anchor = byName.get(name);
    if (anchor === undefined) return { path, why: `${name} is not part of the application` };
    if ((anchor.task.placement.with ?? name) !== leader)
      return { path, why: `${name} is placed with another` };
    const problem = pairingProblem(mode, anchor.mode);
    if (problem !== undefined) return { path, why: `${name} ${problem}` };
  }
  const ipc = task.sharing?.ipc;
  if (ipc !== undefined && byName.get(ipc)?.task.container.settings?.ipc !== 'shareable') {
    return { path: `${path}/ipc`, why: `${ipc} keeps its IPC namespace to itself` };
  }
  return undefined;
}

/** Addresses and ports are those of the service whose network it is. */
function networkFault({ task, ports }: ServiceSpec): Fault | undefined {
  if (task.sharing?.network === undefined) return undefined;
  const path = '/task/sharing/network';
  if (task.networks.length > 0) return { path, why: 'it joins networks as well' };
  if (ports.length > 0 || task.hostPorts.length > 0) return { path, why: 'it publishes ports as well' };
  return undefined;
}

/** One of the services that lie on a circle, or share with one that does. */
function inCircle(services: readonly ServiceSpec[]): ServiceSpec | undefined {
  const waiting = new Map(services.map((spec) => [spec.name, anchorServices(spec.task).length]));
  const companions = new Map<string, string[]>();
  for (const { name, task } of services) {
    for (const anchor of anchorServices(task)) {
      const known = companions.get(anchor);
      if (known === undefined) companions.set(anchor, [name]);
      else known.push(name);
    }
  }
  // Whoever shares with nobody that is left is free; the set grows while it is gone through.
  const free = new Set([...waiting].filter(([, count]) => count === 0).map(([name]) => name));
  for (const name of free) {
    for (const companion of companions.get(name) ?? []) {
      const count = waiting.get(companion)! - 1;
      waiting.set(companion, count);
      if (count === 0) free.add(companion);
    }
  }
  return services.find(({ name }) => !free.has(name));
}

/** Why the service cannot be as it is wished beside those that it shares with, in words for a person. */
export function pairingFault(wished: ServiceSpec, others: readonly ServiceSpec[]): string | undefined {
  for (const other of others) {
    if (anchorServices(wished.task).includes(other.name)) {
      const problem = pairingProblem(wished.mode, other.mode);
      if (problem !== undefined) return `${other.name}, which it shares with, ${problem}`;
    }
    if (anchorServices(other.task).includes(wished.name)) {
      if (pairingProblem(other.mode, wished.mode) === undefined) continue;
      return `${other.name}, which shares with it, would have more replicas`;
    }
  }
  return undefined;
}
