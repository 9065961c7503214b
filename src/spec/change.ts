import { isDeepStrictEqual } from 'node:util';
import type { Service, ServiceSpec } from './service.ts';

/** The service with another spec. Only another task template makes a new version, which rolls. */
export function changeService(stored: Service, spec: ServiceSpec): Service {
  if (isDeepStrictEqual(stored.spec.task, spec.task)) return { ...stored, spec };
  return {
    ...stored,
    spec,
    previousSpec: stored.spec,
    specVersion: stored.specVersion + 1,
    // The update that this status tells of is overtaken.
    updateStatus: undefined,
  };
}
