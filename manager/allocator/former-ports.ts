import { portsClash } from '../../src/spec/port.ts';
import { opened, publishedRange } from '../../src/spec/published-port.ts';
import type { AllocatedPort, FormerPorts, Service } from '../../src/spec/service.ts';
import { isTerminal } from '../../src/spec/task.ts';
import { currentVersion } from '../../src/spec/versions.ts';
import { damageOfServiceObject } from '../store/damage.ts';
import type { View } from '../store/objects.ts';

/**
 * The ports that tasks of earlier versions serve on, oldest first, once the service has `ports`: until its update is completed the
 * version before it goes on with all that it had, and has it still when the update is rolled back.
 */
export function formerPorts(service: Service, ports: readonly AllocatedPort[], view: View): FormerPorts[] {
  const { endpoint, specVersion } = service;
  if (endpoint === undefined || currentVersion(service).state === 'completed') return [];
  const former = [...(endpoint.former ?? [])];
  const upTo = specVersion - 1;
  const isOther = !isSameOnes(endpoint.ports, ports);
  if (isOther && (former.at(-1)?.upTo ?? 0) < upTo) former.push({ upTo, ports: endpoint.ports });
  if (former.length === 0) return [];
  const versions = [...view.tasksOfService(service.id)]
    .filter(({ status }) => !isTerminal(status.state))
    .map((task) => task.specVersion);
  const isFree = portsLeft(service, view);
  return former
    .filter((each, index) => {
      const after = former[index - 1]?.upTo ?? 0;
      return versions.some((version) => version > after && version <= each.upTo);
    })
    .map((each) => ({ ...each, ports: each.ports.filter(isFree) }))
    .filter((each) => each.ports.length > 0 || ports.length > 0);
}

function isSameOnes(left: readonly AllocatedPort[], right: readonly AllocatedPort[]): boolean {
  return left.length === right.length && left.every((port, index) => isSamePort(port, right[index]!));
}

function isSamePort(left: AllocatedPort, right: AllocatedPort): boolean {
  return left.target === right.target && left.published === right.published && portsClash(left, right);
}

/** Which ports no other service of the application asks for: one hands its port to another by asking for it there. */
function portsLeft({ id, spec }: Service, view: View): (port: AllocatedPort) => boolean {
  const { application } = spec;
  if (application === undefined) return () => true;
  const asked = [...view.services.values()]
    .filter((other) => other.id !== id && !other.removing && damageOfServiceObject(other) === undefined)
    .filter((other) => other.spec.application === application)
    .flatMap((other) => [...other.spec.ports, ...other.spec.task.hostPorts])
    .map((wanted) => opened(wanted, publishedRange(wanted).first));
  return (port) => !asked.some((other) => portsClash(other, port));
}
