import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { whySingle } from '../../src/spec/single.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { View } from '../store/objects.ts';
import { pairingFault } from './sharing.ts';

/**
 * The service with another number of replicas; the same when it has that many. One that is stopped has them once it is started.
 * Throws `failed_precondition` when it cannot have so many.
 */
export function scaled(
  view: View,
  service: Service,
  { replicas, by }: { replicas: number; by: string },
): Service {
  const { name, mode } = service.spec;
  if (mode.kind === 'global') {
    throw new ShoalError(
      'failed_precondition',
      `Cannot scale ${name}: a global service has one task on every node`,
    );
  }
  const single = replicas > 1 ? whySingle(service.spec) : undefined;
  if (single !== undefined) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot scale ${name} to ${replicas} replicas, for ${single}`,
      {
        next: 'Take that out of its Compose file, and apply it again.',
      },
    );
  }
  if (mode.replicas === replicas) return service;
  const spec = { ...service.spec, mode: { kind: 'replicated' as const, replicas } };
  checkPairs(view, spec);
  return { ...service, spec, changedBy: by };
}

/** Each task of a service that shares with another needs its partner there: one without would wait for ever. */
function checkPairs(view: View, spec: ServiceSpec): void {
  const others = [...view.services.values()]
    .filter(({ removing }) => !removing)
    .map((service) => service.spec);
  const fault = pairingFault(spec, others);
  if (fault === undefined) return;
  throw new ShoalError('failed_precondition', `Cannot scale ${spec.name}: ${fault}`, {
    next: 'Scale both: a service that shares with another has at most as many replicas.',
  });
}
