import { dynamicPorts } from './defaults.ts';
import type { AllocatedPort, PublishedPort, Service } from './service.ts';

/** The ports from which one may be picked; just one where its number is asked for. */
export function publishedRange({ published }: PublishedPort): { first: number; last: number } {
  if (published === undefined) return dynamicPorts;
  return typeof published === 'number' ? { first: published, last: published } : published;
}

/** Whether an allocated port is what is asked for. */
export function isAsAsked(allocated: AllocatedPort, wanted: PublishedPort): boolean {
  if (allocated.target !== wanted.target || allocated.protocol !== wanted.protocol) return false;
  if (allocated.address !== wanted.address) return false;
  const { first, last } = publishedRange(wanted);
  return allocated.published >= first && allocated.published <= last;
}

/** Whether the service has all ports that it asks for, and nothing else that it needed was refused. */
export function hasWhatItAsks({ spec, endpoint, allocationError }: Service): boolean {
  if (allocationError !== undefined) return false;
  return spec.ports.every((wanted) => endpoint?.ports.some((port) => isAsAsked(port, wanted)) === true);
}
