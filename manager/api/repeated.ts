import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { requestIdPattern, type ApplyResult } from '../../src/wire/api.ts';
import type { View } from '../store/objects.ts';

/** Requests of one application that are remembered as stored; the oldest go. */
export const requestsMax = 10;

/** The id that the caller gave its request; undefined when it gave none. Throws `invalid_argument`. */
export function requestIdOf(query: URLSearchParams): string | undefined {
  const id = query.get('request');
  if (id === null || new RegExp(`^${requestIdPattern}$`, 'u').test(id)) return id ?? undefined;
  throw new ShoalError('invalid_argument', 'Cannot use request: it must be 12 lower-case letters or digits');
}

/**
 * What the request changed when it was stored, for a caller who asks again because the answer was lost; undefined when it was not
 * stored, or changed nothing. What has become of a service since is for the caller to see: one that was removed has no id here.
 */
export function storedBefore(
  view: View,
  { name, services, keepsScale = [] }: ApplicationSpec,
  request: string | undefined,
): ApplyResult['changes'] | undefined {
  const at = view.applications.get(name)?.requests?.find(({ id }) => id === request)?.at;
  if (request === undefined || at === undefined) return undefined;
  return services.map((spec) => {
    const found = view.serviceByName(spec.name);
    const service = found === undefined || found.createdAt > at ? undefined : found;
    const asked = askedAt(service, spec, at);
    if (keepsScale.includes(spec.name)) delete asked.replicas;
    return { kind: 'service', name: spec.name, action: actionAt(service, at), service: asked };
  });
}

/** What the request asked of the service. All that one `up` changes has the same time. */
function askedAt(
  service: Service | undefined,
  { mode }: ServiceSpec,
  at: number,
): NonNullable<ApplyResult['changes'][number]['service']> {
  const version = service?.versions.findLast(({ createdAt }) => createdAt <= at)?.version ?? 0;
  return { id: service?.id ?? '', version, ...(mode.kind === 'replicated' && { replicas: mode.replicas }) };
}

function actionAt(service: Service | undefined, at: number): 'create' | 'update' | 'keep' {
  if (service?.createdAt === at) return 'create';
  return service?.versions.some(({ createdAt }) => createdAt === at) === true ? 'update' : 'keep';
}
