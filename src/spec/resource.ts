import type { Labels, ObjectMeta } from './object.ts';

/** What is mounted as a volume: the options of Docker's local driver, as mount(8) takes them. */
export interface VolumeDriverOptions {
  /** A file system such as `nfs` or `tmpfs`. Absent: `none`, for bind mounts. */
  type?: string;
  /** Options separated by commas. */
  o?: string;
  device: string;
}

export interface VolumeSpec {
  /** Full name, `APPLICATION_KEY`. */
  name: string;
  /** Absent: made by a command, and of no application. */
  application?: string;
  labels: Labels;
  /** Absent: a folder of the host that it is on. */
  driverOptions?: VolumeDriverOptions;
  /** Each node has a copy of its own, and tasks use that of the node they run on. Absent: the volume is on one node. */
  perNode?: true;
}

/** The node that a volume is on. */
export interface VolumeHome {
  nodeId: string;
  /** What the node was called then, for words about one that has been removed. */
  hostname: string;
}

/** Whether the volume is on one node, where all tasks with it run. */
export function hasHome({ driverOptions, perNode }: VolumeSpec): boolean {
  return driverOptions === undefined && perNode !== true;
}

/** A named volume: made on a node when the first task there needs it, and kept. */
export interface Volume extends ObjectMeta {
  spec: VolumeSpec;
  /**
   * The only node where its tasks run, those of global services apart: that of the first one, written in the transaction that
   * placed it. Absent before, and for volumes that each node has a copy of or that are mounted.
   */
  home?: VolumeHome;
  /** Nodes to which a task with it was assigned, and which so may have a copy. Written by the scheduler. */
  nodeIds?: string[];
  /** It is about to be on another node: no task with it is placed meanwhile. */
  held?: true;
  /** Its data is being removed from the hosts, and then it goes: nothing new may use it. */
  removing?: true;
}

/**
 * Secrets and configs: content never changes. Of an application another content is another name (`versionedName`); one
 * that was made by a command has the name that it was given.
 */
export interface FileSpec {
  name: string;
  /** Absent: made by a command, and of no application. */
  application?: string;
  labels: Labels;
  /** Content, base64. Secrets: at most 500 KiB; configs: at most 1000 KiB. */
  data: string;
}

export interface Secret extends ObjectMeta {
  spec: FileSpec;
}

export interface Config extends ObjectMeta {
  spec: FileSpec;
}
