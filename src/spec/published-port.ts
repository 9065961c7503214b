import { dynamicPorts } from './defaults.ts';
import type { OpenPort } from './port.ts';
import type { AllocatedPort, PublishedPort, Service } from './service.ts';

/** The ports from which one may be picked; just one where its number is asked for. */
export function publishedRange({ published }: PublishedPort): { first: number; last: number } {
  if (published === undefined) return dynamicPorts;
  return typeof published === 'number' ? { first: published, last: published } : published;
}

/** The port asked for with this number. */
export function opened({ protocol, address }: PublishedPort, published: number): OpenPort {
  return { published, protocol, ...(address === undefined ? {} : { address }) };
}

/** Whether an allocated port is what is asked for. */
export function isAsAsked(allocated: AllocatedPort, wanted: PublishedPort): boolean {
  if (allocated.target !== wanted.target || allocated.protocol !== wanted.protocol) return false;
  if (allocated.address !== wanted.address) return false;
  const { first, last } = publishedRange(wanted);
  return allocated.published >= first && allocated.published <= last;
}

/** All that is open for the service: for its version, and for earlier ones that still serve. */
export function openPorts({ endpoint }: { endpoint?: Service['endpoint'] }): AllocatedPort[] {
  return [...(endpoint?.ports ?? []), ...(endpoint?.former ?? []).flatMap(({ ports }) => ports)];
}

/** Whether the service has all ports that it asks for, and nothing else that it needed was refused. */
export function hasWhatItAsks({ spec, endpoint, allocationError }: Service): boolean {
  if (allocationError !== undefined) return false;
  return spec.ports.every((wanted) => endpoint?.ports.some((port) => isAsAsked(port, wanted)) === true);
}
