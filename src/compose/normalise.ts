import { posix } from 'node:path';
import { fullName } from '../spec/names.ts';
import { parseLink } from './links.ts';
import type {
  CanonicalBuild,
  CanonicalFile,
  CanonicalFileReference,
  CanonicalModel,
  CanonicalNetwork,
  CanonicalService,
  CanonicalVolume,
} from './model.ts';
import { sharesOf } from './sharing.ts';
import type { Plain } from './tree.ts';

/** The model as the schema leaves it: names and defaults are still missing. */
export type RawModel = Partial<CanonicalModel> & {
  version?: unknown;
  include?: unknown;
  services?: Record<string, Partial<CanonicalService>>;
};

/** Values of environment files by service, already read in the files' order. */
export type EnvironmentOfServices = ReadonlyMap<string, Record<string, string | null>>;

/** Labels of those services that have label files. */
export type LabelsOfServices = ReadonlyMap<string, Record<string, string>>;

/** What values that are not said are taken from. */
interface Surroundings {
  environment: ReadonlyMap<string, string>;
  projectDirectory: string;
}

type Table<T> = Record<string, T>;

/**
 * The canonical model: defaults filled in, resources named, environments resolved, keys sorted. Loading it again gives
 * the same model. Only `services.NAME.networks` keeps the file's order, because the first network has the default route.
 */
export function normalise(
  raw: RawModel,
  name: string,
  environments: EnvironmentOfServices,
  labels: LabelsOfServices,
  surroundings: Surroundings,
): CanonicalModel {
  const {
    version: _,
    name: __,
    include: ___,
    services,
    networks,
    volumes,
    secrets,
    configs,
    models,
    ...extensions
  } = raw;
  const normalServices = mapTable(services ?? {}, (service, key) =>
    normalService(
      service,
      environments.get(key),
      labels.get(key),
      (name) => name !== key && Object.hasOwn(services ?? {}, name),
      surroundings,
    ),
  );
  const usesDefault = Object.values(normalServices).some((service) => 'default' in service.networks);
  const allNetworks: Table<Partial<CanonicalNetwork> | null> = { ...networks };
  if (usesDefault) allNetworks['default'] ??= null;
  else delete allNetworks['default'];
  const nameOf = (key: string, given: { name?: string; external?: boolean } | null) =>
    given?.name ?? (given?.external === true ? key : fullName(name, key));
  const model: Record<string, unknown> = { name, services: normalServices };
  const tables: Table<Table<Partial<CanonicalNetwork | CanonicalVolume | CanonicalFile> | null>> = {
    networks: allNetworks,
    volumes: volumes ?? {},
    secrets: secrets ?? {},
    configs: configs ?? {},
  };
  for (const [kind, table] of Object.entries(tables)) {
    if (Object.keys(table).length === 0) continue;
    model[kind] = mapTable(table, (entry, key) => ({ ...entry, name: nameOf(key, entry) }));
  }
  if (models !== undefined && Object.keys(models).length > 0) model['models'] = models;
  const sorted = Object.entries(extensions).toSorted(([left], [right]) => (left < right ? -1 : 1));
  for (const [key, value] of sorted) model[key] = value;
  return sortedModel(model) as unknown as CanonicalModel; // built key by key just above
}

/** The model with its services' environments and labels, and without anything that nobody wrote but its name. */
export function withoutDefaults(
  raw: RawModel,
  name: string,
  environments: EnvironmentOfServices,
  labels: LabelsOfServices,
): Plain {
  const { version: _, include: __, name: ___, services, ...rest } = raw;
  const told = mapTable(services ?? {}, (service, key) =>
    resolvedService(service, environments.get(key), labels.get(key)),
  );
  // Both are plain data; the model's interfaces have no index signature that Plain could see.
  return sortedModel({ name, services: told, ...rest }) as unknown as Plain;
}

/** The service with what its files say in place of their names, where they have been read. */
function resolvedService(
  service: Partial<CanonicalService>,
  environment: Record<string, string | null> | undefined,
  labels: Record<string, string> | undefined,
): Partial<CanonicalService> {
  const { env_file: environmentFiles, label_file: labelFiles, extends: _, ...rest } = service;
  const resolved: Partial<CanonicalService> = rest;
  if (environment !== undefined) resolved.environment = environment;
  else if (environmentFiles !== undefined) resolved.env_file = environmentFiles;
  if (labels !== undefined) resolved.labels = labels;
  else if (labelFiles !== undefined) resolved.label_file = labelFiles;
  return resolved;
}

function normalService(
  service: Partial<CanonicalService>,
  environment: Record<string, string | null> | undefined,
  labels: Record<string, string> | undefined,
  isOther: (name: string) => boolean,
  surroundings: Surroundings,
): CanonicalService {
  const joined = service.networks ?? {};
  const normal: CanonicalService = {
    ...resolvedService(withoutNull(service), environment, labels),
    networks:
      Object.keys(joined).length === 0 && service.network_mode === undefined ? { default: null } : joined,
  };
  if (service.build !== undefined) normal.build = normalBuild(service.build, surroundings);
  if (service.pull_policy === 'if_not_present') normal.pull_policy = 'missing';
  if (service.ports !== undefined) {
    normal.ports = service.ports.map((port) => ({
      ...port,
      protocol: port.protocol ?? 'tcp',
      mode: port.mode ?? 'ingress',
    }));
  }
  if (service.depends_on !== undefined) {
    normal.depends_on = mapTable(service.depends_on, (one) => ({ ...one, required: one.required ?? true }));
  }
  const shared = sharesOf(service).map((share) => share.service);
  for (const name of [...impliedDependencies(service), ...shared].filter(isOther)) {
    normal.depends_on = {
      ...normal.depends_on,
      [name]: normal.depends_on?.[name] ?? { condition: 'service_started', required: true },
    };
  }
  if (service.secrets !== undefined) {
    normal.secrets = service.secrets.map((reference) => withTarget(reference, '/run/secrets'));
  }
  if (service.configs !== undefined) {
    normal.configs = service.configs.map((reference) => withTarget(reference, '/'));
  }
  return normal;
}

/** Services that this one cannot do without, for it names them elsewhere than in depends_on. */
function impliedDependencies({ links = [] }: Partial<CanonicalService>): string[] {
  return links.map((link) => parseLink(link).service);
}

/** Some maps may be written without anything in them, which says nothing. */
function withoutNull(service: Partial<CanonicalService>): Partial<CanonicalService> {
  const empty = (['deploy', 'develop', 'pid'] as const).filter((key) => service[key] === null);
  if (empty.length === 0) return service;
  const said = { ...service };
  for (const key of empty) delete said[key];
  return said;
}

/** The defaults of compose-go; arguments without a value take the project's, and are gone when it has none. */
function normalBuild(build: CanonicalBuild, { environment, projectDirectory }: Surroundings): CanonicalBuild {
  const normal: CanonicalBuild = { ...build, context: build.context ?? projectDirectory };
  if (build.dockerfile_inline === undefined) normal.dockerfile ??= 'Dockerfile';
  if (build.args === undefined) return normal;
  const args = Object.entries(build.args).map(
    ([name, value]) => [name, value ?? environment.get(name) ?? null] as const,
  );
  return { ...normal, args: Object.fromEntries(args.filter(([, value]) => value !== null)) };
}

/** A target that is no absolute path is below `directory`; the default is the source's name. It comes without detours. */
function withTarget(reference: CanonicalFileReference, directory: string): CanonicalFileReference {
  return { ...reference, target: posix.resolve(directory, reference.target ?? reference.source) };
}

function mapTable<From, To>(table: Table<From>, change: (value: From, key: string) => To): Table<To> {
  const changed = Object.create(null) as Table<To>;
  for (const [key, value] of Object.entries(table)) changed[key] = change(value, key);
  return changed;
}

/** Keys sorted at every depth but the top level's and the order in which a service joins its networks. */
function sortedModel(model: Record<string, unknown>): Record<string, unknown> {
  const sorted = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(model))
    sorted[key] = sortKeys(value, key === 'services' ? 2 : -1);
  return sorted;
}

/** `levels`: how many above the attributes of a service; below zero where there is none. What is sorted already stays. */
function sortKeys(value: unknown, levels: number): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      if (item !== null && typeof item === 'object') value[index] = sortKeys(item, -1);
    }
    return value;
  }
  const table = value as Record<string, unknown>;
  const keys = Object.keys(table);
  let isSorted = true;
  for (let index = 1; index < keys.length; index += 1) isSorted &&= keys[index - 1]! < keys[index]!;
  const sorted = isSorted ? table : (Object.create(null) as Record<string, unknown>);
  if (!isSorted) keys.sort(); // by code units
  for (const key of keys) {
    const keepsOrder = levels === 1 && key === 'networks';
    sorted[key] = keepsOrder ? sortedValues(table[key]) : sortKeys(table[key], levels - 1);
  }
  return sorted;
}

/** The entries in their order, each sorted within. */
function sortedValues(value: unknown): unknown {
  const table = value as Record<string, unknown>;
  for (const key of Object.keys(table)) table[key] = sortKeys(table[key], -1);
  return table;
}
