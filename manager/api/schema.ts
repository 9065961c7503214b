import {
  administratorLifeMsMax,
  administratorLifeMsMin,
  administratorNamePattern,
  administratorRoles,
} from '../../src/spec/administrator.ts';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import { originLimits, type ProjectOrigin } from '../../src/spec/project-origin.ts';
import type { ServiceSpec, UpdatePolicy } from '../../src/spec/service.ts';
import type {
  AdministratorCreate,
  FileCreate,
  JoinBody,
  NetworkCreate,
  ClusterChange,
  NodeChange,
  VolumeCreate,
  VolumeMoveWish,
  VolumeUse,
} from '../../src/wire/api.ts';
import type { MemberBody } from '../../src/wire/members.ts';
import { hostName } from '../../src/wire/session.ts';
import {
  also,
  flag,
  integer,
  list,
  map,
  nothing,
  number,
  object,
  pattern,
  either,
  text,
  values,
  variants,
  type Schema,
} from '../../src/wire/schema.ts';
import {
  address,
  askedTemplate,
  driverOptions,
  durationMs,
  ingressPort,
  labels,
  name,
  port,
} from '../../src/wire/template-schema.ts';

/**
 * The JSON Schema of an ApplicationSpec. Nothing beyond what is listed is accepted: a field of a newer version must be
 * refused, not dropped. What a schema cannot say is in `validate.ts`.
 */
const update: Schema<UpdatePolicy> = object({
  parallelism: integer(),
  delayMs: durationMs,
  failureAction: values('pause', 'continue', 'rollback'),
  monitorMs: durationMs,
  maxFailureRatio: number(0, 1),
  order: values('stop-first', 'start-first'),
});

/** More replicas of one service than this are a slip of the finger. */
export const replicasMax = 10_000;
const replicas = integer(0, replicasMax);
const dnsName = pattern('[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?', 253);

const service: Schema<ServiceSpec> = object({
  name,
  application: name,
  key: name,
  labels,
  mode: variants(
    'kind',
    object({ kind: values('replicated'), replicas }),
    object({ kind: values('global') }),
  ),
  task: askedTemplate,
  update,
  rollback: update,
  ports: list(ingressPort),
  endpointMode: values('vip', 'dnsrr'),
  dependsOn: list(
    object({
      service: name,
      condition: values('started', 'healthy', 'completed'),
      'restart?': values(true),
    }),
  ),
  'links?': list(object({ alias: dnsName, service: name })),
  'containerName?': name,
});

/** base64; how many bytes it may have is checked with its kind. */
const fileData = text(2_000_000);
const file = object({ name, application: name, labels, data: fileData });

const origin: Schema<ProjectOrigin> = object({
  machine: text(originLimits.machine),
  'machineId?': pattern('[0-9a-f]{16}', 16),
  folder: pattern('/[^]*', originLimits.path),
  'repository?': object({ remote: text(originLimits.remote), path: text(originLimits.path) }),
});

export const applicationSchema: Schema<ApplicationSpec> = object({
  name: pattern('[a-z0-9][a-z0-9_-]{0,127}', 128),
  services: list(service),
  networks: list(
    object({
      name,
      application: name,
      labels,
      internal: flag,
      'subnet?': text(),
      'range?': text(),
      'reserved?': list(address),
      'mtuBytes?': integer(68, 65_535),
    }),
  ),
  volumes: list(
    object({
      name,
      application: name,
      labels,
      'driverOptions?': driverOptions,
      'perNode?': values(true),
    }),
  ),
  secrets: list(file),
  configs: list(file),
  'origin?': origin,
  'keepsScale?': list(name),
  'external?': object({
    networks: list(name),
    volumes: list(name),
    secrets: list(name),
    configs: list(name),
  }),
});

/** What a command gives a name has room for a version behind it. */
const newName = pattern(
  '[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}',
  128,
  'it must be 1 to 128 letters, digits, _, . and -, and begin with a letter or a digit',
);

export const networkCreateSchema: Schema<NetworkCreate> = object({
  name: newName,
  'driver?': values('overlay'),
  'labels?': labels,
  'internal?': flag,
  'subnet?': text(),
});

export const volumeCreateSchema: Schema<VolumeCreate> = object({
  name: newName,
  'driver?': values('local'),
  'labels?': labels,
  'driverOptions?': driverOptions,
  'perNode?': values(true),
});

const limitMs = integer(1_000, 30 * 24 * 60 * 60_000);
export const volumeMoveSchema: Schema<VolumeMoveWish> = object({
  what: values('move', 'copy'),
  node: name,
  'replace?': values(true),
  'timeoutMs?': limitMs,
  'stopTimeoutMs?': limitMs,
});
export const volumeUseSchema: Schema<VolumeUse> = object({ node: name, 'force?': values(true) });

export const fileCreateSchema: Schema<FileCreate> = object({
  name: newName,
  'labels?': labels,
  data: fileData,
});

export const scaleSchema = object({ replicas });

export const rollbackSchema = object({ 'version?': integer(1) });

export const clusterChangeSchema: Schema<ClusterChange> = object({ 'removeOrphans?': flag });

export const nodeChangeSchema: Schema<NodeChange> = object({
  'availability?': values('active', 'pause', 'drain'),
  'address?': address,
  'role?': values('manager', 'worker'),
  'labels?': map(either(text(), nothing)),
});

const certificateRequestPem = text(8_192);

export const administratorCreateSchema: Schema<AdministratorCreate> = object({
  name: also(text(), { pattern: administratorNamePattern }),
  role: values(...administratorRoles),
  'lifeMs?': integer(administratorLifeMsMin, administratorLifeMsMax),
  certificateRequestPem,
});

export const joinSchema: Schema<JoinBody> = object({
  token: text(),
  certificateRequestPem,
  hostname: hostName,
  'address?': address,
  'managerPort?': port,
});

export const renewSchema = object({
  'token?': text(),
  certificateRequestPem,
  'hostname?': text(255),
});

export const memberSchema: Schema<MemberBody> = object({
  ports: object({ client: integer(1, 65_535), peer: integer(1, 65_535) }),
  // as etcd numbers its members
  'lost?': pattern('^[0-9]{1,20}$'),
});
