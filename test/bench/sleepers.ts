import type { ApplicationSpec } from '../../src/spec/application.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Client } from '../../src/wire/client.ts';
import { watchApplication } from '../../src/wire/watch.ts';
import { sampleContainer, sampleSpec, sampleTemplate } from '../samples.ts';

const limitMs = 120_000;

/** An application of one service that does nothing, on a network of its own. */
export function sleepers(image: string, replicas: number): ApplicationSpec {
  const name = 'bench';
  const container = sampleContainer({
    image,
    command: ['sleep', '86400'],
    stopSignal: 'SIGKILL', // the first process of a container heeds SIGTERM only when it handles it; sleep does not
  });
  const task = sampleTemplate({ container, networks: [{ name: `${name}_default`, aliases: [] }] });
  const mode = { kind: 'replicated', replicas } as const;
  const service = sampleSpec('sleeper', { name: `${name}_sleeper`, application: name, mode, task });
  const network = { name: `${name}_default`, application: name, labels: {}, internal: false };
  return { name, services: [service], networks: [network], volumes: [], secrets: [], configs: [] };
}

/** Waits until that many replicas run and nothing else; throws `deadline_exceeded`. */
export async function converged(client: Client, replicas: number): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  let last: string | undefined;
  for await (const status of watchApplication(client, 'bench', signal)) {
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
