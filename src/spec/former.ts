import { isDeepStrictEqual } from 'node:util';
import type { AllocatedPort, FormerEndpoint, Service } from './service.ts';

/** Tasks of still earlier versions are reached as those of the oldest that is remembered. */
export const formerMax = 8;

/** The changed service, with what the tasks that it has serve on while the new version is not completed. */
export function withFormer(before: Service, after: Service): Service {
  const { endpoint, spec, specVersion } = before;
  if (endpoint === undefined || after.endpoint === undefined) return after;
  if (isDeepStrictEqual(reachOf(spec), reachOf(after.spec))) return after;
  const former = endpoint.former ?? [];
  // What only changes ports takes effect at once on the tasks of its template.
  const upTo = after.specVersion > specVersion ? specVersion : specVersion - 1;
  if ((former.at(-1)?.upTo ?? 0) >= upTo) return after;
  const entry: FormerEndpoint = { upTo, ports: endpoint.ports, networks: spec.task.networks };
  return { ...after, endpoint: { ...after.endpoint, former: [...former, entry].slice(-formerMax) } };
}

function reachOf({ ports, task }: Service['spec']): unknown {
  return [ports, task.networks];
}

/** The published ports that lead to tasks of that version of the service's template. */
export function portsOfVersion(
  { endpoint }: Pick<Service, 'endpoint'>,
  specVersion: number,
): AllocatedPort[] {
  const former = endpoint?.former?.find(({ upTo }) => specVersion <= upTo);
  return (former ?? endpoint)?.ports ?? [];
}

/** The networks on which tasks of any version that serves may be, each once: the current version's first, then the newest before it. */
export function networksReached({
  spec,
  endpoint,
}: Pick<Service, 'spec' | 'endpoint'>): FormerEndpoint['networks'] {
  const former = endpoint?.former ?? [];
  if (former.length === 0) return spec.task.networks;
  const reached = new Map(spec.task.networks.map((network) => [network.name, network]));
  for (const network of former.toReversed().flatMap(({ networks }) => networks)) {
    if (!reached.has(network.name)) reached.set(network.name, network);
  }
  return [...reached.values()];
}
