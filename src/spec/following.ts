import type { Service } from './service.ts';

type Find = (name: string) => Service | undefined;

/** The dependencies that the service restarts with, as they are now. */
export function restartsWith({ spec }: Service, find: Find): Service[] {
  const names = spec.dependsOn.filter(({ restart }) => restart === true).map(({ service }) => service);
  return names.map(find).filter((service) => service !== undefined);
}

/** The dependencies that have changed since the service last took note of them. */
export function awaitedUpdates(service: Service, find: Find): Service[] {
  const followed = service.followed ?? {};
  return restartsWith(service, find).filter(
    ({ spec, specVersion }) => (followed[spec.name] ?? specVersion) !== specVersion,
  );
}
