import { portName, portsClash, type OpenPort } from '../../src/spec/port.ts';
import { opened } from '../../src/spec/published-port.ts';
import type { AllocatedPort, PublishedPort, Service, ServiceSpec } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { formerOf } from '../allocator/former.ts';
import { keptPorts } from '../allocator/ports.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';

interface Holder {
  open: OpenPort;
  service: string;
  application: string | undefined;
  /** Open on the hosts of its replicas only: two such ports have room on different hosts. */
  isHost: boolean;
}

/**
 * Refuses what is to be published and is not to be had, before anything is stored: a port that another application has, or that
 * two services of this one ask for. What is being removed may go on having its ports until it is gone, and is waited for.
 * Throws `failed_precondition`.
 */
export function checkPorts(view: View, application: string, services: readonly ServiceSpec[]): void {
  const wanted = services.flatMap(fixedPorts);
  if (wanted.length === 0) return;
  const holders = Map.groupBy(
    [...holdersOfOthers(view, application), ...wanted],
    ({ open }) => open.published,
  );
  for (const port of wanted) {
    const holder = holders.get(port.open.published)!.find((other) => isInTheWay(other, port));
    if (holder === undefined) continue;
    const where = holder.application === application ? '' : ` of application ${holder.application ?? ''}`;
    throw new ShoalError(
      'failed_precondition',
      `Cannot publish port ${portName(port.open)} of service ${port.service}: service ${holder.service}${where} publishes it`,
      { next: 'Nothing was changed. Choose another port, or remove what has it first.' },
    );
  }
}

function isInTheWay(other: Holder, port: Holder): boolean {
  if (other === port || (other.isHost && port.isHost) || !portsClash(other.open, port.open)) return false;
  // a service may have a port both ways only where the two do not meet; it says so itself when they do
  return other.service !== port.service;
}

function* holdersOfOthers(view: View, application: string): Generator<Holder> {
  const others = new Faults().filter(
    'service',
    view.services.values(),
    ({ spec, removing }) => spec.application !== application && !removing,
  );
  for (const service of others) yield* portsOf(view, service);
}

/** What a service has, and what it was promised a moment ago; not what it cannot have. */
function portsOf(view: View, service: Service): Holder[] {
  const { spec, allocationError } = service;
  const holder = { service: spec.name, application: spec.application };
  const allocated = (
    new Faults().isolated('service', service.id, () => openPortsOf(view, service)) ?? []
  ).map((open) => ({ ...holder, open, isHost: false }));
  const promised = fixedPorts(spec).filter(({ isHost }) => isHost || allocationError === undefined);
  return [...allocated, ...promised];
}

/** With those of the version before, which goes on with them until the update is completed. */
function openPortsOf(view: View, service: Service): AllocatedPort[] {
  const kept = keptPorts(service).filter((port) => port !== undefined);
  return [...kept, ...formerOf(service, view).flatMap(({ ports }) => ports)];
}

function fixedPorts({ name, application, ports, task }: ServiceSpec): Holder[] {
  const holders = (list: readonly PublishedPort[], isHost: boolean) =>
    list.flatMap((port) =>
      typeof port.published === 'number'
        ? [{ open: opened(port, port.published), service: name, application, isHost }]
        : [],
    );
  return [...holders(ports, false), ...holders(task.hostPorts, true)];
}
