import type { ServiceSpec } from './service.ts';

/** Why the service can have one task only, in words that complete "for …"; undefined when it can have any number. */
export function whySingle({ containerName }: ServiceSpec): string | undefined {
  return containerName === undefined ? undefined : `its container is called ${containerName}`;
}
