import { fullName } from '../spec/names.ts';
import { parseLink } from './links.ts';
import type {
  CanonicalBuild,
  CanonicalFile,
  CanonicalModel,
  CanonicalNetwork,
  CanonicalService,
  CanonicalVolume,
} from './model.ts';
import { sharesOf } from './sharing.ts';
import { isTable, newRecord, newTable, type Plain } from './tree.ts';

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
 * the same model.
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
  const allNetworks: Table<Partial<CanonicalNetwork> | null> = Object.assign(newTable(), networks);
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
    model[kind] = mapTable(table, (entry, key) => ({
      ...withoutEmpty(withoutOff(entry ?? {}), kind === 'networks' ? ['ipam', 'labels'] : []),
      name: nameOf(key, entry),
    }));
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
  const told: Record<string, unknown> = {
    name,
    services: mapTable(services ?? {}, (service, key) => {
      const resolved = resolvedService(saying(service), environments.get(key), labels.get(key));
      return { ...resolved, ...longForms(resolved) };
    }),
    ...rest,
  };
  for (const kind of ['networks', 'volumes'] as const) {
    const table: Table<object | null> | undefined = rest[kind];
    if (table !== undefined) told[kind] = mapTable(table, (entry) => entry ?? {});
  }
  // Both are plain data; the model's interfaces have no index signature that Plain could see.
  return sortedModel(told) as unknown as Plain;
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
  written: Partial<CanonicalService>,
  environment: Record<string, string | null> | undefined,
  labels: Record<string, string> | undefined,
  isOther: (name: string) => boolean,
  surroundings: Surroundings,
): CanonicalService {
  const service = saying(written);
  const normal: CanonicalService = Object.assign(
    resolvedService(service, environment, labels),
    longForms(service),
    { networks: networksOf(service) },
  );
  if (service.build !== undefined) normal.build = normalBuild(service.build, surroundings);
  if (service.deploy !== undefined) {
    const { scale, deploy } = service;
    const said = scale === undefined ? deploy : { replicas: scale, ...deploy };
    normal.deploy = withoutEmpty(said, ['resources', 'placement']);
  }
  if (service.pull_policy === 'if_not_present') normal.pull_policy = 'missing';
  for (const name of linkedServices(service).filter(isOther)) imply(normal, name, true);
  // Tasks that share something are replaced with those they share it with in any case.
  for (const { service: name } of sharesOf(service)) if (isOther(name)) imply(normal, name, false);
  return withoutEmpty(normal, tables);
}

/** The resource without the switches that are off, as they are by default. */
function withoutOff<T extends object>(resource: T): T {
  const values = resource as Record<string, unknown>;
  return without(
    resource,
    ['external', 'internal', 'attachable'].filter((key) => values[key] === false),
  );
}

/** A service that names no network is on the default one, unless its mode has none or a provider runs it. */
function networksOf({
  networks = {},
  network_mode: mode,
  provider,
}: Partial<CanonicalService>): CanonicalService['networks'] {
  const isOnNone = Object.keys(networks).length === 0;
  return isOnNone && mode === undefined && provider === undefined ? { default: null } : networks;
}

/** Ports, dependencies and secrets with all that their long forms say. */
function longForms(service: Partial<CanonicalService>): Partial<CanonicalService> {
  const { ports, depends_on: dependencies, secrets } = service;
  const long: Partial<CanonicalService> = {};
  if (ports !== undefined) {
    long.ports = ports.map((port) => ({
      ...port,
      protocol: port.protocol ?? 'tcp',
      mode: port.mode ?? 'ingress',
    }));
  }
  if (dependencies !== undefined) {
    long.depends_on = mapTable(dependencies, (one) => {
      if (one.restart === undefined && one.required !== undefined) return one;
      const { restart, ...rest } = one;
      return { ...rest, ...(restart === true && { restart }), required: one.required ?? true };
    });
  }
  if (secrets !== undefined) {
    long.secrets = secrets.map((one) => ({ ...one, target: one.target ?? `/run/secrets/${one.source}` }));
  }
  return long;
}

function linkedServices({ links = [] }: Partial<CanonicalService>): string[] {
  return links.map((link) => parseLink(link).service);
}

/** Makes the service depend on one that it names elsewhere than in depends_on, unless it says how itself. */
function imply(service: CanonicalService, name: string, restart: boolean): void {
  const implied = { condition: 'service_started' as const, ...(restart && { restart }), required: true };
  service.depends_on = { ...service.depends_on, [name]: service.depends_on?.[name] ?? implied };
}

/** An empty list of these says that the image's own is not used; any other says nothing. */
const clearing: ReadonlySet<string> = new Set(['command', 'entrypoint']);
/** Of these 0 is as if they were not said. */
const amounts: ReadonlySet<string> = new Set(
  'cpus cpu_count cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares mem_limit mem_reservation memswap_limit pids_limit shm_size'.split(
    ' ',
  ),
);
/** Maps that say nothing when they are empty. */
const tables = ['annotations', 'depends_on', 'environment', 'labels', 'sysctls', 'ulimits'] as const;
/** Switches that are not off by default everywhere. */
const switches: ReadonlySet<string> = new Set(['attach', 'init']);

/** The service without what says nothing: attributes without a value, switches that are off, amounts of 0, and empty lists. */
function saying(service: Partial<CanonicalService>): Partial<CanonicalService> {
  const table = service as Record<string, unknown>;
  const silent = Object.keys(table).filter((key) => {
    const value = table[key];
    if (value === false) return !switches.has(key);
    if (value === 0 || value === '0') return amounts.has(key);
    return value === null || (Array.isArray(value) && value.length === 0 && !clearing.has(key));
  });
  return without(service, silent);
}

/** The map without those of these keys that have an empty map. */
function withoutEmpty<T extends object>(table: T, keys: readonly string[]): T {
  const values = table as Record<string, object | undefined>;
  const isEmpty = (value: object | undefined) => value !== undefined && Object.keys(value).length === 0;
  return without(
    table,
    keys.filter((key) => isEmpty(values[key])),
  );
}

function without<T extends object>(table: T, keys: readonly string[]): T {
  if (keys.length === 0) return table;
  const rest = { ...table } as Record<string, unknown>;
  for (const key of keys) delete rest[key];
  return rest as T;
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

function mapTable<From, To>(table: Table<From>, change: (value: From, key: string) => To): Table<To> {
  const changed = newTable<To>();
  for (const key in table) changed[key] = change(table[key]!, key);
  return changed;
}

/** Keys sorted at every depth but the top level's. */
function sortedModel(model: Record<string, unknown>): Record<string, unknown> {
  const sorted = newTable<unknown>();
  for (const [key, value] of Object.entries(model)) sorted[key] = sortKeys(value);
  return sorted;
}

/** What is sorted already stays. */
function sortKeys(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const item = value[index] as unknown;
      if (item !== null && typeof item === 'object') value[index] = sortKeys(item);
    }
    return value;
  }
  const table = value as Record<string, unknown>;
  let isSorted = true;
  let last = '';
  for (const key in table) {
    isSorted &&= last < key;
    last = key;
  }
  if (isSorted) {
    for (const key in table) table[key] = sortKeys(table[key]);
    return table;
  }
  const sorted = isTable(table) ? newTable<unknown>() : newRecord<unknown>();
  const keys = Object.keys(table).sort(); // by code units
  for (const key of keys) sorted[key] = sortKeys(table[key]);
  return sorted;
}
