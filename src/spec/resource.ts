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

/** How far a move or a copy is: the first three are under way, in this order. */
export const moveStates = ['copying', 'stopping', 'switching', 'done', 'failed', 'cancelled'] as const;
export type VolumeMoveState = (typeof moveStates)[number];

/**
 * The wish to have a volume's data on another node. The manager carries it out, whatever becomes of who asked: it copies while tasks
 * run, stops them for the last difference, and only then says that the volume is there. The last one stays, with how it ended.
 */
export interface VolumeMove {
  id: string;
  /** `copy`: the volume stays where it is, and its tasks go on there. */
  what: 'move' | 'copy';
  from: VolumeHome;
  to: VolumeHome;
  state: VolumeMoveState;
  /** Who asked for it. */
  by: string;
  /** What it does now, or why it failed. */
  message: string;
  startedAt: number;
  /** When its tasks were told to stop. */
  stoppedAt?: number;
  endedAt?: number;
  /** All of it may take so long, and tasks may be stopped for so long (ms). */
  timeoutMs: number;
  stopTimeoutMs: number;
  /** Passes that have compared both sides, and what the files that they sent take on the disk. */
  passes: number;
  sentBytes: number;
}

/** Whether the move is not over yet. */
export function isUnderWay(move: VolumeMove | undefined): move is VolumeMove {
  return move !== undefined && moveStates.indexOf(move.state) < moveStates.indexOf('done');
}

/** Whether tasks must leave the volume, and none may begin with it: the last difference is copied. */
export function mustRest(move: VolumeMove | undefined): boolean {
  return isUnderWay(move) && move.state !== 'copying';
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
  /** The last move or copy, under way or over. */
  move?: VolumeMove;
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
