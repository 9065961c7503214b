import {
  administratorLifeMsMax,
  administratorLifeMsMin,
  administratorNamePattern,
  administratorRoles,
} from '../../src/spec/administrator.ts';
import type { SchemaObject } from 'ajv';

/**
 * The JSON Schema of an ApplicationSpec. Nothing beyond what is listed is accepted: a field of a newer version must be
 * refused, not dropped. What a schema cannot say is in `validate.ts`.
 */
const listMax = 1_000;
const text = { type: 'string', maxLength: 4_096 };
const longText = { type: 'string', maxLength: 131_072 };
const flag = { type: 'boolean' };
const count = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const durationMs = { type: 'number', minimum: 0, maximum: 365 * 24 * 60 * 60 * 1000 };
const port = { type: 'integer', minimum: 1, maximum: 65_535 };
const mode = { type: 'integer', minimum: 0, maximum: 0o7777 };
const protocol = { enum: ['tcp', 'udp', 'sctp'] };
const address = { type: 'string', pattern: '^(?:(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)(?:\\.(?!$)|$)){4}$' };
const name = { type: 'string', pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$' };
const dnsName = { type: 'string', pattern: '^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$', maxLength: 253 };

const list = (items: SchemaObject) => ({ type: 'array', items, maxItems: listMax });
const texts = list(longText);
const map = (values: SchemaObject) => ({ type: 'object', additionalProperties: values });
const labels = map(longText);

/** An object with exactly these properties; those whose name ends in `?` may be absent. */
function object(properties: Record<string, SchemaObject>): SchemaObject {
  const entries = Object.entries(properties);
  return {
    type: 'object',
    additionalProperties: false,
    required: entries.filter(([key]) => !key.endsWith('?')).map(([key]) => key),
    properties: Object.fromEntries(entries.map(([key, schema]) => [key.replace('?', ''), schema])),
  };
}

const publishedPort = (portMode: 'ingress' | 'host') =>
  object({
    target: port,
    'published?': { anyOf: [port, object({ first: port, last: port })] },
    protocol,
    mode: { const: portMode },
    'address?': address,
  });

const mount = {
  type: 'object',
  required: ['type'],
  discriminator: { propertyName: 'type' },
  oneOf: [
    object({
      type: { const: 'volume' },
      'source?': name,
      target: text,
      readOnly: flag,
      'noCopy?': flag,
      'subpath?': text,
    }),
    object({
      type: { const: 'bind' },
      source: text,
      target: text,
      readOnly: flag,
      createHostPath: flag,
      'propagation?': { enum: ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'] },
      'notRecursive?': flag,
    }),
    object({ type: { const: 'image' }, source: { ...text, minLength: 1 }, target: text, 'subpath?': text }),
    object({
      type: { const: 'tmpfs' },
      target: text,
      'sizeBytes?': count,
      'mode?': mode,
      'options?': list({ type: 'string', pattern: '^[a-z_]+(?:=\\d{1,10}[kmg]?)?$' }),
    }),
  ],
};

const fileReference = object({ name, target: text, uid: count, gid: count, mode });

const healthcheck = object({
  'test?': texts,
  'intervalMs?': durationMs,
  'timeoutMs?': durationMs,
  'startPeriodMs?': durationMs,
  'startIntervalMs?': durationMs,
  'retries?': count,
});

const amount = { type: 'integer', minimum: -1, maximum: Number.MAX_SAFE_INTEGER };
const word = { type: 'string', pattern: '^[a-zA-Z0-9_.:-]{1,255}$' };
const host = { const: 'host' };
const unconfined = { const: 'unconfined' };

const cdiKind = '[a-zA-Z][a-zA-Z0-9_.-]{0,252}/[a-zA-Z][a-zA-Z0-9_.-]{0,252}';

const blockWeight = { type: 'integer', minimum: 10, maximum: 1000 };
const blockRates = list(object({ path: text, rate: count }));

const seccompCondition = object({ 'caps?': list(word), 'arches?': list(word), 'minKernel?': word });

const seccompRule = object({
  names: list(word),
  action: word,
  'errnoRet?': count,
  'args?': list(object({ index: count, value: count, valueTwo: count, op: word })),
  'includes?': seccompCondition,
  'excludes?': seccompCondition,
});

const seccompProfile = object({
  defaultAction: word,
  'defaultErrnoRet?': count,
  'architectures?': list(word),
  'archMap?': list(object({ architecture: word, subArchitectures: list(word) })),
  'flags?': list(word),
  syscalls: list(seccompRule),
});

const settings = object({
  'init?': flag,
  'privileged?': flag,
  'readOnly?': flag,
  'tty?': flag,
  'openStdin?': flag,
  'capabilitiesAdd?': list(word),
  'capabilitiesDrop?': list(word),
  'noNewPrivileges?': flag,
  'seccomp?': { anyOf: [unconfined, seccompProfile] },
  'apparmor?': text,
  'systemPaths?': unconfined,
  'sysctls?': map(text),
  'ulimits?': map(object({ soft: amount, hard: amount })),
  'sharedMemoryBytes?': count,
  'groups?': list(text),
  'domainName?': text,
  'annotations?': labels,
  'devices?': list(
    object({ source: text, target: text, permissions: { type: 'string', pattern: '^[rwm]{1,3}$' } }),
  ),
  'cdi?': list({
    anyOf: [
      object({ device: { type: 'string', pattern: `^${cdiKind}=[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,255}$` } }),
      object({ kind: { type: 'string', pattern: `^${cdiKind}$` }, count: { ...count, minimum: 1 } }),
    ],
  }),
  'deviceRules?': list({ type: 'string', pattern: '^[acb] (?:\\d+|\\*):(?:\\d+|\\*) [rwm]{1,3}$' }),
  'network?': host,
  'ipc?': { enum: ['host', 'shareable'] },
  'pid?': host,
  'uts?': host,
  'cgroup?': { enum: ['host', 'private'] },
  'cgroupParent?': text,
  'cpu?': object({
    'set?': text,
    'shares?': count,
    'quotaUs?': amount,
    'periodUs?': count,
    'realtimeRuntimeUs?': count,
    'realtimePeriodUs?': count,
  }),
  'memory?': object({
    'withSwapBytes?': amount,
    'swappiness?': { type: 'integer', minimum: 0, maximum: 100 },
    'disableOomKill?': flag,
  }),
  'blockIo?': object({
    'weight?': blockWeight,
    'weightDevices?': list(object({ path: text, weight: blockWeight })),
    'readBytes?': blockRates,
    'writeBytes?': blockRates,
    'readOperations?': blockRates,
    'writeOperations?': blockRates,
  }),
  'runtime?': word,
  'oomScoreAdjust?': { type: 'integer', minimum: -1000, maximum: 1000 },
});

/** These end up as words and lines of files that resolvers read: no space, no line feed. */
const names = object({
  'dnsServers?': list(word),
  'dnsSearch?': list(word),
  'dnsOptions?': list(word),
  'extraHosts?': list(object({ name: word, address: word })),
});

const pullPolicy = {
  type: 'object',
  required: ['kind'],
  discriminator: { propertyName: 'kind' },
  oneOf: [
    object({ kind: { enum: ['always', 'never'] } }),
    object({ kind: { const: 'every' }, intervalMs: durationMs }),
  ],
};

const hook = object({
  command: { ...texts, minItems: 1 },
  environment: map(longText),
  'user?': text,
  'workingDirectory?': text,
  'privileged?': { const: true },
});

const initContainer = object({
  'image?': { ...text, minLength: 1 },
  'command?': texts,
  environment: map(longText),
  'user?': text,
  'workingDirectory?': text,
  'privileged?': { const: true },
  perReplica: flag,
});

const container = object({
  image: { ...text, minLength: 1 },
  'entrypoint?': texts,
  'command?': texts,
  environment: map(longText),
  'workingDirectory?': text,
  'user?': text,
  'hostname?': text,
  labels,
  mounts: list(mount),
  secrets: list(fileReference),
  configs: list(fileReference),
  'healthcheck?': healthcheck,
  'stopSignal?': text,
  stopGracePeriodMs: durationMs,
  'settings?': settings,
  'names?': names,
  'logs?': object({ 'fileBytesMax?': count, 'filesMax?': count }),
  'pullPolicy?': pullPolicy,
  'preStart?': list(initContainer),
  'postStart?': list(hook),
  'preStop?': list(hook),
});

const resources = object({ 'nanoCpus?': count, 'memoryBytes?': count, 'pids?': count });

const update = object({
  parallelism: count,
  delayMs: durationMs,
  failureAction: { enum: ['pause', 'continue', 'rollback'] },
  monitorMs: durationMs,
  maxFailureRatio: { type: 'number', minimum: 0, maximum: 1 },
  order: { enum: ['stop-first', 'start-first'] },
});

const task = object({
  container,
  limits: resources,
  reservations: resources,
  restart: object({
    condition: { enum: ['none', 'on-failure', 'any'] },
    delayMs: durationMs,
    maxAttempts: count,
    windowMs: durationMs,
  }),
  placement: object({
    constraints: list(text),
    maxReplicasPerNode: count,
    'spread?': list(text),
    'with?': name,
  }),
  networks: list(
    object({
      name,
      aliases: list(text),
      'address?': address,
      'gatewayPriority?': { type: 'integer', minimum: -(2 ** 53), maximum: 2 ** 53 },
      'interfaceName?': { type: 'string', pattern: '^(?!lo$)[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}$' },
    }),
  ),
  hostPorts: list(publishedPort('host')),
  'sharing?': object({
    'network?': name,
    'ipc?': name,
    'pid?': name,
    'mounts?': list(object({ service: name, readOnly: flag })),
  }),
  forceUpdate: count,
});

/** More replicas of one service than this are a slip of the finger. */
export const replicasMax = 10_000;

const service = object({
  name,
  application: name,
  key: name,
  labels,
  mode: {
    type: 'object',
    required: ['kind'],
    discriminator: { propertyName: 'kind' },
    oneOf: [
      object({
        kind: { const: 'replicated' },
        replicas: { type: 'integer', minimum: 0, maximum: replicasMax },
      }),
      object({ kind: { const: 'global' } }),
    ],
  },
  task,
  update,
  rollback: update,
  ports: list(publishedPort('ingress')),
  endpointMode: { enum: ['vip', 'dnsrr'] },
  dependsOn: list(
    object({
      service: name,
      condition: { enum: ['started', 'healthy', 'completed'] },
      'restart?': { const: true },
    }),
  ),
  'links?': list(object({ alias: dnsName, service: name })),
  'containerName?': name,
});

const driverOptions = object({ 'type?': text, 'o?': text, device: { ...text, minLength: 1 } });

const file = object({ name, application: name, labels, data: { type: 'string' } });

export const applicationSchema: SchemaObject = object({
  name: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,127}$' },
  services: list(service),
  networks: list(
    object({
      name,
      application: name,
      labels,
      internal: flag,
      'subnet?': text,
      'range?': text,
      'reserved?': list(address),
      'mtuBytes?': { type: 'integer', minimum: 68, maximum: 65_535 },
    }),
  ),
  volumes: list(object({ name, application: name, labels, 'driverOptions?': driverOptions })),
  secrets: list(file),
  configs: list(file),
  'external?': object({
    networks: list(name),
    volumes: list(name),
    secrets: list(name),
    configs: list(name),
  }),
});

/** What a command gives a name has room for a version behind it. */
const newName = { type: 'string', pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$' };

export const networkCreateSchema: SchemaObject = object({
  name: newName,
  'driver?': { const: 'overlay' },
  'labels?': labels,
  'internal?': flag,
  'subnet?': text,
});

export const volumeCreateSchema: SchemaObject = object({
  name: newName,
  'driver?': { const: 'local' },
  'labels?': labels,
  'driverOptions?': driverOptions,
});

export const fileCreateSchema: SchemaObject = object({
  name: newName,
  'labels?': labels,
  data: { type: 'string' },
});

export const scaleSchema: SchemaObject = object({
  replicas: { type: 'integer', minimum: 0, maximum: replicasMax },
});

export const nodeChangeSchema: SchemaObject = object({
  'availability?': { enum: ['active', 'pause', 'drain'] },
  'role?': { enum: ['manager', 'worker'] },
  'labels?': map({ type: ['string', 'null'], maxLength: 4_096 }),
});

export const administratorCreateSchema: SchemaObject = object({
  name: { type: 'string', pattern: administratorNamePattern },
  role: { enum: [...administratorRoles] },
  'lifeMs?': { type: 'integer', minimum: administratorLifeMsMin, maximum: administratorLifeMsMax },
  certificateRequestPem: { type: 'string', maxLength: 8_192 },
});

export const joinSchema: SchemaObject = object({
  token: text,
  certificateRequestPem: { type: 'string', maxLength: 8_192 },
  hostname: text,
});

export const renewSchema: SchemaObject = object({
  'token?': text,
  certificateRequestPem: { type: 'string', maxLength: 8_192 },
  'hostname?': text,
});

export const execSchema: SchemaObject = object({
  command: { ...texts, minItems: 1 },
  tty: flag,
  environment: map(longText),
  'user?': text,
  'workingDirectory?': text,
  'size?': object({ columns: count, rows: count }),
});
