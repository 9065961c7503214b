import type { CdiRequest, ContainerSettings, Hook, InitContainer, PullPolicy } from '../spec/settings.ts';
import type { SeccompProfile } from '../spec/seccomp.ts';
import type {
  ContainerSpec,
  FileReference,
  Healthcheck,
  Mount,
  PublishedPort,
  TaskTemplate,
} from '../spec/service.ts';
import {
  also,
  either,
  flag,
  integer,
  list,
  map,
  number,
  object,
  pattern,
  text,
  values,
  variants,
  type Schema,
} from './schema.ts';

/** Everything that a task is made from, as it comes in over the API and goes out to agents. */
const longText = text(131_072);
const texts = list(longText);
export const environment = map(longText, 10_000);
const count = integer();
const amount = integer(-1);
const mode = integer(0, 0o7777);
const yes: Schema<true> = values(true);

export const durationMs = number(0, 365 * 24 * 60 * 60 * 1000);
export const port = integer(1, 65_535);
export const protocol = values('tcp', 'udp', 'sctp');
const byte = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
/** An IPv4 address in its only form, as `parseAddress` reads it. */
export const address = pattern(`${byte}(?:\\.${byte}){3}`, 15);
/** `10.1.0.0/16` */
export const subnet = pattern(`${byte}(?:\\.${byte}){3}/(?:3[0-2]|[12]?\\d)`, 18);
/** The name of a stored object; never a path, for it becomes part of some. */
export const name = pattern('[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}', 255);
export const labels = map(longText);

const published = either(port, object({ first: port, last: port }));

export const ingressPort: Schema<PublishedPort> = publishedPort('ingress');

function publishedPort(portMode: PublishedPort['mode']): Schema<PublishedPort> {
  return object({
    target: port,
    'published?': published,
    protocol,
    mode: values<PublishedPort['mode']>(portMode),
    'address?': address,
  });
}

export const driverOptions = object({
  'type?': text(),
  'o?': text(),
  device: also(text(), { minLength: 1 }),
});

const volumeMount = {
  type: values('volume'),
  'source?': name,
  target: text(),
  readOnly: flag,
  'noCopy?': flag,
  'subpath?': text(),
} as const;

const otherMounts = [
  object({
    type: values('bind'),
    source: text(),
    target: text(),
    readOnly: flag,
    createHostPath: flag,
    'propagation?': also(text(), {
      enum: ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'],
    }),
    'notRecursive?': flag,
  }),
  object({
    type: values('image'),
    source: also(text(), { minLength: 1 }),
    target: text(),
    'subpath?': text(),
  }),
  object({
    type: values('tmpfs'),
    target: text(),
    'sizeBytes?': count,
    'mode?': mode,
    'options?': list(pattern('[a-z_]+(?:=\\d{1,10}[kmg]?)?')),
  }),
] as const;

/** As a person asks for it. */
const askedMount = variants('type', object(volumeMount), ...otherMounts);
/** As it is stored, with the options of its volume. */
const appliedMount: Schema<Mount> = variants(
  'type',
  object({ ...volumeMount, 'driverOptions?': driverOptions }),
  ...otherMounts,
);

const fileReference: Schema<FileReference> = object({
  name,
  target: text(),
  uid: count,
  gid: count,
  mode,
});

const healthcheck: Schema<Healthcheck> = object({
  'test?': texts,
  'intervalMs?': durationMs,
  'timeoutMs?': durationMs,
  'startPeriodMs?': durationMs,
  'startIntervalMs?': durationMs,
  'retries?': count,
});

const word = pattern('[a-zA-Z0-9_.:-]{1,255}', 255);
const host = values('host');
const unconfined = values('unconfined');

const seccompCondition = object({ 'caps?': list(word), 'arches?': list(word), 'minKernel?': word });

const seccompProfile: Schema<SeccompProfile> = object({
  defaultAction: word,
  'defaultErrnoRet?': count,
  'architectures?': list(word),
  'archMap?': list(object({ architecture: word, subArchitectures: list(word) })),
  'flags?': list(word),
  syscalls: list(
    object({
      names: list(word),
      action: word,
      'errnoRet?': count,
      'args?': list(object({ index: count, value: count, valueTwo: count, op: word })),
      'includes?': seccompCondition,
      'excludes?': seccompCondition,
    }),
  ),
});

const cdiKind = '[a-zA-Z][a-zA-Z0-9_.-]{0,252}/[a-zA-Z][a-zA-Z0-9_.-]{0,252}';
const cdi: Schema<CdiRequest> = either(
  object({ device: pattern(`${cdiKind}=[a-zA-Z0-9][a-zA-Z0-9_.:-]{0,255}`) }),
  object({ kind: pattern(cdiKind), count: integer(1) }),
);

const blockWeight = integer(10, 1000);
const blockRates = list(object({ path: text(), rate: count }));

const settings: Schema<ContainerSettings> = object({
  'init?': flag,
  'privileged?': flag,
  'readOnly?': flag,
  'tty?': flag,
  'openStdin?': flag,
  'capabilitiesAdd?': list(word),
  'capabilitiesDrop?': list(word),
  'noNewPrivileges?': flag,
  'seccomp?': either(unconfined, seccompProfile),
  'apparmor?': text(),
  'systemPaths?': unconfined,
  'sysctls?': map(text()),
  'ulimits?': map(object({ soft: amount, hard: amount })),
  'sharedMemoryBytes?': count,
  'groups?': list(text()),
  'domainName?': text(),
  'annotations?': labels,
  'devices?': list(object({ source: text(), target: text(), permissions: pattern('[rwm]{1,3}') })),
  'cdi?': list(cdi),
  'deviceRules?': list(pattern('[acb] (?:\\d+|\\*):(?:\\d+|\\*) [rwm]{1,3}')),
  'network?': host,
  'ipc?': values('host', 'shareable'),
  'pid?': host,
  'uts?': host,
  'cgroup?': values('host', 'private'),
  'cgroupParent?': text(),
  'cpu?': object({
    'set?': text(),
    'shares?': count,
    'quotaUs?': amount,
    'periodUs?': count,
    'realtimeRuntimeUs?': count,
    'realtimePeriodUs?': count,
  }),
  'memory?': object({
    'withSwapBytes?': amount,
    'swappiness?': integer(0, 100),
    'disableOomKill?': flag,
  }),
  'blockIo?': object({
    'weight?': blockWeight,
    'weightDevices?': list(object({ path: text(), weight: blockWeight })),
    'readBytes?': blockRates,
    'writeBytes?': blockRates,
    'readOperations?': blockRates,
    'writeOperations?': blockRates,
  }),
  'runtime?': word,
  'oomScoreAdjust?': integer(-1000, 1000),
});

/** These end up as words and lines of files that resolvers read: no space, no line feed. */
const names = object({
  'dnsServers?': list(word),
  'dnsSearch?': list(word),
  'dnsOptions?': list(word),
  'extraHosts?': list(object({ name: word, address: word })),
});

const pullPolicy: Schema<PullPolicy> = variants(
  'kind',
  object({ kind: values('always', 'never') }),
  object({ kind: values('every'), intervalMs: durationMs }),
);

const hook: Schema<Hook> = object({
  command: also(texts, { minItems: 1 }),
  environment,
  'user?': text(),
  'workingDirectory?': text(),
  'privileged?': yes,
});

const initContainer: Schema<InitContainer> = object({
  'image?': also(text(), { minLength: 1 }),
  'command?': texts,
  environment,
  'user?': text(),
  'workingDirectory?': text(),
  'privileged?': yes,
  perReplica: flag,
});

function containerWith(mount: Schema<Mount>): Schema<ContainerSpec> {
  return object({
    image: also(text(), { minLength: 1 }),
    'entrypoint?': texts,
    'command?': texts,
    environment,
    'workingDirectory?': text(),
    'user?': text(),
    'hostname?': text(),
    labels,
    mounts: list(mount),
    secrets: list(fileReference),
    configs: list(fileReference),
    'healthcheck?': healthcheck,
    'stopSignal?': text(),
    stopGracePeriodMs: durationMs,
    'settings?': settings,
    'names?': names,
    'logs?': object({ 'fileBytesMax?': count, 'filesMax?': count }),
    'pullPolicy?': pullPolicy,
    'preStart?': list(initContainer),
    'postStart?': list(hook),
    'preStop?': list(hook),
  });
}

const resources = object({ 'nanoCpus?': count, 'memoryBytes?': count, 'pids?': count });

function templateWith(mount: Schema<Mount>): Schema<TaskTemplate> {
  return object({
    container: containerWith(mount),
    limits: resources,
    reservations: resources,
    restart: object({
      condition: values('none', 'on-failure', 'any'),
      delayMs: durationMs,
      maxAttempts: count,
      windowMs: durationMs,
    }),
    placement: object({
      constraints: list(text()),
      maxReplicasPerNode: count,
      'spread?': list(text()),
      'with?': name,
    }),
    networks: list(
      object({
        name,
        aliases: list(text()),
        'address?': address,
        'gatewayPriority?': integer(-(2 ** 53), 2 ** 53),
        'interfaceName?': pattern('(?!lo$)[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}'),
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
}

/** The template as a person asks for it, and as agents get it. */
export const askedTemplate: Schema<TaskTemplate> = templateWith(askedMount as Schema<Mount>);
export const appliedTemplate: Schema<TaskTemplate> = templateWith(appliedMount);
