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
}

export interface Node extends ObjectMeta {
  role: NodeRole;
  availability: NodeAvailability;
  labels: Labels;
  /** Absent until the agent's first session. */
  description?: NodeDescription;
  status: { state: NodeState; since: number; message: string };
}
