import type { MessageTypeDefinition } from '@grpc/proto-loader';
import {
  message,
  methodsOf,
  readInterface,
  type InterfaceDescription,
  type MethodShape,
} from '../../src/util/protobuf.ts';

/** The part of containerd's gRPC API (1.6 and later) that the engine uses. */
const common = {
  Empty: message({}),
  Any: message({ typeUrl: [1, 'string'], value: [2, 'bytes'] }),
  Timestamp: message({ seconds: [1, 'int64'], nanos: [2, 'int32'] }),
  FieldMask: message({ paths: [1, 'repeated string'] }),
  Mount: message({
    type: [1, 'string'],
    source: [2, 'string'],
    target: [3, 'string'],
    options: [4, 'repeated string'],
  }),
  Descriptor: message({
    mediaType: [1, 'string'],
    digest: [2, 'string'],
    size: [3, 'int64'],
    annotations: [5, 'string', 'string'],
  }),
  ById: message({ id: [1, 'string'] }),
  ByDigest: message({ digest: [1, 'string'] }),
  ByRef: message({ ref: [1, 'string'] }),
  ByName: message({ name: [1, 'string'] }),
  Filters: message({ filters: [1, 'repeated string'] }),
  VersionResponse: message({ version: [1, 'string'], revision: [2, 'string'] }),
};

const containers = {
  RuncOptions: message({ binaryName: [6, 'string'] }),
  Runtime: message({ name: [1, 'string'], options: [2, 'Any'] }),
  Container: message({
    id: [1, 'string'],
    labels: [2, 'string', 'string'],
    image: [3, 'string'],
    runtime: [4, 'Runtime'],
    spec: [5, 'Any'],
    snapshotter: [6, 'string'],
    snapshotKey: [7, 'string'],
  }),
  OneContainer: message({ container: [1, 'Container'] }),
  ContainerList: message({ containers: [1, 'repeated Container'] }),
};

const tasks = {
  TaskStatus: {
    values: { UNKNOWN: 0, CREATED: 1, RUNNING: 2, STOPPED: 3, PAUSED: 4, PAUSING: 5 },
  },
  Process: message({
    containerId: [1, 'string'],
    id: [2, 'string'],
    pid: [3, 'uint32'],
    status: [4, 'TaskStatus'],
    exitStatus: [9, 'uint32'],
    exitedAt: [10, 'Timestamp'],
  }),
  CreateTask: message({
    containerId: [1, 'string'],
    rootfs: [3, 'repeated Mount'],
    stdin: [4, 'string'],
    stdout: [5, 'string'],
    stderr: [6, 'string'],
    terminal: [7, 'bool'],
  }),
  CreateTaskResponse: message({ containerId: [1, 'string'], pid: [2, 'uint32'] }),
  ProcessKey: message({ containerId: [1, 'string'], execId: [2, 'string'] }),
  TaskKey: message({ containerId: [1, 'string'] }),
  StartResponse: message({ pid: [1, 'uint32'] }),
  DeleteResponse: message({ id: [1, 'string'], pid: [2, 'uint32'], exitStatus: [3, 'uint32'] }),
  GetResponse: message({ process: [1, 'Process'] }),
  ListTasks: message({ filter: [1, 'string'] }),
  ListTasksResponse: message({ tasks: [1, 'repeated Process'] }),
  Kill: message({
    containerId: [1, 'string'],
    execId: [2, 'string'],
    signal: [3, 'uint32'],
    all: [4, 'bool'],
  }),
  Exec: message({
    containerId: [1, 'string'],
    stdin: [2, 'string'],
    stdout: [3, 'string'],
    stderr: [4, 'string'],
    terminal: [5, 'bool'],
    spec: [6, 'Any'],
    execId: [7, 'string'],
  }),
  ResizePty: message({
    containerId: [1, 'string'],
    execId: [2, 'string'],
    width: [3, 'uint32'],
    height: [4, 'uint32'],
  }),
  CloseIo: message({ containerId: [1, 'string'], execId: [2, 'string'], stdin: [3, 'bool'] }),
  WaitResponse: message({ exitStatus: [1, 'uint32'], exitedAt: [2, 'Timestamp'] }),
};

const snapshots = {
  Prepare: message({
    snapshotter: [1, 'string'],
    key: [2, 'string'],
    parent: [3, 'string'],
    labels: [4, 'string', 'string'],
  }),
  Mounts: message({ mounts: [1, 'repeated Mount'] }),
  SnapshotKey: message({ snapshotter: [1, 'string'], key: [2, 'string'] }),
  Commit: message({
    snapshotter: [1, 'string'],
    name: [2, 'string'],
    key: [3, 'string'],
    labels: [4, 'string', 'string'],
  }),
  SnapshotInfo: message({ name: [1, 'string'], parent: [2, 'string'], labels: [6, 'string', 'string'] }),
  StatSnapshot: message({ info: [1, 'SnapshotInfo'] }),
  ListSnapshots: message({ snapshotter: [1, 'string'], filters: [2, 'repeated string'] }),
  SnapshotList: message({ info: [1, 'repeated SnapshotInfo'] }),
};

const content = {
  ContentInfo: message({ digest: [1, 'string'], size: [2, 'int64'], labels: [5, 'string', 'string'] }),
  OneContent: message({ info: [1, 'ContentInfo'] }),
  UpdateContent: message({ info: [1, 'ContentInfo'], updateMask: [2, 'FieldMask'] }),
  ReadContent: message({ digest: [1, 'string'], offset: [2, 'int64'], size: [3, 'int64'] }),
  ReadContentResponse: message({ offset: [1, 'int64'], data: [2, 'bytes'] }),
  IngestStatus: message({ ref: [3, 'string'], offset: [4, 'int64'], total: [5, 'int64'] }),
  StatusResponse: message({ status: [1, 'IngestStatus'] }),
  WriteAction: { values: { STAT: 0, WRITE: 1, COMMIT: 2 } },
  WriteContent: message({
    action: [1, 'WriteAction'],
    ref: [2, 'string'],
    total: [3, 'int64'],
    expected: [4, 'string'],
    offset: [5, 'int64'],
    data: [6, 'bytes'],
    labels: [7, 'string', 'string'],
  }),
  WriteContentResponse: message({
    action: [1, 'WriteAction'],
    offset: [4, 'int64'],
    total: [5, 'int64'],
    digest: [6, 'string'],
  }),
};

const images = {
  Image: message({ name: [1, 'string'], labels: [2, 'string', 'string'], target: [3, 'Descriptor'] }),
  OneImage: message({ image: [1, 'Image'] }),
  UpdateImage: message({ image: [1, 'Image'], updateMask: [2, 'FieldMask'] }),
  ImageList: message({ images: [1, 'repeated Image'] }),
  DeleteImage: message({ name: [1, 'string'], sync: [2, 'bool'] }),
  Lease: message({ id: [1, 'string'], labels: [3, 'string', 'string'] }),
  OneLease: message({ lease: [1, 'Lease'] }),
  LeaseList: message({ leases: [1, 'repeated Lease'] }),
  DeleteLease: message({ id: [1, 'string'], sync: [2, 'bool'] }),
  Resource: message({ id: [1, 'string'], type: [2, 'string'] }),
  LeaseResource: message({ id: [1, 'string'], resource: [2, 'Resource'] }),
  ApplyDiff: message({ diff: [1, 'Descriptor'], mounts: [2, 'repeated Mount'] }),
  ApplyDiffResponse: message({ applied: [1, 'Descriptor'] }),
};

const events = {
  Envelope: message({
    timestamp: [1, 'Timestamp'],
    namespace: [2, 'string'],
    topic: [3, 'string'],
    event: [4, 'Any'],
  }),
  PublishEvent: message({ topic: [1, 'string'], event: [2, 'Any'] }),
  TaskExit: message({
    containerId: [1, 'string'],
    id: [2, 'string'],
    pid: [3, 'uint32'],
    exitStatus: [4, 'uint32'],
    exitedAt: [5, 'Timestamp'],
  }),
  TaskOom: message({ containerId: [1, 'string'] }),
};

const services: Record<string, Record<string, MethodShape>> = {
  'version.v1.Version': { Version: ['Empty', 'VersionResponse'] },
  'containers.v1.Containers': {
    Get: ['ById', 'OneContainer'],
    List: ['Filters', 'ContainerList'],
    Create: ['OneContainer', 'OneContainer'],
    Delete: ['ById', 'Empty'],
  },
  'tasks.v1.Tasks': {
    Create: ['CreateTask', 'CreateTaskResponse'],
    Start: ['ProcessKey', 'StartResponse'],
    Delete: ['TaskKey', 'DeleteResponse'],
    DeleteProcess: ['ProcessKey', 'DeleteResponse'],
    Get: ['ProcessKey', 'GetResponse'],
    List: ['ListTasks', 'ListTasksResponse'],
    Kill: ['Kill', 'Empty'],
    Exec: ['Exec', 'Empty'],
    ResizePty: ['ResizePty', 'Empty'],
    CloseIO: ['CloseIo', 'Empty'],
    Wait: ['ProcessKey', 'WaitResponse'],
  },
  'snapshots.v1.Snapshots': {
    Prepare: ['Prepare', 'Mounts'],
    View: ['Prepare', 'Mounts'],
    Mounts: ['SnapshotKey', 'Mounts'],
    Commit: ['Commit', 'Empty'],
    Remove: ['SnapshotKey', 'Empty'],
    Stat: ['SnapshotKey', 'StatSnapshot'],
    List: ['ListSnapshots', 'SnapshotList', 'response'],
  },
  'content.v1.Content': {
    Info: ['ByDigest', 'OneContent'],
    Update: ['UpdateContent', 'OneContent'],
    Read: ['ReadContent', 'ReadContentResponse', 'response'],
    Status: ['ByRef', 'StatusResponse'],
    Write: ['WriteContent', 'WriteContentResponse', 'both'],
    Abort: ['ByRef', 'Empty'],
  },
  'images.v1.Images': {
    Get: ['ByName', 'OneImage'],
    List: ['Filters', 'ImageList'],
    Create: ['OneImage', 'OneImage'],
    Update: ['UpdateImage', 'OneImage'],
    Delete: ['DeleteImage', 'Empty'],
  },
  'leases.v1.Leases': {
    Create: ['Lease', 'OneLease'],
    Delete: ['DeleteLease', 'Empty'],
    List: ['Filters', 'LeaseList'],
    AddResource: ['LeaseResource', 'Empty'],
  },
  'diff.v1.Diff': { Apply: ['ApplyDiff', 'ApplyDiffResponse'] },
  'events.v1.Events': {
    Publish: ['PublishEvent', 'Empty'],
    Subscribe: ['Filters', 'Envelope', 'response'],
  },
};

const description: InterfaceDescription = {
  package: 'shoal.containerd',
  messages: { ...common, ...containers, ...tasks, ...snapshots, ...content, ...images, ...events },
  services: Object.fromEntries(
    Object.entries(services).map(([name, methods]) => [`containerd.services.${name}`, methods]),
  ),
};

const definition = readInterface(description, {
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  objects: true,
});

export const methods = methodsOf(definition, description);

/** Reads a message that came inside an `Any`. Throws when the bytes are not such a message. */
export function decode<T>(name: 'TaskExit' | 'TaskOom', bytes: Uint8Array): T {
  const type = definition[`shoal.containerd.${name}`] as MessageTypeDefinition<object, object>;
  return type.deserialize(Buffer.from(bytes)) as T;
}

/** A message that goes inside an `Any`. */
export function encode(name: 'RuncOptions', value: { binaryName: string }): Buffer {
  const type = definition[`shoal.containerd.${name}`] as MessageTypeDefinition<object, object>;
  return type.serialize(value);
}
