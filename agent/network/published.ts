import type { AllocatedPort } from '../../src/spec/service.ts';
import type { EndpointAssignment, ServiceAssignment } from '../../src/wire/session.ts';

/** Published ports of a service, of which an update may have changed some. */

/** All that are open: those of its version, and those of earlier ones that still serve. */
export function publishedPorts({ ports, former = [] }: ServiceAssignment): AllocatedPort[] {
  return [...ports, ...former.flatMap((each) => each.ports)];
}

/** The ports that the endpoint serves on, and by which network they lead to it: those of its version. */
export function portsOfEndpoint(
  service: ServiceAssignment,
  { specVersion }: EndpointAssignment,
): Pick<ServiceAssignment, 'ports' | 'ingressNetworkId'> {
  if (specVersion === undefined) return service;
  return service.former?.find(({ upTo }) => specVersion <= upTo) ?? service;
}
