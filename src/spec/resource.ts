import type { Labels, ObjectMeta } from './object.ts';

export interface VolumeSpec {
  /** Full name, `APPLICATION_KEY`. */
  name: string;
  application: string;
  labels: Labels;
}

/** A named volume: made on a node when the first task there needs it, and kept. */
export interface Volume extends ObjectMeta {
  spec: VolumeSpec;
  /** Nodes where a task with it has run, and so where its data lies. Written by the scheduler. */
  nodeIds?: string[];
}

/** Secrets and configs: content never changes; another content is another name (`versionedName`). */
export interface FileSpec {
  name: string;
  application: string;
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
