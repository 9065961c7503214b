import type { AllocatedPort } from '../../src/spec/service.ts';
import type { EndpointAssignment, ServiceAssignment } from '../../src/wire/session.ts';

/** Published ports of a service, of which an update may have changed some. */

/** All that are open: those of its version, and those of earlier ones that still serve. */
export function publishedPorts({ ports, former = [] }: ServiceAssignment): AllocatedPort[] {
  return [...ports, ...former.flatMap((each) => each.ports)];
}

/** Those that the endpoint serves on, which are those of its version. */
export function portsOfEndpoint(
  { ports, former = [] }: ServiceAssignment,
  { specVersion }: EndpointAssignment,
): AllocatedPort[] {
  if (specVersion === undefined) return ports;
  return former.find(({ upTo }) => specVersion <= upTo)?.ports ?? ports;
}
