import {
  underlayNetworksMax,
  type NodeConditionType,
  type NodeDescription,
  type NodeRole,
} from '../spec/node.ts';
import type { AllocatedPort } from '../spec/service.ts';
import { taskStates, type DesiredTaskState, type TaskState, type TaskStatus } from '../spec/task.ts';
import {
  also,
  anything,
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
  type TypeOf,
} from './schema.ts';
import {
  address,
  appliedTemplate,
  environment,
  labels,
  name,
  port,
  protocol,
  subnet,
} from './template-schema.ts';

/**
 * The agent session: one WebSocket from the agent to any manager, path `sessionPath`, mutual TLS. JSON text messages.
 * Down goes the node's whole assignment and then increments chained by sequence; up go status batches and acknowledgements.
 *
 * Every message is described here once: its type follows, and so does its check, which both sides make before anything
 * acts on it (`check.ts`). The other side may be newer: fields that are not known are left out, and messages of types that
 * are not known are passed over; so is one assignment, removal or condition of a kind that is not known, and a stream that is not is
 * answered with an error. Anything else that does not fit ends the session.
 */
export const sessionPath = '/agent/session';
/** The agent dials `${streamPath}/STREAM_ID` back for every stream the manager asks for. */
export const streamPath = '/agent/streams';
/** A message to an agent larger than this ends the session. Complete sets are split over several messages (`more`). */
export const sessionMessageBytesMax = 4 * 1024 * 1024;
/** A message to a manager larger than this ends the session. */
export const agentMessageBytesMax = 1024 * 1024;
/**
 * Raised when one side must know which rules the other one follows. Sides of lower ones are not talked to, for they would end
 * what runs; 2: tasks refer to their templates.
 */
export const sessionProtocol = 2;

/** New connections to the managers' port from one address; more are dropped by the host's packet filter, or closed before TLS. */
export const connectionRate = { perSecond: 50, burst: 200 };

/** In a move of a volume both hosts say that they go on at least this often; one that is silent for much longer has gone. */
export const moveSignMs = 2_000;

/** Statuses in one message. */
export const statusBatchMax = 500;
/** Characters of the words in a status, and in a condition. */
export const statusTextMax = 4_096;
/** Conditions of a host; newer ones may know more types. */
const conditionsMax = 64;
/** Nodes of a cluster, and so bridges of a network. */
const nodesMax = 10_000;
/** Puts or removals in one message; its size ends it long before. */
const changesMax = 100_000;
/** Longer content no secret or config has, in base64. */
const contentCharactersMax = 1_500_000;

/** Managers that a host is told of; there are never as many. */
export const managersToldMax = 16;

const id = name;
/** `HOST:PORT` */
const managerAddress = pattern('[a-zA-Z0-9.-]{1,253}:[0-9]{1,5}', 260);
/** Milliseconds since the epoch, up to the year 2255. */
const time = number(0, 9_000_000_000_000);
const count = integer();
const shortText = text(255);
const dnsNames = list(shortText);

const allocatedPort: Schema<AllocatedPort> = object({
  published: port,
  protocol,
  'address?': address,
  target: port,
});

/** What is told of a task. */
export const taskStatus: Schema<TaskStatus> = object({
  state: values<TaskState>(...taskStates),
  at: time,
  message: text(statusTextMax),
  'error?': object({ code: text(64), message: text(statusTextMax) }),
  'exitCode?': integer(-1, 2 ** 32 - 1),
  'endedWith?': id,
  'startedAt?': time,
  'imageDigest?': shortText,
  'initialised?': values(true),
  'hostPorts?': list(allocatedPort),
  'restarts?': count,
});

/** A host name of letters, digits, dots, hyphens and, as Linux takes them, underscores (RFC 1123). */
export const hostName = pattern('[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9])?', 253);

/** What a host says of itself. Its address is believed only where the manager has other reasons to. */
export const nodeDescription: Schema<NodeDescription> = object({
  hostname: hostName,
  address,
  os: shortText,
  architecture: shortText,
  nanoCpus: count,
  memoryBytes: count,
  engine: object({ name: shortText, version: shortText, labels }),
  shoalVersion: shortText,
  'runtimes?': list(shortText),
  'cdiDevices?': list(shortText),
  'managerPort?': port,
  'underlay?': object({
    mtuBytes: integer(68, 65_536),
    connected: list(subnet, underlayNetworksMax),
    routed: list(subnet, underlayNetworksMax),
  }),
});

/** A place on one network. */
const attachment = object({
  networkId: id,
  address,
  aliases: dnsNames,
  'gatewayPriority?': integer(-(2 ** 53), 2 ** 53),
  'interfaceName?': text(15),
});

/** A template's id follows from its content, so that under one id it never changes. */
const templateId = pattern('[a-zA-Z0-9_.-]{1,255}', 255);

const templateAssignment = object({ id: templateId, template: appliedTemplate });

const taskAssignment = object({
  id,
  application: name,
  serviceId: id,
  serviceName: name,
  slot: count,
  /** Told before the first task that refers to it or with it, and removed with the last. */
  templateId,
  /** What the manager wants now. `shutdown` is sent only after the endpoint's removal was acknowledged by every live node. */
  desiredState: values<DesiredTaskState>('ready', 'running', 'shutdown', 'remove'),
  /** The task runs the init containers that run once for its version of the service. */
  'initialises?': values(true),
  attachments: list(attachment),
  /** The tasks of this node that it takes something over from, by service; absent when it shares nothing. */
  'anchors?': map(id),
  /** The ids of its named volumes, by name: a copy of another one of that name is not taken up. */
  'volumeIds?': map(id),
  /** Last status the manager knows. */
  status: taskStatus,
});

const networkAssignment = object({
  id,
  name,
  vni: integer(1, 2 ** 24 - 1),
  subnet,
  /** Absent: the upper half of the subnet. */
  'virtualSubnet?': subnet,
  internal: flag,
  /** What the interfaces shall have, on all hosts alike; absent: as much as the host's network carries. */
  'mtuBytes?': integer(68, 65_535),
  /** The address of this node's own bridge. */
  bridgeAddress: address,
  /** The other nodes' bridges: node id, bridge address and underlay address. */
  peers: list(object({ nodeId: id, bridgeAddress: address, hostAddress: address }), nodesMax),
});

const peerAssignment = object({
  /** `NETWORK_ID/TASK_ID` */
  id: text(512),
  networkId: id,
  address,
  hostAddress: address,
});

const serviceAssignment = object({
  id,
  name,
  /** DNS name beside the full name. */
  key: name,
  application: name,
  /** Per network id: virtual IP (absent for `dnsrr`) and aliases. */
  networks: list(object({ networkId: id, 'virtualAddress?': address, aliases: dnsNames })),
  /** Ingress ports. Their traffic goes to the endpoints' addresses on `ingressNetworkId`. */
  ports: list(allocatedPort),
  /** What endpoints of earlier versions serve on instead, oldest first: those up to that `specVersion`. */
  'former?': list(object({ upTo: count, ports: list(allocatedPort), 'ingressNetworkId?': id })),
  'ingressNetworkId?': id,
  /** What its own tasks call other services: DNS name in lower case, and the service's full name. */
  'links?': list(object({ alias: shortText, service: name })),
});

const endpointAssignment = object({
  /** The task's id. */
  id,
  serviceId: id,
  slot: count,
  nodeId: id,
  /** Of which version of the service's template it is; absent: of the current one. */
  'specVersion?': count,
  /** Network id to address. */
  addresses: map(address),
});

const fileAssignment = object({
  id,
  name,
  /** base64 */
  data: pattern('[A-Za-z0-9+/]*={0,2}', contentCharactersMax),
});

/** What the tasks of this node that refer to it are made from. */
export type TemplateAssignment = TypeOf<typeof templateAssignment>;
/** What the agent is told to run. */
export type TaskAssignment = TypeOf<typeof taskAssignment>;
/** The same with the template that it refers to, which is one object for all that do. */
export type AssignedTask = TaskAssignment & Pick<TemplateAssignment, 'template'>;
/** A network this node has tasks on, or serves published ports for. */
export type NetworkAssignment = TypeOf<typeof networkAssignment>;
/** A task of another node on a network this node is part of: where frames for its address go. */
export type PeerAssignment = TypeOf<typeof peerAssignment>;
/** A service as seen from this node: names and virtual IPs on the networks this node is part of, ports open on every node. */
export type ServiceAssignment = TypeOf<typeof serviceAssignment>;
/** A task that may receive new connections: running, healthy, and not about to be stopped. */
export type EndpointAssignment = TypeOf<typeof endpointAssignment>;
/** Content of a secret or config that a task of this node uses. */
export type FileAssignment = TypeOf<typeof fileAssignment>;

/** Everything a node is told, by kind; the object's `id` is the key within its kind. Each is checked by itself. */
export const assignmentSchemas = {
  template: templateAssignment,
  task: taskAssignment,
  network: networkAssignment,
  peer: peerAssignment,
  service: serviceAssignment,
  endpoint: endpointAssignment,
  secret: fileAssignment,
  config: fileAssignment,
};

export type AssignmentKinds = {
  [Kind in keyof typeof assignmentSchemas]: TypeOf<(typeof assignmentSchemas)[Kind]>;
};
export type AssignmentKind = keyof AssignmentKinds;
export type AssignmentPut = {
  [Kind in AssignmentKind]: { kind: Kind; value: AssignmentKinds[Kind] };
}[AssignmentKind];

const assignmentRemove = object({
  /** One that is not known is left out by itself. */
  kind: text(64) as unknown as Schema<AssignmentKind>,
  id: text(512),
});
export type AssignmentRemove = TypeOf<typeof assignmentRemove>;

const taskId = id;
const longText = text(131_072);
const terminalSize = object({ columns: integer(0, 65_535), rows: integer(0, 65_535) });
const execSettings = {
  command: also(list(longText), { minItems: 1 }),
  tty: flag,
  environment,
  'user?': text(),
  'workingDirectory?': text(),
  'size?': terminalSize,
} as const;

/** What a person asks for in a task. */
export const execRequest = object(execSettings);

/** What a stream carries. The agent dials back and both sides speak binary frames: one type byte, then the payload. */
export const streamRequest = variants(
  'kind',
  object({
    kind: values('logs'),
    taskId,
    follow: flag,
    /** Last lines; absent: all. */
    'tail?': count,
    /** Milliseconds since the epoch. */
    'since?': time,
    /** Only lines that are no older, in ms by the host's own clock. */
    'ageMs?': time,
    /** Only lines after the one of this position; `tail` does not count then. */
    'after?': text(128),
  }),
  /** The host lets go of a named volume and its data, and answers with an `exit` frame once nothing can use it any more. */
  object({ kind: values('remove-volume'), name, 'id?': id }),
  /** A `volume` frame for each copy of a named volume on the host, or for that of one, and an `exit` frame. */
  object({ kind: values('list-volumes'), 'name?': name }),
  /** A named volume as a tar stream in `stdout` frames, and an `exit` frame: 1 when files changed while they were read. */
  object({ kind: values('export-volume'), name }),
  /** A tar stream in `stdin` frames and an `end` frame become the volume, in place of what was there; then an `exit` frame. */
  object({ kind: values('import-volume'), name, 'id?': id }),
  /**
   * One pass of a move. This host has the volume: it takes the listing of the other one's copy in `stdin` frames and `end`, and answers
   * with `difference` frames, a tar stream in `stdout` frames, `end` and `exit`. `still`: refused while a task here uses it.
   */
  object({ kind: values('send-volume'), name, id, still: flag }),
  /** The other side of it: lists the copy that is arriving in `stdout` frames and `end`, takes the answer, and ends with `exit`. */
  object({ kind: values('take-volume'), name, id }),
  /**
   * `arrived`: what has arrived becomes this host's copy, in place of what was there, however often that is said; `drop`: what was kept of
   * a move goes; `adopt`: the copy that is here is one of this volume from now on.
   */
  object({ kind: values('settle-volume'), name, id, moveId: id, how: values('arrived', 'drop', 'adopt') }),
  object({ kind: values('exec'), taskId, ...execSettings }),
);
export type StreamRequest = TypeOf<typeof streamRequest>;

export const managerMessages = {
  /** The hello was taken. */
  welcome: object({
    type: values('welcome'),
    nodeId: id,
    heartbeatIntervalMs: integer(1, 60_000),
    protocol: integer(1),
    /** The manager's version of Shoal, and its time (ms since the epoch). */
    version: shortText,
    at: time,
  }),
  /** The hello was not taken, and the session ends. The agent says why, and tries again later and later. */
  refused: object({ type: values('refused'), code: text(64), message: text(statusTextMax) }),
  assignments: object({
    type: values('assignments'),
    /** `complete` replaces everything; `incremental` applies on top of sequence - 1. */
    mode: values('complete', 'incremental'),
    /** Counts up by one a message in a session; a gap makes the agent ask for `resync`. */
    sequence: count,
    /** A complete set continues in the next message; applied when the last part has come. */
    more: flag,
    /** Each value is checked by the schema of its kind, and left out by itself when it does not fit. */
    put: list(object({ kind: text(64), value: anything }), changesMax) as unknown as Schema<AssignmentPut[]>,
    remove: list(assignmentRemove, changesMax),
  }),
  /**
   * Sent after the welcome and whenever it changes: what the host is to be, and the managers that there are, in the order in which to
   * try them. A host is told that it is a worker only once nothing of the cluster's state is on it any more.
   */
  managers: object({
    type: values('managers'),
    role: values<NodeRole>('manager', 'worker'),
    addresses: list(managerAddress, managersToldMax),
  }),
  'status-ack': object({ type: values('status-ack'), batch: count }),
  /** The manager cannot write now what the batch tells: the agent tells it again, with the newest of each task. */
  'status-declined': object({ type: values('status-declined'), batch: count }),
  /** The request is checked by itself (`streamRequest`): one that is not known is answered, on its own connection. */
  stream: object({
    type: values('stream'),
    streamId: id,
    request: anything as unknown as Schema<StreamRequest>,
  }),
};

export const agentMessages = {
  /** The first message of a session; sent again when the host is described otherwise. */
  hello: object({
    type: values('hello'),
    protocol: integer(1),
    /** The agent's time (ms since the epoch). */
    at: time,
    /** Another one at each start of the agent. */
    instance: shortText,
    /** Another one on each running host: two hosts with one certificate are told apart by it. */
    host: shortText,
    description: nodeDescription,
  }),
  /** `at`: the agent's time. `stalledMs`: the agent lives, but its main loop has stood still for so long. */
  heartbeat: object({ type: values('heartbeat'), 'at?': time, 'stalledMs?': count }),
  /** All conditions that hold on the host; replaces what was told before. Sent after `hello` and whenever one changes. */
  conditions: object({
    type: values('conditions'),
    conditions: list(
      object({
        /** One that is not known is left out by itself. */
        type: text(64) as unknown as Schema<NodeConditionType>,
        message: text(statusTextMax),
      }),
      conditionsMax,
    ),
  }),
  status: object({
    type: values('status'),
    batch: count,
    tasks: list(object({ taskId, status: taskStatus }), statusBatchMax),
  }),
  /** The kernel's network state now matches this sequence: removed endpoints get no new connection from this node. */
  applied: object({ type: values('applied'), sequence: count }),
  resync: object({ type: values('resync') }),
};

type MessageOf<Messages> = { [Type in keyof Messages]: TypeOf<Messages[Type]> }[keyof Messages];
export type ManagerMessage = MessageOf<typeof managerMessages>;
export type AgentMessage = MessageOf<typeof agentMessages>;

/**
 * First byte of every binary frame on a stream. `log`, `volume`, `difference`, `exit`, `error` and `resize` carry JSON as `frameSchemas`
 * has it; `end` closes standard input.
 */
export const frameTypes = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  exit: 3,
  error: 4,
  resize: 5,
  end: 6,
  log: 7,
  volume: 8,
  difference: 9,
} as const;

const logLine = object({
  taskId,
  /** RFC 3339 with nanoseconds, UTC. */
  at: text(64),
  stream: values('stdout', 'stderr'),
  /** Without its line feed. */
  text: text(1024 * 1024),
  /** A word from the manager and not from the container, such as a node that cannot be reached. */
  'warning?': values(true),
  /** Where the line is in its task's log, for going on after it (`after`). Means something to its host alone. */
  'position?': text(128),
});
export type LogLine = TypeOf<typeof logLine>;

/** What a host has of a named volume. */
const volumeCopy = object({
  name,
  /** Whose data it is, where that was noted; another one than the volume that is called so now: one before it. */
  'id?': id,
  /** What it takes on the disk; absent when counting took too long. */
  'bytes?': integer(),
  /** How long ago a task began or ended with it, in ms by the host's clock. */
  unusedMs: time,
});
export type HostCopy = TypeOf<typeof volumeCopy>;

/** What is not the same on two hosts, in parts; one without anything says that work goes on. */
const volumeDifference = object({
  /** Paths that the other host must remove, a character for each byte of their names. */
  'remove?': list(text(4_096), 100),
  /** Files that are not the same with what they take on the disk, and all that there are. Comes before the tar stream. */
  'summary?': object({ changed: count, bytes: count, files: count, totalBytes: count }),
});
export type VolumeDifference = TypeOf<typeof volumeDifference>;

/** The frames whose payload is JSON. */
export const frameSchemas = {
  log: logLine,
  volume: volumeCopy,
  difference: volumeDifference,
  exit: object({ exitCode: integer(-1, 2 ** 32 - 1) }),
  error: object({ code: text(64), message: text(65_536), 'next?': text(65_536) }),
  resize: terminalSize,
};
