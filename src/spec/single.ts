import type { ServiceSpec } from './service.ts';

/** Why the service can have one task only, in words that complete "for …"; undefined when it can have any number. */
export function whySingle({ containerName, task }: ServiceSpec): string | undefined {
  if (containerName !== undefined) return `its container is called ${containerName}`;
  const fixed = task.networks.find(({ address }) => address !== undefined);
  return fixed && `it has the address ${fixed.address} on network ${fixed.name}`;
}
