import { ShoalError, unreachable } from '../util/errors.ts';
import type { ApplicationSpec, ExternalNames } from '../spec/application.ts';
import { defaultStopGracePeriodMs } from '../spec/defaults.ts';
import { fullName, versionedNameOf } from '../spec/names.ts';
import type { NetworkSpec } from '../spec/network.ts';
import type { FileSpec, VolumeSpec } from '../spec/resource.ts';
import type { SeccompProfile } from '../spec/seccomp.ts';
import type {
  ContainerSpec,
  FileReference,
  Healthcheck,
  Mount,
  NetworkReference,
  Placement,
  PublishedPort,
  Resources,
  ServiceLink,
  ServiceSpec,
} from '../spec/service.ts';
import { restartPolicy, serviceMode, updatePolicy, keepsItsScale } from './deploy.ts';
import { parseLink } from './links.ts';
import type {
  CanonicalFile,
  CanonicalHealthcheck,
  CanonicalModel,
  CanonicalMount,
  CanonicalNetwork,
  CanonicalPort,
  CanonicalResources,
  CanonicalService,
  CanonicalVolume,
} from './model.ts';
import { fileTarget, parseTmpfs } from './mounts.ts';
import { isEveryAddress } from './ports.ts';
import { platformConstraints, settingParts } from './settings.ts';
import { addSharing } from './sharing.ts';
import { durationMs, parseFileMode } from './values.ts';

/** The content of secrets and configs by their keys. */
export interface FileContents {
  secrets: ReadonlyMap<string, Uint8Array>;
  configs: ReadonlyMap<string, Uint8Array>;
  /** Profiles by service. */
  seccomp: ReadonlyMap<string, SeccompProfile>;
}

const fileModeDefault = 0o444;

/**
 * The specs of a checked canonical model of which nothing is refused. Every list is sorted by name, so that equal models give equal specs; only a
 * service's networks keep their order. Throws nothing: what could be wrong has been checked before.
 */
export function toSpecs(model: CanonicalModel, contents: FileContents): ApplicationSpec {
  const secrets = fileSpecs(model, model.secrets ?? {}, contents.secrets);
  const configs = fileSpecs(model, model.configs ?? {}, contents.configs);
  const names: Names = {
    application: model.name,
    networks: nameTable(model.networks ?? {}),
    volumes: nameTable(model.volumes ?? {}),
    secrets: new Map([...nameTable(model.secrets ?? {}), ...nameTable(Object.fromEntries(secrets))]),
    configs: new Map([...nameTable(model.configs ?? {}), ...nameTable(Object.fromEntries(configs))]),
    services: new Set(Object.keys(model.services)),
    seccomp: contents.seccomp,
  };
  const services = Object.entries(model.services).map(([key, service]) => serviceSpec(key, service, names));
  addSharing(services, model);
  const external = externalNames(model, services);
  const keepsScale = services
    .filter(({ key }) => keepsItsScale(model.services[key]!))
    .map(({ name }) => name);
  return {
    name: model.name,
    services,
    ...(keepsScale.length > 0 && { keepsScale }),
    networks: own(model.networks).map((network) => networkSpec(model.name, network)),
    volumes: own(model.volumes).map((volume) => volumeSpec(model.name, volume)),
    secrets: [...secrets.values()],
    configs: [...configs.values()],
    ...(external === undefined ? {} : { external }),
  };
}

/** The entries that are made with the application. */
function own<T extends { external?: boolean }>(table: Record<string, T> = {}): T[] {
  return Object.values(table).filter(({ external }) => external !== true);
}

/** Those of the others that a service uses; undefined when there is none. */
function externalNames(model: CanonicalModel, services: ServiceSpec[]): ExternalNames | undefined {
  const kinds = ['networks', 'volumes', 'secrets', 'configs'] as const;
  if (kinds.every((kind) => own(model[kind]).length === Object.keys(model[kind] ?? {}).length))
    return undefined;
  const tasks = services.map(({ task }) => task);
  const used = {
    networks: tasks.flatMap(({ networks }) => networks.map(({ name }) => name)),
    volumes: tasks.flatMap(({ container }) =>
      container.mounts.map((one) => (one.type === 'volume' ? (one.source ?? '') : '')),
    ),
    secrets: tasks.flatMap(({ container }) => container.secrets.map(({ name }) => name)),
    configs: tasks.flatMap(({ container }) => container.configs.map(({ name }) => name)),
  };
  const namesOf = (kind: keyof ExternalNames) => {
    const table: Record<string, { name: string; external?: boolean }> = model[kind] ?? {};
    const names = Object.values(table).flatMap(({ name, external }) => (external === true ? [name] : []));
    return [...new Set(names)].filter((name) => used[kind].includes(name)).sort();
  };
  const external: ExternalNames = {
    networks: namesOf('networks'),
    volumes: namesOf('volumes'),
    secrets: namesOf('secrets'),
    configs: namesOf('configs'),
  };
  return Object.values(external).some((names) => names.length > 0) ? external : undefined;
}

/** Full names by key. */
interface Names {
  application: string;
  networks: ReadonlyMap<string, string>;
  volumes: ReadonlyMap<string, string>;
  secrets: ReadonlyMap<string, string>;
  configs: ReadonlyMap<string, string>;
  services: ReadonlySet<string>;
  /** Seccomp profiles by the key of their service. */
  seccomp: ReadonlyMap<string, SeccompProfile>;
}

function nameTable(table: Record<string, { name: string }>): Map<string, string> {
  return new Map(Object.entries(table).map(([key, { name }]) => [key, name]));
}

function fileSpecs(
  model: CanonicalModel,
  table: Record<string, CanonicalFile>,
  contents: ReadonlyMap<string, Uint8Array>,
): Map<string, FileSpec> {
  const specs = new Map<string, FileSpec>();
  for (const [key, entry] of Object.entries(table)) {
    if (entry.external === true) continue;
    const content = contents.get(key) ?? new Uint8Array();
    specs.set(key, {
      name: versionedNameOf(entry.name, content),
      application: model.name,
      labels: { ...entry.labels },
      data: Buffer.from(content).toString('base64'),
    });
  }
  return specs;
}

function volumeSpec(
  application: string,
  { name, labels, driver_opts: options, 'x-shoal-volume': kind }: CanonicalVolume,
): VolumeSpec {
  const { type, o, device } = options ?? {};
  return {
    name,
    application,
    labels: { ...labels },
    ...(kind === 'per-node' ? { perNode: true as const } : {}),
    ...(device === undefined
      ? {}
      : {
          driverOptions: {
            ...(type === undefined ? {} : { type }),
            ...(o === undefined ? {} : { o }),
            device,
          },
        }),
  };
}

function networkSpec(application: string, network: CanonicalNetwork): NetworkSpec {
  const { subnet, ip_range: range, gateway, aux_addresses: others } = network.ipam?.config?.[0] ?? {};
  const reserved = [...(gateway === undefined ? [] : [gateway]), ...Object.values(others ?? {})];
  const mtu = network.driver_opts?.['com.docker.network.driver.mtu'];
  return {
    name: network.name,
    application,
    labels: { ...network.labels },
    internal: network.internal ?? false,
    ...(subnet === undefined ? {} : { subnet }),
    ...(range === undefined ? {} : { range }),
    ...(reserved.length === 0 ? {} : { reserved: [...new Set(reserved)].toSorted() }),
    ...(mtu === undefined ? {} : { mtuBytes: Number(mtu) }),
  };
}

function serviceSpec(key: string, service: CanonicalService, names: Names): ServiceSpec {
  const deploy = service.deploy ?? {};
  const ports = (service.ports ?? []).map(publishedPort);
  return {
    name: fullName(names.application, key),
    application: names.application,
    key,
    labels: { ...deploy.labels },
    mode: serviceMode(service),
    task: {
      container: containerSpec(key, service, names),
      limits: resources({
        cpus: service.cpus,
        memory: service.mem_limit,
        pids: service.pids_limit,
        ...deploy.resources?.limits,
      }),
      reservations: resources({ memory: service.mem_reservation, ...deploy.resources?.reservations }),
      restart: restartPolicy(service),
      placement: placement(service),
      networks: networkReferences(service, names),
      hostPorts: ports.filter((port) => port.mode === 'host'),
      forceUpdate: 0,
    },
    update: updatePolicy(service, 'update_config'),
    rollback: updatePolicy(service, 'rollback_config'),
    ports: ports.filter((port) => port.mode === 'ingress'),
    endpointMode: deploy.endpoint_mode ?? 'vip',
    dependsOn: dependencies(service, names),
    ...(service.links === undefined ? {} : { links: serviceLinks(service.links, names) }),
    ...(service.container_name === undefined ? {} : { containerName: service.container_name }),
  };
}

/** In the order in which they are joined: from the highest priority to the lowest, and by name where it is the same. */
function networkReferences(service: CanonicalService, names: Names): NetworkReference[] {
  const containerNames = service.container_name === undefined ? [] : [service.container_name];
  const joined = Object.entries(service.networks);
  if (joined.some(([, options]) => options?.priority !== undefined)) {
    joined.sort(([, left], [, right]) => (right?.priority ?? 0) - (left?.priority ?? 0));
  }
  return joined.map(([network, options]) => {
    const {
      aliases = [],
      ipv4_address: address,
      gw_priority: priority,
      interface_name: name,
    } = options ?? {};
    return {
      name: names.networks.get(network)!,
      aliases:
        aliases.length + containerNames.length < 2
          ? [...aliases, ...containerNames]
          : [...new Set([...aliases, ...containerNames])],
      ...(address === undefined ? {} : { address }),
      ...(priority === undefined ? {} : { gatewayPriority: priority }),
      ...(name === undefined ? {} : { interfaceName: name }),
    };
  });
}

function serviceLinks(links: readonly string[], names: Names): ServiceLink[] {
  const aliases = new Map(links.map(parseLink).map(({ service, alias }) => [alias.toLowerCase(), service]));
  return [...aliases]
    .map(([alias, service]) => ({ alias, service: fullName(names.application, service) }))
    .toSorted((left, right) => (left.alias < right.alias ? -1 : 1));
}

function placement({ deploy, platform }: CanonicalService): Placement {
  const { constraints = [], preferences = [], max_replicas_per_node: max } = deploy?.placement ?? {};
  const spread = preferences.flatMap(({ spread: label }) => (label === undefined ? [] : [label]));
  return {
    constraints: [...constraints, ...platformConstraints(platform)],
    maxReplicasPerNode: max ?? 0,
    ...(spread.length === 0 ? {} : { spread }),
  };
}

function dependencies(service: CanonicalService, names: Names): ServiceSpec['dependsOn'] {
  const conditions = {
    service_started: 'started',
    service_healthy: 'healthy',
    service_completed_successfully: 'completed',
  } as const;
  return Object.entries(service.depends_on ?? {})
    .filter(([name]) => names.services.has(name))
    .map(([name, { condition, restart }]) => ({
      service: fullName(names.application, name),
      condition: conditions[condition as keyof typeof conditions],
      ...(restart === true && { restart }),
    }));
}

function publishedPort(port: CanonicalPort): PublishedPort {
  const [first = 0, last = first] = (port.published ?? '0').split('-').map(Number);
  const published = first === last ? first : { first, last };
  const { target, protocol, mode, host_ip: address } = port;
  return {
    target,
    ...(published === 0 ? {} : { published }),
    protocol,
    mode,
    ...(address === undefined || isEveryAddress(address) ? {} : { address }),
  };
}

/** Verdicts keep it out of every model that is to be run. */
function refusedBefore(what: string): ShoalError {
  return new ShoalError('internal', `Invariant broken: a spec of ${what}`);
}

function containerSpec(key: string, service: CanonicalService, names: Names): ContainerSpec {
  const { command, entrypoint, healthcheck, stop_grace_period: grace } = service;
  const spec: ContainerSpec = {
    image: service.image ?? '',
    environment: setVariables(service.environment),
    labels: { ...service.labels },
    mounts: [
      ...(service.volumes ?? []).map((one) => mount(one, names)),
      ...(service.tmpfs ?? []).map((text): Mount => ({ type: 'tmpfs', ...parseTmpfs(text)! })),
    ],
    secrets: references('secrets', service, names),
    configs: references('configs', service, names),
    stopGracePeriodMs: grace === undefined ? defaultStopGracePeriodMs : durationMs(grace),
    ...settingParts(service, names.seccomp.get(key)),
  };
  if (entrypoint !== undefined && entrypoint !== null) spec.entrypoint = entrypoint;
  if (command !== undefined && command !== null) spec.command = command;
  if (service.working_dir !== undefined) spec.workingDirectory = service.working_dir;
  if (service.user !== undefined && service.user !== '') spec.user = service.user;
  if (service.hostname !== undefined) spec.hostname = service.hostname;
  if (service.stop_signal !== undefined) spec.stopSignal = service.stop_signal;
  if (healthcheck !== undefined) spec.healthcheck = healthcheckSpec(healthcheck);
  return spec;
}

/** Those that have a value. */
function setVariables(environment: Record<string, string | null> = {}): Record<string, string> {
  const set = { ...environment };
  for (const name in set) if (set[name] === null) delete set[name];
  return set as Record<string, string>;
}

function healthcheckSpec(check: CanonicalHealthcheck): Healthcheck {
  if (check.disable === true || check.test?.[0] === 'NONE') return { test: ['NONE'] };
  const spec: Healthcheck = {};
  if (check.test !== undefined && check.test !== null && check.test.length > 0) spec.test = check.test;
  if (check.interval !== undefined) spec.intervalMs = durationMs(check.interval);
  if (check.timeout !== undefined) spec.timeoutMs = durationMs(check.timeout);
  if (check.start_period !== undefined) spec.startPeriodMs = durationMs(check.start_period);
  if (check.start_interval !== undefined) spec.startIntervalMs = durationMs(check.start_interval);
  if (check.retries !== undefined) spec.retries = check.retries;
  return spec;
}

function mount(one: CanonicalMount, names: Names): Mount {
  const { target } = one;
  const readOnly = one.read_only ?? false;
  switch (one.type) {
    case 'bind': {
      const createHostPath = one.bind?.create_host_path === true;
      const { propagation, recursive } = one.bind ?? {};
      return {
        type: 'bind',
        source: one.source ?? '/',
        target,
        readOnly,
        createHostPath,
        ...(propagation === undefined ? {} : { propagation }),
        ...(recursive === 'disabled' ? { notRecursive: true } : {}),
      };
    }
    case 'tmpfs': {
      const mode = one.tmpfs?.mode === undefined ? undefined : parseFileMode(one.tmpfs.mode);
      const sizeBytes = Number(one.tmpfs?.size ?? 0);
      return {
        type: 'tmpfs',
        target,
        ...(sizeBytes > 0 ? { sizeBytes } : {}),
        ...(mode === undefined ? {} : { mode }),
      };
    }
    case 'image': {
      const subpath = one.image?.subpath;
      return {
        type: 'image',
        source: one.source ?? '',
        target,
        ...(subpath === undefined ? {} : { subpath }),
      };
    }
    case 'volume': {
      const source = one.source === undefined ? undefined : names.volumes.get(one.source);
      return {
        type: 'volume',
        ...(source === undefined ? {} : { source }),
        target,
        readOnly,
        ...(one.volume?.nocopy === true ? { noCopy: true } : {}),
        ...(one.volume?.subpath === undefined ? {} : { subpath: one.volume.subpath }),
      };
    }
    case 'npipe':
    case 'cluster':
      throw refusedBefore(`a mount of type ${one.type}`);
    default:
      return unreachable(one.type);
  }
}

function references(
  kind: 'secrets' | 'configs',
  service: Pick<CanonicalService, 'secrets' | 'configs'>,
  names: Names,
): FileReference[] {
  return (service[kind] ?? []).map((file) => ({
    name: names[kind].get(file.source)!,
    target: fileTarget(kind, file),
    uid: Number(file.uid ?? 0),
    gid: Number(file.gid ?? 0),
    mode: (file.mode === undefined ? undefined : parseFileMode(file.mode)) ?? fileModeDefault,
  }));
}

/** Zero means no limit in Compose, and is left out. */
function resources(given: {
  [Key in keyof CanonicalResources]: CanonicalResources[Key] | undefined;
}): Resources {
  const spec: Resources = {};
  const nanoCpus = Math.round((given.cpus ?? 0) * 1e9);
  const memoryBytes = Number(given.memory ?? 0);
  if (nanoCpus > 0) spec.nanoCpus = nanoCpus;
  if (memoryBytes > 0) spec.memoryBytes = memoryBytes;
  if ((given.pids ?? 0) > 0) spec.pids = given.pids!;
  return spec;
}
