import type { ApplicationSpec } from '../../src/spec/application.ts';
import { defaultRestart, defaultUpdate } from '../../src/spec/defaults.ts';
import type { ServiceSpec } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { ApplicationStatus } from '../../src/wire/api.ts';
import type { Client } from '../../src/wire/client.ts';

const limitMs = 120_000;

/** An application of one service that does nothing, on a network of its own. */
export function sleepers(image: string, replicas: number): ApplicationSpec {
  const name = 'bench';
  const service: ServiceSpec = {
    name: `${name}_sleeper`,
    application: name,
    key: 'sleeper',
    labels: {},
    mode: { kind: 'replicated', replicas },
    task: {
      container: {
        image,
        command: ['sleep', '86400'],
        environment: {},
        labels: {},
        mounts: [],
        secrets: [],
        configs: [],
        stopSignal: 'SIGKILL', // the first process of a container heeds SIGTERM only when it handles it; sleep does not
        stopGracePeriodMs: 10_000,
      },
      limits: {},
      reservations: {},
      restart: defaultRestart,
      placement: { constraints: [], maxReplicasPerNode: 0 },
      networks: [{ name: `${name}_default`, aliases: [] }],
      hostPorts: [],
      forceUpdate: 0,
    },
    update: defaultUpdate,
    rollback: defaultUpdate,
    ports: [],
    endpointMode: 'vip',
    dependsOn: [],
  };
  const network = { name: `${name}_default`, application: name, labels: {}, internal: false };
  return { name, services: [service], networks: [network], volumes: [], secrets: [], configs: [] };
}

/** Waits until that many replicas run and nothing else; throws `deadline_exceeded`. */
export async function converged(client: Client, replicas: number): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  let last: string | undefined;
  for await (const status of client.stream<ApplicationStatus>('/applications/bench/watch', signal)) {
    const [service] = status.services;
    if (!service) continue;
    if (service.converged && service.desired === replicas && service.running === replicas) return;
    last = service.failure ?? `${service.running} of ${service.desired} run`;
  }
  throw new ShoalError(
    'deadline_exceeded',
    `Cannot reach ${replicas} replicas: ${last ?? 'nothing was heard'}`,
  );
}
