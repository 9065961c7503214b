import type { Labels, ObjectMeta } from './object.ts';
import type { OpenPort, Protocol } from './port.ts';
import type { VolumeDriverOptions } from './resource.ts';
import type {
  ContainerSettings,
  Hook,
  InitContainer,
  LogSettings,
  NameSettings,
  PullPolicy,
} from './settings.ts';

/** A port asked for. `published` is a port, a range to pick a free one from, or absent for any free one (30000–32767). */
export interface PublishedPort {
  target: number;
  published?: number | { first: number; last: number };
  protocol: Protocol;
  /** `ingress`: open on every host and balanced over all replicas; `host`: open on the hosts that run a replica. */
  mode: 'ingress' | 'host';
  /** The only address of the hosts on which it is open, IPv4; absent: every one. A host without it does not have the port. */
  address?: string;
}

export interface Healthcheck {
  /** `['CMD', ...argv]`, `['CMD-SHELL', line]`, or `['NONE']` to switch off the image's own. Absent: the image's own. */
  test?: string[];
  intervalMs?: number;
  timeoutMs?: number;
  startPeriodMs?: number;
  startIntervalMs?: number;
  retries?: number;
}

export type Mount =
  | {
      type: 'volume';
      /** Full volume name; absent for an anonymous one. */ source?: string;
      target: string;
      readOnly: boolean;
      noCopy?: boolean;
      /** A folder in the volume, which must be there, instead of the whole. */
      subpath?: string;
      /** Those of the volume; filled in when the application is applied. */
      driverOptions?: VolumeDriverOptions;
    }
  | {
      type: 'bind';
      source: string;
      target: string;
      readOnly: boolean;
      createHostPath: boolean;
      /** `rshared` and its kin (mount(8)); absent: `rprivate`. */
      propagation?: string;
      /** Without the mounts that lie below the source. */
      notRecursive?: boolean;
    }
  /** What an image holds, read-only. `source` is the image. */
  | { type: 'image'; source: string; target: string; subpath?: string }
  | {
      type: 'tmpfs';
      target: string;
      sizeBytes?: number;
      mode?: number;
      /** More options of mount(8), such as `exec` or `uid=33`. */
      options?: string[];
    };

/**
 * A secret or config as a file in the container. `name` is that of the stored object; to that of an external one its
 * version is added when the application is applied.
 */
export interface FileReference {
  name: string;
  /** Absolute path in the container. */
  target: string;
  uid: number;
  gid: number;
  mode: number;
}

/** How one container is to be made. Everything absent is the image's or the engine's default. */
export interface ContainerSpec {
  image: string;
  /** Replaces the image's ENTRYPOINT and drops its CMD. */
  entrypoint?: string[];
  /** Replaces the image's CMD. */
  command?: string[];
  environment: Record<string, string>;
  workingDirectory?: string;
  /** `user[:group]`, names or numbers. */
  user?: string;
  hostname?: string;
  labels: Labels;
  mounts: Mount[];
  secrets: FileReference[];
  configs: FileReference[];
  healthcheck?: Healthcheck;
  /** `SIGTERM`, `TERM` or a number as text. */
  stopSignal?: string;
  stopGracePeriodMs: number;
  settings?: ContainerSettings;
  names?: NameSettings;
  logs?: LogSettings;
  pullPolicy?: PullPolicy;
  /** Run to their ends one after another before the start; each must end well. */
  preStart?: InitContainer[];
  /** Run after the start; until they have ended well the task does not count as running. */
  postStart?: Hook[];
  /** Run before the stop signal, for the grace period at most. */
  preStop?: Hook[];
}

export interface Resources {
  /** 1e9 is one whole CPU. */
  nanoCpus?: number;
  memoryBytes?: number;
  pids?: number;
}

export interface RestartPolicy {
  condition: 'none' | 'on-failure' | 'any';
  delayMs: number;
  /** 0: no limit. */
  maxAttempts: number;
  /** Attempts older than this are forgotten; 0: never. */
  windowMs: number;
}

export interface UpdatePolicy {
  /** How many tasks at a time; 0: all at once. */
  parallelism: number;
  delayMs: number;
  failureAction: 'pause' | 'continue' | 'rollback';
  /** A task that fails within this long after it ran counts as a failure of the update. */
  monitorMs: number;
  /** Failures tolerated, as a share of the tasks, 0 to 1. */
  maxFailureRatio: number;
  order: 'stop-first' | 'start-first';
}

/** A network a task joins. Which of them carries the default route: `defaultRouteIndex` in `spec/route.ts`. */
export interface NetworkReference {
  /** Full network name. */
  name: string;
  /** Extra DNS names on this network, beside the service's key and full name. */
  aliases: string[];
  /** The address that the service's only task has there. */
  address?: string;
  /** The higher, the rather the default route goes there. @default 0 */
  gatewayPriority?: number;
  /** What the interface is called in the container; absent: eth0, eth1, … */
  interfaceName?: string;
}

export interface Placement {
  /** Raw expressions, such as `node.labels.disk == ssd`; parsed and checked by `spec/constraint.ts`. */
  constraints: string[];
  /** 0: no limit. */
  maxReplicasPerNode: number;
  /** Labels over the values of which the tasks are spread, `node.labels.zone`; read by `spec/spread.ts`. */
  spread?: string[];
  /** Full name of the service to whose task of the same slot each task goes. */
  with?: string;
}

/**
 * What a task takes over from tasks of other services, by their full names. Those services are its anchors: their tasks of
 * the same slot run on its node, and it lives no longer than they do.
 */
export interface Sharing {
  network?: string;
  ipc?: string;
  pid?: string;
  /** Whose binds and volumes it has beside its own, the later ones over the earlier. */
  mounts?: { service: string; readOnly: boolean }[];
}

/** All that decides how a task of the service runs. When it changes, the tasks roll. */
export interface TaskTemplate {
  container: ContainerSpec;
  limits: Resources;
  reservations: Resources;
  restart: RestartPolicy;
  placement: Placement;
  networks: NetworkReference[];
  /** Ports in host mode; ingress ports belong to the endpoint and change without a roll. */
  hostPorts: PublishedPort[];
  /** Absent: it shares nothing. With it `placement.with` is set as well. */
  sharing?: Sharing;
  /** Raised to roll without any other change. */
  forceUpdate: number;
}

export type ServiceMode = { kind: 'replicated'; replicas: number } | { kind: 'global' };

export interface Dependency {
  /** Full service name. */
  service: string;
  condition: 'started' | 'healthy' | 'completed';
  /** The service is restarted once an update of that one has come to its end. */
  restart?: true;
}

/** What a person asks for. Pure data: two equal specs are the same wish. */
export interface ServiceSpec {
  /** Full name, `APPLICATION_KEY`. */
  name: string;
  application: string;
  /** The key in the Compose file; also the DNS name on the application's networks. */
  key: string;
  labels: Labels;
  mode: ServiceMode;
  task: TaskTemplate;
  update: UpdatePolicy;
  rollback: UpdatePolicy;
  /** Ports in ingress mode. */
  ports: PublishedPort[];
  endpointMode: 'vip' | 'dnsrr';
  /** Waited for before the service's first tasks are placed. */
  dependsOn: Dependency[];
  /** Names that lead to other services for the tasks of this one alone. */
  links?: ServiceLink[];
  /** What a person calls the only task of the service; also one of its aliases on each network. */
  containerName?: string;
}

export interface ServiceLink {
  /** DNS name in lower case. */
  alias: string;
  /** Full name of a service of the same application that shares a network with this one. */
  service: string;
}

export interface AllocatedPort extends OpenPort {
  target: number;
}

export type UpdateState =
  | 'updating'
  | 'paused'
  | 'completed'
  | 'rollback_started'
  | 'rollback_paused'
  | 'rollback_completed';

export interface UpdateStatus {
  /** Tasks that the update makes carry it (`Task.updateId`). */
  id: string;
  state: UpdateState;
  /** `Service.specVersion` that it rolls to; a status of another version is history. */
  specVersion: number;
  startedAt: number;
  completedAt?: number;
  /** How far it is and what it waits for. */
  message: string;
  /** Why it paused or rolled back. */
  failure?: string;
}

/**
 * `proposed`: stored, and nothing is made of it yet. `rolling`: its tasks are made. `completed`: every task of the service
 * has run for the monitor time. `failed`: its update failed. `superseded`: another version came before it was completed.
 */
export type VersionState = 'proposed' | 'rolling' | 'completed' | 'failed' | 'superseded';

/**
 * What made a version: a person who applied a file (`up`), restarted the service or rolled it back; or the manager, which took a
 * failed update back (`failure`), or restarted the service with one that it depends on (`dependency`).
 */
export type VersionCause = 'up' | 'restart' | 'rollback' | 'failure' | 'dependency';

/** One change of what the service is asked to be. A change of the number of replicas alone makes none. */
export interface ServiceVersion {
  /** 1, 2, … within the service. */
  version: number;
  cause: VersionCause;
  state: VersionState;
  createdAt: number;
  /** When it was completed or failed, or was superseded. */
  endedAt?: number;
  /** Who asked for it; absent: the manager itself. */
  by?: string;
  /** The version whose spec a rollback brought back. */
  restores?: number;
  /** Why its update failed. */
  failure?: string;
}

/** How tasks are reached whose `specVersion` is not above `upTo`, and above that of the entry before. */
export interface FormerEndpoint {
  upTo: number;
  ports: AllocatedPort[];
  /** Those that they were made for. */
  networks: NetworkReference[];
}

/** What a rollback returns to: the last completed version before the current one. */
export interface RollbackTarget {
  version: number;
  spec: ServiceSpec;
}

export interface Service extends ObjectMeta {
  spec: ServiceSpec;
  /** What the service was asked to be, oldest first, up to `versionsMax`; the last one is what `spec` says. Never empty. */
  versions: ServiceVersion[];
  /** Absent as long as no version before the current one was completed. */
  rollbackTarget?: RollbackTarget;
  /** Completed versions of before that one which can be asked for by their number, oldest first; bounded (`spec/targets.ts`). */
  earlierTargets?: RollbackTarget[];
  /** Counts changes of `spec.task`; a task whose `specVersion` is lower is out of date. */
  specVersion: number;
  updateStatus?: UpdateStatus;
  /** Written by the allocator. Absent until allocated. */
  endpoint?: {
    /** Network id to virtual IP; empty for `dnsrr`. */
    virtualAddresses: Record<string, string>;
    ports: AllocatedPort[];
    /** What tasks of earlier versions serve on until an update is completed, oldest first; absent: the same. */
    former?: FormerEndpoint[];
  };
  /** Why the allocator could not do its part; its tasks stay pending with this reason. */
  allocationError?: string;
  /** Why the orchestrator plans nothing for it: what is stored of it is damaged. Its tasks are left as they are. */
  damage?: string;
  /** Set once every dependency's condition has held; from then on dependencies no longer hold tasks back. */
  dependenciesMet: boolean;
  /** The `specVersion` that dependencies with `restart` had when the service last took note of them, by name. */
  followed?: Record<string, number>;
  /** The latest `specVersion` whose init containers that run once have ended well. */
  initialisedVersion?: number;
  /** Who asked for the last change of it: another version, another scale, a stop, its removal. Absent: the manager itself. */
  changedBy?: string;
  /** It was stopped: it has no tasks, and what its spec says of their number counts again when it is started. */
  stopped?: true;
  /** Set by `down`: the tasks are removed first, and then the service itself. */
  removing: boolean;
}
