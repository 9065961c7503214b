import type { Administrator, AdministratorRole } from '../spec/administrator.ts';
import type { ClusterDefaults } from '../spec/cluster.ts';
import type { Network } from '../spec/network.ts';
import type { Node, NodeAvailability, NodeRole } from '../spec/node.ts';
import type { Labels } from '../spec/object.ts';
import type { ProjectOrigin } from '../spec/project-origin.ts';
import type { Config, FileSpec, Secret, Volume, VolumeDriverOptions } from '../spec/resource.ts';
import type { Service } from '../spec/service.ts';
import type { Task } from '../spec/task.ts';

/**
 * The HTTP API, JSON, under `apiPrefix`. Errors are `{ error: ApiError }` with a fitting status.
 *
 * Lists come in pages, `?limit=N&continue=…`: see `continueHeader`.
 *
 *     GET    /version                          → VersionInfo
 *     GET    /cluster                          → ClusterInfo
 *     GET    /applications[?all=true]          → ApplicationSummary[]           (all: also those of which no service is left, but a volume is)
 *     GET    /applications/NAME                → WatchLine, one JSON a line: all there is now
 *     GET    /applications/NAME/watch          → the same, and then what has changed (at most 10 times a second)
 *     PUT    /applications/NAME[?dryRun=true][&removeOrphans=true|false][&takeOver=true][&request=ID]  ApplicationSpec → ApplyResult
 *     DELETE /applications/NAME                → 202 ApplicationRemoval, then watch until what it names is gone
 *     GET    /services[?application=NAME]      → Service[]; with progress=true ServiceInfo[]     GET /services/REF → ServiceInfo    (REF is an id or a full name)
 *     POST   /services/REF/scale               { replicas } → Service           (REF is an id or a full name)
 *     POST   /services/REF/ACTION              { version? } → Service         (`serviceActions`; `version`: where a rollback goes)
 *     GET    /tasks[?application=&service=&node=] → TaskInfo[]                  (newest first, the history included)
 *     GET    /tasks/REF                        → Task
 *     GET    /logs?application=NAME[&service=KEY…][&task=ID…][&follow=true][&tail=N][&since=MS][&age=MS] → LogLine, one JSON a line
 *     GET    /tasks/REF/exec?… (WebSocket)     frames as in wire/session.ts; the request is the JSON query parameter `request`
 *     GET    /nodes → Node[]      GET /nodes/REF → NodeInfo      PATCH /nodes/REF NodeChange → Node      DELETE /nodes/REF
 *     GET    /networks[?application=NAME]      → NetworkInfo[]       also /volumes, /secrets and /configs; without content
 *     POST   /networks NetworkCreate           → 201 NetworkInfo    also /volumes VolumeCreate, /secrets and /configs FileCreate
 *     GET    /networks/REF                     → NetworkInfo        also VolumeInfo, SecretInfo, ConfigInfo
 *     DELETE /networks/REF                     → VolumeRemoval      refused while a service uses it; /volumes/REF?force=true
 *     POST   /volumes/REF/use VolumeUse        → VolumeInfo         what the node has, or nothing, is the volume from now on
 *     POST   /volumes/REF/move VolumeMoveWish  → 202 VolumeMove     the manager does it; DELETE takes it back. The volume says how it goes
 *     GET    /volumes/REF/backup (WebSocket)   the volume as a tar stream; /volumes/REF/restore?node=NODE takes one
 *     GET    /volumes?copies=true              → VolumeInfo[]         also /volumes/REF: with what hosts have of them, which are asked
 *     GET    /administrators → Administrator[] POST /administrators AdministratorCreate → 201 AdministratorAnswer; DELETE /administrators/NAME
 *     GET    /audit[?limit=N][&before=ID]       → AuditPage
 *     GET    /tokens → JoinTokens              POST /tokens/ROLE/rotate → JoinTokens
 */
export const apiPrefix = '/api/v1';
/** Header of an answer: what is wrong with the manager itself, such as a full disk, percent-encoded. */
export const warningHeader = 'shoal-warning';
/**
 * Header of a page of a list that goes on: what to give as `continue` for the next page, with the same query otherwise. `Client`
 * joins pages. A page has as many items as `limit` says, and at most `pageItemsMax`; it is filled up to about
 * `pageCharactersMax`, and one item that is larger goes alone.
 */
export const continueHeader = 'shoal-continue';
export const pageItemsMax = 1_000;
export const pageCharactersMax = 1024 * 1024;
/**
 * An id for a request to apply an application, by which it can be sent again when its answer was lost: what was stored is answered,
 * and not done again.
 */
export const requestIdPattern = '[a-z0-9]{12}';
/** A larger request body is refused with 413. */
export const apiBodyBytesMax = 32 * 1024 * 1024;

/** What can be done to one service, `POST /services/REF/ACTION`. */
export const serviceActions = ['rollback', 'restart', 'pause', 'resume', 'stop', 'start'] as const;
export type ServiceAction = (typeof serviceActions)[number];

export interface ApiError {
  code: string;
  message: string;
  next?: string;
  details?: unknown;
}

/** What the API adds to what is stored: the full names of the services that use it. */
export interface UsedBy {
  usedBy: string[];
}

export type NetworkInfo = Network & UsedBy;
export type VolumeInfo = Volume & UsedBy & { copies?: VolumeCopy[] };

/** What one node has of a volume. */
export interface VolumeCopy {
  nodeId: string;
  node: string;
  /**
   * `current`: the volume itself; `stale`: what it was, which no task uses; `own`: that node's own, of a volume with a copy on each,
   * or of a global service.
   */
  state: 'current' | 'stale' | 'own';
  /** Absent when the node cannot be asked, or cannot tell. */
  bytes?: number;
  /** When a task last began or ended with it (ms, the manager's clock). */
  lastUsedAt?: number;
  /** Full names of the services whose tasks have it now. */
  usedBy: string[];
  /** Why the node could not be asked: there may be a copy, or not. */
  unknown?: string;
}
/** A secret without its content, which only the hosts that run a task with it are told. */
export type SecretInfo = Omit<Secret, 'spec'> & { spec: Omit<FileSpec, 'data'> } & UsedBy;
/** In a list without `data`. */
export type ConfigInfo = Omit<Config, 'spec'> & {
  spec: Omit<FileSpec, 'data'> & { data?: string };
} & UsedBy;

export interface NetworkCreate {
  name: string;
  driver?: 'overlay';
  labels?: Labels;
  /** No route out of the network. */
  internal?: boolean;
  /** Absent: one that is free. */
  subnet?: string;
}

export interface VolumeCreate {
  name: string;
  driver?: 'local';
  labels?: Labels;
  driverOptions?: VolumeDriverOptions;
  /** Each node has a copy of its own. */
  perNode?: true;
}

export interface VolumeUse {
  /** Id or name of a node. */
  node: string;
  /** Also while a task that a node which is away may still run has the volume. */
  force?: true;
}

/** To have a volume's data on another node: `copy` leaves the volume where it is. */
export interface VolumeMoveWish {
  what: 'move' | 'copy';
  /** Id or name of a node. */
  node: string;
  /** Also in place of a copy that the node has. */
  replace?: true;
  /** How long all of it may take, and how long tasks may be stopped for it (ms). @default 6 hours and 10 minutes */
  timeoutMs?: number;
  stopTimeoutMs?: number;
}

/** A secret or config. */
export interface FileCreate {
  name: string;
  labels?: Labels;
  /** base64 */
  data: string;
}

/** Hosts on which the data of a volume was left. */
export interface VolumeRemoval {
  keptOn: string[];
}

/** The key stays with who asks: only the request to sign it is sent. */
export interface AdministratorCreate {
  name: string;
  role: AdministratorRole;
  /** @default administratorLifeMsDefault */
  lifeMs?: number;
  certificateRequestPem: string;
}

export interface AdministratorAnswer {
  administrator: Administrator;
  certificatePem: string;
  certificateAuthorityPem: string;
  /** `HOST:PORT` of the managers. */
  managers: string[];
}

export interface VersionInfo {
  version: string;
  apiVersion: 'v1';
}

/**
 * A task as lists and statuses have it: it refers to its service and that one's version. Of the template it has the image and
 * the full names of the volumes; `GET /tasks/REF` has all of it.
 */
export type TaskInfo = Omit<Task, 'template'> & { image: string; volumes?: string[] };

/** `PATCH /cluster` → ClusterInfo. What is absent stays as it is. */
export type ClusterChange = ClusterDefaults;

export interface ClusterInfo {
  clusterId: string;
  defaults: Required<ClusterDefaults>;
  nodes: { total: number; ready: number; managers: number };
  /** `HOST:PORT` of the manager that leads; absent while none does. */
  leader?: string;
  services: number;
  tasks: { running: number; total: number };
  revision: number;
  /** The manager's time, which all stored times are by (ms). */
  now: number;
}

export interface JoinTokens {
  /** `SHOAL-1-<CA digest, hex>-<secret>` */
  manager: string;
  worker: string;
  /** Where to join: `HOST:PORT` of the managers. */
  addresses: string[];
}

/** `orphan`: it is not in the application any more, and is left as it is. */
export type ChangeAction = 'create' | 'update' | 'remove' | 'keep' | 'orphan';

export interface ApplyResult {
  application: string;
  changes: {
    kind: 'service' | 'network' | 'volume' | 'secret' | 'config';
    name: string;
    action: ChangeAction;
    /** Of a service that is not removed: the version that was made, or that is what would be made, and its scale unless it is global. */
    service?: { id: string; version: number; replicas?: number };
    /** What changes of a service that is updated, a line each (`spec/difference.ts`). */
    differences?: string[];
  }[];
  /** Revision at which the wish was stored. */
  revision: number;
  /** Where the application was brought up from before, when that is another place and something changes. */
  otherOrigin?: ProjectOrigin;
}

/** Ids of the services and networks that go. */
export interface ApplicationRemoval {
  ids: string[];
}

/** `failed`: trying on will not help; `starting`: it is not yet what was asked for, and no update is under way. */
export type ServiceState = 'running' | 'starting' | 'updating' | 'failed' | 'removing';

/** Sums over the services of one application. */
export interface ApplicationSummary {
  name: string;
  services: number;
  /** Slots with a task that runs, of whatever version. */
  serving: number;
  /** Slots with a task of the current version that runs. */
  updated: number;
  desired: number;
  /** That of the service which is worst off. */
  state: ServiceState;
  /** Where it was last brought up from; absent when who did it has not told. */
  origin?: ProjectOrigin;
}

/** A service with how far it is, without its tasks. */
export type ServiceInfo = Service & {
  progress: Omit<ServiceStatus, 'service' | 'tasks'> & { state: ServiceState };
};

/** What is left of a node once its reservations are taken off. */
export interface NodeRoom {
  nanoCpus: number;
  memoryBytes: number;
}

/** A node with what is on it. */
export type NodeInfo = Node & {
  /** Tasks there that have not ended. */
  tasks: number;
  reserved: NodeRoom;
  /** Absent while the host has not said what it has. */
  free?: NodeRoom;
};

/** How far one service is from what was asked. */
export interface ServiceStatus {
  service: Service;
  /** How many tasks there should be (for a global service: eligible nodes). */
  desired: number;
  /** Tasks of the current version that run, healthy where there is a healthcheck. */
  running: number;
  /** Slots with a task that runs, whatever its version. */
  serving: number;
  /** Slots that are given up and whose tasks have not ended yet. */
  leaving: number;
  /** True when as many as desired run, all of the current version, none left over, and no update is under way. */
  converged: boolean;
  /** Set when trying on will not help: the reason in words. Never set while it converges. */
  failure?: string;
  /** Current tasks (desired ready or running) and the newest failed ones, newest first. */
  tasks: TaskInfo[];
}

export interface ApplicationStatus {
  name: string;
  revision: number;
  /** The manager's time as of this status (ms): stored times are by the same clock, and by no other. */
  now: number;
  services: ServiceStatus[];
  networks: Network[];
  nodes: { id: string; hostname: string; state: string }[];
}

/** What a watch tells of, by kind; the value's `id` is the key within its kind. */
export interface WatchedKinds {
  service: Service;
  /** How far the service of this id is. */
  progress: { id: string } & Omit<ServiceStatus, 'service' | 'tasks'>;
  task: TaskInfo;
  network: Network;
  node: ApplicationStatus['nodes'][number];
}
export type WatchedKind = keyof WatchedKinds;
export type WatchPut = { [Kind in WatchedKind]: { kind: Kind; value: WatchedKinds[Kind] } }[WatchedKind];

/**
 * One line of a watch of an application, small enough to be read at once. It begins with nothing known. Lines add up, and a
 * picture is whole with each line that has `whole`; until then it is of two moments.
 */
export interface WatchLine {
  put: WatchPut[];
  remove: { kind: WatchedKind; id: string }[];
  /** Revision and the manager's time of the picture. */
  whole?: Pick<ApplicationStatus, 'name' | 'revision' | 'now'>;
}
/** A line is filled up to about this size and so many changes; one object that is larger goes alone. */
export const watchLineCharactersMax = 256 * 1024;
export const watchLineChangesMax = 1_000;

export interface NodeChange {
  availability?: NodeAvailability;
  /** Approves that the node's agent gives this address, wherever it connects from. */
  address?: string;
  role?: NodeRole;
  labels?: Record<string, string | null>;
}

/** The daemon's own API on its local socket, under `localPrefix`; everything else there is passed on to the manager on this host. */
export const localPrefix = '/local/v1';

/** `GET /local/v1/info` */
export interface LocalInfo {
  version: string;
  state: 'alone' | 'joined';
  nodeId?: string;
  role?: NodeRole;
  clusterId?: string;
  session: 'connected' | 'disconnected' | 'none';
  /** After a join: what an administrator has to do before the host gets tasks. */
  notice?: string;
  /** After a join as a manager: what to know of the managers that there are now. */
  advice?: string;
  managerAddresses: string[];
  engine: { address: string; version?: string; error?: string };
  /** The manager process of a manager host. */
  manager?: ManagerProcessInfo;
}

export interface ManagerProcessInfo {
  state: 'starting' | 'running' | 'silent';
  /** Of one that is starting: what it waits for, such as its place among the managers. */
  opening?: string;
  /** Of a silent one: for how long it has not answered its daemon (ms). */
  silentMs?: number;
  /** Of a silent one: what it waits for, where that is known; it is left alone then. */
  excuse?: string;
  /** When and why it ended or could not start last, since the daemon has begun. */
  lastEnd?: { at: number; reason: string };
}

/** `POST /local/v1/init` → LocalInfo & { tokens: JoinTokens } */
export interface InitRequest {
  /** Underlay address of this host. */
  advertiseAddress?: string;
  addressPool?: string;
  subnetPrefix?: number;
}

/** `POST /local/v1/join` → LocalInfo. Also `POST /local/v1/leave` LeaveRequest → LocalInfo. */
export interface JoinRequest {
  token: string;
  /** `HOST[:PORT]` of a manager. */
  manager: string;
  advertiseAddress?: string;
}

export interface LeaveRequest {
  /** Also when no manager can be told, and when the host is the only manager: the cluster ends with it. */
  force?: boolean;
  /** Also when volumes are on the host, which are refused by name (`details.volumes`) otherwise. */
  withVolumes?: boolean;
}

/**
 * Joining, on the managers' TCP port without a client certificate: `POST /join` JoinBody → JoinAnswer. The caller has
 * checked that the server's chain ends in a CA whose SHA-256 is the one in the token (`GET /ca` gives the CA in PEM).
 * `POST /renew` with a client certificate takes the same body without a token.
 */
export interface JoinBody {
  token: string;
  certificateRequestPem: string;
  hostname: string;
  /** The host's address on the underlay. A worker that does not connect from there needs it approved. */
  address?: string;
  /** TCP port at which a manager on the host listens. @default 2377 */
  managerPort?: number;
}

/**
 * `POST /leave` with a node's certificate → LeaveAnswer: the node is drained from then on. Asked again until no task is left
 * there. `GET /leave` only tells.
 */
export interface LeaveAnswer {
  /** Tasks of the node that have not ended. */
  tasks: number;
  /** Full names of the volumes that are on the node and nowhere else. */
  volumes?: string[];
  /** How many managers the cluster is to have. */
  managers?: number;
  /** Whether the node is a manager, or still has a member of the store. */
  isManager?: boolean;
  /** Why the others have not gone on without it yet. */
  problem?: string;
}

export interface JoinAnswer {
  nodeId: string;
  role: NodeRole;
  clusterId: string;
  certificatePem: string;
  certificateAuthorityPem: string;
  /** What an administrator has to do before the host gets tasks, in words. */
  notice?: string;
  /** What to know of the managers that there are now, in words. */
  advice?: string;
}
