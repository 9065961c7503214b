import type { NodeCondition, NodeDescription } from '../spec/node.ts';
import type { AllocatedPort, ServiceLink, TaskTemplate } from '../spec/service.ts';
import type { NetworkAttachment, DesiredTaskState, TaskStatus } from '../spec/task.ts';

/**
 * The agent session: one WebSocket from the agent to any manager, path `sessionPath`, mutual TLS. JSON text messages.
 * Down goes the node's whole assignment and then increments chained by sequence; up go status batches and acknowledgements.
 */
export const sessionPath = '/agent/session';
/** The agent dials `${streamPath}/STREAM_ID` back for every stream the manager asks for. */
export const streamPath = '/agent/streams';
/** A session message larger than this ends the session. Complete sets are split over several messages (`more`). */
export const sessionMessageBytesMax = 4 * 1024 * 1024;

/** What the agent is told to run. */
export interface TaskAssignment {
  id: string;
  application: string;
  serviceId: string;
  serviceName: string;
  slot: number;
  template: TaskTemplate;
  /** What the manager wants now. `shutdown` is sent only after the endpoint's removal was acknowledged by every live node. */
  desiredState: DesiredTaskState;
  /** The task runs the init containers that run once for its version of the service. */
  initialises?: true;
  attachments: NetworkAttachment[];
  /** The tasks of this node that it takes something over from, by service; absent when it shares nothing. */
  anchors?: Record<string, string>;
  /** Last status the manager knows. */
  status: TaskStatus;
}

/** A network this node has tasks on, or serves published ports for. */
export interface NetworkAssignment {
  id: string;
  name: string;
  vni: number;
  subnet: string;
  /** Absent: the upper half of the subnet. */
  virtualSubnet?: string;
  internal: boolean;
  /** What the interfaces shall have; absent: as much as the hosts' network carries. */
  mtuBytes?: number;
  /** The address of this node's own bridge. */
  bridgeAddress: string;
  /** The other nodes' bridges: node id, bridge address and underlay address. */
  peers: { nodeId: string; bridgeAddress: string; hostAddress: string }[];
}

/** A task of another node on a network this node is part of: where frames for its address go. */
export interface PeerAssignment {
  /** `NETWORK_ID/TASK_ID` */
  id: string;
  networkId: string;
  address: string;
  hostAddress: string;
}

/** A service as seen from this node: names and virtual IPs on the networks this node is part of, ports open on every node. */
export interface ServiceAssignment {
  id: string;
  name: string;
  /** DNS name beside the full name. */
  key: string;
  application: string;
  /** Per network id: virtual IP (absent for `dnsrr`) and aliases. */
  networks: { networkId: string; virtualAddress?: string; aliases: string[] }[];
  /** Ingress ports. Their traffic goes to the endpoints' addresses on `ingressNetworkId`. */
  ports: AllocatedPort[];
  ingressNetworkId?: string;
  /** What its own tasks call other services: DNS name in lower case, and the service's full name. */
  links?: ServiceLink[];
}

/** A task that may receive new connections: running, healthy, and not about to be stopped. */
export interface EndpointAssignment {
  /** The task's id. */
  id: string;
  serviceId: string;
  slot: number;
  nodeId: string;
  /** Network id to address. */
  addresses: Record<string, string>;
}

/** Content of a secret or config that a task of this node uses. */
export interface FileAssignment {
  id: string;
  name: string;
  /** base64 */
  data: string;
}

/** Everything a node is told, by kind; the object's `id` is the key within its kind. */
export interface AssignmentKinds {
  task: TaskAssignment;
  network: NetworkAssignment;
  peer: PeerAssignment;
  service: ServiceAssignment;
  endpoint: EndpointAssignment;
  secret: FileAssignment;
  config: FileAssignment;
}

export type AssignmentKind = keyof AssignmentKinds;
export type AssignmentPut = {
  [Kind in AssignmentKind]: { kind: Kind; value: AssignmentKinds[Kind] };
}[AssignmentKind];
export interface AssignmentRemove {
  kind: AssignmentKind;
  id: string;
}

export type ManagerMessage =
  | { type: 'welcome'; nodeId: string; heartbeatIntervalMs: number }
  | {
      type: 'assignments';
      /** `complete` replaces everything; `incremental` applies on top of sequence - 1. */
      mode: 'complete' | 'incremental';
      /** Counts up by one a message in a session; a gap makes the agent ask for `resync`. */
      sequence: number;
      /** A complete set continues in the next message; applied when the last part has come. */
      more: boolean;
      put: AssignmentPut[];
      remove: AssignmentRemove[];
    }
  | { type: 'status-ack'; batch: number }
  | { type: 'stream'; streamId: string; request: StreamRequest };

export type AgentMessage =
  | { type: 'hello'; description: NodeDescription }
  | { type: 'heartbeat' }
  /** All conditions that hold on the host; replaces what was told before. Sent after `hello` and whenever one changes. */
  | { type: 'conditions'; conditions: Pick<NodeCondition, 'type' | 'message'>[] }
  | { type: 'status'; batch: number; tasks: { taskId: string; status: TaskStatus }[] }
  /** The kernel's network state now matches this sequence: removed endpoints get no new connection from this node. */
  | { type: 'applied'; sequence: number }
  | { type: 'resync' };

/** What a stream carries. The agent dials back and both sides speak binary frames: one type byte, then the payload. */
export type StreamRequest =
  | {
      kind: 'logs';
      taskId: string;
      follow: boolean;
      /** Last lines; absent: all. */ tail?: number;
      /** ms since the epoch */ since?: number;
    }
  /** The host lets go of a named volume and its data, and answers with an `exit` frame once nothing can use it any more. */
  | { kind: 'remove-volume'; name: string }
  | {
      kind: 'exec';
      taskId: string;
      command: string[];
      tty: boolean;
      environment: Record<string, string>;
      user?: string;
      workingDirectory?: string;
      size?: { columns: number; rows: number };
    };

/**
 * First byte of every binary frame on a stream. `log` frames: JSON of a `LogLine`. `exit`: JSON `{ exitCode }`.
 * `error`: JSON `{ code, message, next? }`. `resize`: JSON `{ columns, rows }`. `end` closes standard input.
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
} as const;

export interface LogLine {
  taskId: string;
  /** RFC 3339 with nanoseconds, UTC. */
  at: string;
  stream: 'stdout' | 'stderr';
  /** Without its line feed. */
  text: string;
  /** A word from the manager and not from the container, such as a node that cannot be reached. */
  warning?: true;
}
