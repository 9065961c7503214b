import type { Labels, ObjectMeta } from './object.ts';

export type NodeRole = 'manager' | 'worker';
export type NodeAvailability = 'active' | 'pause' | 'drain';
export type NodeState = 'unknown' | 'ready' | 'down';

/** What a host says of itself when its agent opens a session. */
export interface NodeDescription {
  hostname: string;
  /** Address of the host on the underlay: where VXLAN packets for it are sent. */
  address: string;
  os: string;
  architecture: string;
  nanoCpus: number;
  memoryBytes: number;
  engine: { name: string; version: string; labels: Labels };
  shoalVersion: string;
  /** Runtimes by name that can be asked for. */
  runtimes?: string[];
  /** Devices by full name, `vendor.com/class=name`, that can be asked for. */
  cdiDevices?: string[];
  /** The network that the host itself is on. */
  underlay?: NodeUnderlay;
  /** TCP port at which a manager on the host listens, whether or not there is one. */
  managerPort?: number;
}

/** IPv4 only, and without what Shoal made there. Networks are in CIDR form, the widest first. */
export interface NodeUnderlay {
  /** What the interface with the host's address carries. */
  mtuBytes: number;
  /** Networks that the host is on, and its addresses, gateways and resolvers where they are on none of them. */
  connected: string[];
  /** Networks that it reaches through a gateway, other than by its default route. */
  routed: string[];
}

/** More networks of one kind than this are not told: the widest are. */
export const underlayNetworksMax = 64;

/**
 * What can be wrong with a host while its agent is there. `keepsTasksAway`: no new task is placed there meanwhile; what runs
 * there stays.
 */
export const nodeConditions = {
  /** Too little room for state, logs or images. */
  DiskFull: { keepsTasksAway: true },
  /** The kernel's network state is not what the cluster asks for, and could not be repaired yet. */
  NetworkBroken: { keepsTasksAway: true },
  /** The engine, or a shim, does not answer. */
  EngineSlow: { keepsTasksAway: true },
  /** A firewall that is not Shoal's drops the traffic of containers. */
  ForeignFirewall: { keepsTasksAway: true },
  /** The host does not have the address that the cluster knows it by. */
  AddressChanged: { keepsTasksAway: true },
  /** The host's clock and the manager's differ. */
  ClockSkewed: { keepsTasksAway: false },
  /** The host runs another version of Shoal than the manager. */
  VersionMismatch: { keepsTasksAway: false },
  /** The agent is alive, but its main loop stands still. */
  AgentStalled: { keepsTasksAway: true },
  /** It is silent, and whether it is down or the manager is cut off cannot be told. */
  Unreachable: { keepsTasksAway: true },
} as const satisfies Record<string, { keepsTasksAway: boolean }>;

export type NodeConditionType = keyof typeof nodeConditions;

/** Something that is wrong with a host now. */
export interface NodeCondition {
  type: NodeConditionType;
  /** When the manager first heard of it (ms since the epoch, the manager's clock). */
  since: number;
  /** What is wrong, and what to do: for a person. */
  message: string;
}

/** What a node of role manager is to the others; written by the leader. */
export interface NodeManager {
  /** `HOST:PORT` of its API. */
  address: string;
  /**
   * Its member of etcd; absent with the embedded store, and before it was added. `started`: it answers, without a vote.
   * `since`: when it came to be in this phase (ms since the epoch).
   */
  member?: { id: string; phase: 'added' | 'started' | 'voting'; since: number };
  /** Why it is not what it should be, in words. */
  problem?: string;
}

export interface Node extends ObjectMeta {
  /**
   * What the host was called when it joined; no other node is called so, whatever the case. The manager keeps it: where a
   * host says another name later, this one goes into its description. Absent: it joined before names were kept.
   */
  name?: string;
  /** What it is meant to be; `manager` says what it is. */
  role: NodeRole;
  /** Absent on a node that is no manager and has no member of the store. */
  manager?: NodeManager;
  availability: NodeAvailability;
  labels: Labels;
  /** The host's address on the underlay as an administrator has given it, or the join of a manager. */
  approvedAddress?: string;
  /** Absent until the agent's first session. */
  description?: NodeDescription;
  status: { state: NodeState; since: number; message: string };
  /** Those that hold, at most one of a type; absent when there are none. */
  conditions?: NodeCondition[];
}

/** Whether something is wrong with the node for which no new task goes there. */
export function keepsTasksAway({ conditions = [] }: Node): boolean {
  return conditions.some(({ type }) => nodeConditions[type].keepsTasksAway);
}
