import { portsClash } from '../../src/spec/port.ts';
import { opened, publishedRange } from '../../src/spec/published-port.ts';
import type { AllocatedPort, FormerEndpoint, Service } from '../../src/spec/service.ts';
import { isTerminal } from '../../src/spec/task.ts';
import { currentVersion } from '../../src/spec/versions.ts';
import { damageOfServiceObject } from '../store/damage.ts';
import type { View } from '../store/objects.ts';

/**
 * What is left of what tasks of earlier versions serve on: until the update is completed the version before it goes on with all that it had,
 * and has it still when the update is rolled back.
 */
export function formerOf(service: Service, view: View): FormerEndpoint[] {
  const former = service.endpoint?.former ?? [];
  if (former.length === 0 || currentVersion(service).state === 'completed') return [];
  const versions = [...view.tasksOfService(service.id)]
    .filter(({ status }) => !isTerminal(status.state))
    .map((task) => task.specVersion);
  const isFree = portsLeft(service, view);
  return former
    .filter(({ upTo }, index) => {
      const after = former[index - 1]?.upTo ?? 0;
      return versions.some((version) => version > after && version <= upTo);
    })
    .map((each) => ({ ...each, ports: each.ports.filter(isFree) }));
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
