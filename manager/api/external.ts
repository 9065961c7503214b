import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { VolumeDriverOptions } from '../../src/spec/resource.ts';
import type { FileReference, Mount, ServiceSpec } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { Faults } from '../store/isolate.ts';
import type { View } from '../store/objects.ts';
import { namesIn, type ResourceKind } from './users.ts';

/** What ends the name of an application's secret or config: `versionedName` in `src/spec/names.ts`. */
const version = /^-[0-9a-f]{12}$/;

/**
 * The application with what it has from elsewhere filled in: the versions of external secrets and configs, and the options
 * of volumes. Throws `not_found` with everything that is missing, and `failed_precondition` for a network of its own that
 * it calls external.
 */
export function withExternal(view: View, spec: ApplicationSpec): ApplicationSpec {
  const { networks = [], volumes = [], secrets = [], configs = [] } = spec.external ?? {};
  const missing: { kind: ResourceKind; name: string }[] = [];
  for (const name of networks) {
    const network = view.networkByName(name);
    if (network === undefined || network.removing) missing.push({ kind: 'network', name });
    else if (network.spec.application === spec.name) throw ownNetwork(spec.name, name);
  }
  const options = new Map(spec.volumes.map((volume) => [volume.name, volume.driverOptions]));
  for (const name of volumes) {
    const volume = view.volumes.values().find((one) => one.spec.name === name);
    if (volume === undefined || volume.removing === true) missing.push({ kind: 'volume', name });
    else options.set(name, volume.spec.driverOptions);
  }
  const find = (kind: 'secret' | 'config', names: string[]) => {
    const found = new Map<string, string>();
    for (const name of names) {
      const stored = storedName(view, kind, name);
      if (stored === undefined) missing.push({ kind, name });
      else found.set(name, stored);
    }
    return found;
  };
  const files = { secrets: find('secret', secrets), configs: find('config', configs) };
  if (missing.length > 0) throw missingError(spec.name, missing);
  return { ...spec, services: spec.services.map((service) => completed(service, options, files)) };
}

function ownNetwork(application: string, name: string): ShoalError {
  return new ShoalError(
    'failed_precondition',
    `Cannot apply ${application}: it calls the network ${name} external, and that is its own`,
    {
      next: 'Leave out external, or run `shoal down` first and make the network with `shoal network create`.',
    },
  );
}

function missingError(application: string, missing: { kind: ResourceKind; name: string }[]): ShoalError {
  const names = missing.map(({ kind, name }) => `${kind} ${name}`).join(', ');
  const commands = missing.map(({ kind, name }) => {
    const file = kind === 'secret' || kind === 'config' ? ' FILE' : '';
    return `\`shoal ${kind} create ${name}${file}\``;
  });
  const [is, them] = missing.length === 1 ? ['is', 'it'] : ['are', 'them'];
  return new ShoalError(
    'not_found',
    `Cannot apply ${application}: of what it calls external there ${is} no ${names}`,
    { next: `Run ${commands.join(', ')}, or \`shoal up\` for the application that makes ${them}.` },
  );
}

/**
 * The stored secret or config that a plain name means: the one of that name, else the version that its application uses
 * now, else the newest.
 */
function storedName(view: View, kind: 'secret' | 'config', name: string): string | undefined {
  const stored = [...(kind === 'secret' ? view.secrets : view.configs).values()];
  if (stored.some(({ spec }) => spec.name === name)) return name;
  const versions = stored.filter(
    ({ spec }) =>
      spec.application !== undefined &&
      spec.name.startsWith(name) &&
      version.test(spec.name.slice(name.length)),
  );
  if (versions.length <= 1) return versions[0]?.spec.name;
  const used = new Set<string>();
  new Faults().forEach('service', view.services.values(), ({ spec }) => {
    if (versions.every((one) => one.spec.application !== spec.application)) return;
    for (const each of namesIn(kind, spec.task)) used.add(each);
  });
  const isUsed = (one: (typeof versions)[number]) => (used.has(one.spec.name) ? 1 : 0);
  versions.sort((left, right) => isUsed(right) - isUsed(left) || right.createdAt - left.createdAt);
  return versions[0]!.spec.name;
}

function completed(
  service: ServiceSpec,
  options: ReadonlyMap<string, VolumeDriverOptions | undefined>,
  files: Record<'secrets' | 'configs', ReadonlyMap<string, string>>,
): ServiceSpec {
  const { container } = service.task;
  const named = (references: FileReference[], names: ReadonlyMap<string, string>) =>
    references.map((one) => ({ ...one, name: names.get(one.name) ?? one.name }));
  const mounts = container.mounts.map((mount): Mount => {
    if (mount.type !== 'volume') return mount;
    const driverOptions = options.get(mount.source ?? '');
    return driverOptions === undefined ? mount : { ...mount, driverOptions };
  });
  const secrets = named(container.secrets, files.secrets);
  const configs = named(container.configs, files.configs);
  return { ...service, task: { ...service.task, container: { ...container, mounts, secrets, configs } } };
}
