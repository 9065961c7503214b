/** The messages of `protocol.ts` as TypeScript sees them. In requests every field may be left out. */
export interface Any {
  typeUrl: string;
  value: Uint8Array;
}

export interface Timestamp {
  seconds: number;
  nanos: number;
}

export interface Mount {
  type: string;
  source: string;
  target: string;
  options: string[];
}

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

export type Labels = Record<string, string>;

export interface ContainerRecord {
  id: string;
  labels: Labels;
  image: string;
  runtime: { name: string; options?: Any };
  spec: Any | null;
  snapshotter: string;
  snapshotKey: string;
}

export type TaskStatus = 'UNKNOWN' | 'CREATED' | 'RUNNING' | 'STOPPED' | 'PAUSED' | 'PAUSING';

export interface TaskProcess {
  containerId: string;
  id: string;
  pid: number;
  status: TaskStatus;
  exitStatus: number;
  exitedAt: Timestamp | null;
}

export interface ProcessKey {
  containerId: string;
  execId?: string;
}

export interface ContentInfo {
  digest: string;
  size: number;
  labels: Labels;
}

export interface ImageRecord {
  name: string;
  labels: Labels;
  target: Descriptor | null;
}

export interface WriteContent {
  action: 'STAT' | 'WRITE' | 'COMMIT';
  ref: string;
  total: number;
  expected: string;
  offset?: number;
  data?: Uint8Array;
  labels?: Labels;
}

export interface WriteContentResponse {
  action: 'STAT' | 'WRITE' | 'COMMIT';
  offset: number;
  total: number;
  digest: string;
}

export interface Envelope {
  timestamp: Timestamp | null;
  namespace: string;
  topic: string;
  event: Any | null;
}

export interface TaskExit {
  containerId: string;
  id: string;
  pid: number;
  exitStatus: number;
  exitedAt: Timestamp | null;
}

interface Filters {
  filters: string[];
}
interface SnapshotKey {
  snapshotter: string;
  key: string;
}
type Empty = Record<string, never>;

/** Request and response of every call that answers once. */
export interface Calls {
  'Version.Version': [Empty, { version: string; revision: string }];
  'Containers.Get': [{ id: string }, { container: ContainerRecord | null }];
  'Containers.List': [Filters, { containers: ContainerRecord[] }];
  'Containers.Create': [{ container: ContainerRecord }, object];
  'Containers.Delete': [{ id: string }, Empty];
  'Tasks.Create': [
    {
      containerId: string;
      rootfs: Mount[];
      stdin: string;
      stdout: string;
      stderr: string;
      terminal: boolean;
    },
    { pid: number },
  ];
  'Tasks.Start': [ProcessKey, { pid: number }];
  'Tasks.Delete': [{ containerId: string }, { exitStatus: number }];
  'Tasks.DeleteProcess': [ProcessKey, { exitStatus: number }];
  'Tasks.Get': [ProcessKey, { process: TaskProcess | null }];
  'Tasks.List': [{ filter?: string }, { tasks: TaskProcess[] }];
  'Tasks.Kill': [ProcessKey & { signal: number; all?: boolean }, Empty];
  'Tasks.Exec': [
    ProcessKey & { stdin: string; stdout: string; stderr: string; terminal: boolean; spec: Any },
    Empty,
  ];
  'Tasks.ResizePty': [ProcessKey & { width: number; height: number }, Empty];
  'Tasks.CloseIO': [ProcessKey & { stdin: boolean }, Empty];
  'Tasks.Wait': [ProcessKey, { exitStatus: number; exitedAt: Timestamp | null }];
  'Snapshots.Prepare': [SnapshotKey & { parent: string; labels?: Labels }, { mounts: Mount[] }];
  'Snapshots.View': [SnapshotKey & { parent: string; labels?: Labels }, { mounts: Mount[] }];
  'Snapshots.Mounts': [SnapshotKey, { mounts: Mount[] }];
  'Snapshots.Commit': [SnapshotKey & { name: string; labels?: Labels }, Empty];
  'Snapshots.Remove': [SnapshotKey, Empty];
  'Snapshots.Stat': [SnapshotKey, { info: { name: string; parent: string } | null }];
  'Content.Info': [{ digest: string }, { info: ContentInfo | null }];
  'Content.Update': [{ info: { digest: string; labels: Labels }; updateMask: { paths: string[] } }, object];
  'Content.Status': [{ ref: string }, { status: { ref: string; offset: number; total: number } | null }];
  'Content.Abort': [{ ref: string }, Empty];
  'Images.Get': [{ name: string }, { image: ImageRecord | null }];
  'Images.List': [Filters, { images: ImageRecord[] }];
  'Images.Create': [{ image: ImageRecord }, object];
  'Images.Update': [{ image: ImageRecord; updateMask?: { paths: string[] } }, object];
  'Images.Delete': [{ name: string; sync?: boolean }, Empty];
  'Leases.Create': [{ id: string; labels: Labels }, object];
  'Leases.Delete': [{ id: string; sync?: boolean }, Empty];
  'Leases.List': [Filters, { leases: { id: string }[] }];
  'Leases.AddResource': [{ id: string; resource: { id: string; type: string } }, Empty];
  'Diff.Apply': [{ diff: Descriptor; mounts: Mount[] }, { applied: Descriptor | null }];
  'Events.Publish': [{ topic: string; event: Any }, Empty];
}

/** Request and response of the calls that answer with a stream. */
export interface Streams {
  'Content.Read': [{ digest: string; offset?: number; size?: number }, { offset: number; data: Uint8Array }];
  'Snapshots.List': [
    { snapshotter: string; filters: string[] },
    { info: { name: string; parent: string }[] },
  ];
  'Events.Subscribe': [Filters, Envelope];
}
