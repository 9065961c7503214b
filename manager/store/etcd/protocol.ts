import { message, methodsOf, readInterface, type InterfaceDescription } from '../../../src/util/protobuf.ts';

/** The part of etcd's gRPC API (3.4 and later) that the store uses. */
const description: InterfaceDescription = {
  package: 'shoal.etcd',
  messages: {
    Header: message({
      clusterId: [1, 'uint64'],
      memberId: [2, 'uint64'],
      revision: [3, 'int64'],
      term: [4, 'uint64'],
    }),
    KeyValue: message({ key: [1, 'bytes'], modRevision: [3, 'int64'], value: [5, 'bytes'] }),
    Range: message({
      key: [1, 'bytes'],
      rangeEnd: [2, 'bytes'],
      limit: [3, 'int64'],
      revision: [4, 'int64'],
      serializable: [7, 'bool'],
      keysOnly: [8, 'bool'],
    }),
    RangeAnswer: message({ header: [1, 'Header'], kvs: [2, 'repeated KeyValue'], more: [3, 'bool'] }),
    Put: message({ key: [1, 'bytes'], value: [2, 'bytes'] }),
    PutAnswer: message({ header: [1, 'Header'] }),
    DeleteRange: message({ key: [1, 'bytes'], rangeEnd: [2, 'bytes'] }),
    DeleteAnswer: message({ header: [1, 'Header'] }),
    Compare: message({
      result: [1, 'int32'],
      target: [2, 'int32'],
      key: [3, 'bytes'],
      modRevision: [6, 'int64'],
    }),
    Operation: message({ range: [1, 'Range'], put: [2, 'Put'], delete: [3, 'DeleteRange'] }),
    OperationAnswer: message({ range: [1, 'RangeAnswer'] }),
    Txn: message({
      compares: [1, 'repeated Compare'],
      success: [2, 'repeated Operation'],
      failure: [3, 'repeated Operation'],
    }),
    TxnAnswer: message({
      header: [1, 'Header'],
      succeeded: [2, 'bool'],
      answers: [3, 'repeated OperationAnswer'],
    }),
    Compact: message({ revision: [1, 'int64'] }),
    CompactAnswer: message({ header: [1, 'Header'] }),
    WatchRequest: message({ create: [1, 'WatchCreate'] }),
    WatchCreate: message({
      key: [1, 'bytes'],
      rangeEnd: [2, 'bytes'],
      startRevision: [3, 'int64'],
      progressNotify: [4, 'bool'],
      fragment: [8, 'bool'],
    }),
    Event: message({ type: [1, 'int32'], kv: [2, 'KeyValue'] }),
    WatchAnswer: message({
      header: [1, 'Header'],
      created: [3, 'bool'],
      canceled: [4, 'bool'],
      compactRevision: [5, 'int64'],
      cancelReason: [6, 'string'],
      fragment: [7, 'bool'],
      events: [11, 'repeated Event'],
    }),
    Status: message({}),
    StatusAnswer: message({
      header: [1, 'Header'],
      version: [2, 'string'],
      dbSize: [3, 'int64'],
      leader: [4, 'uint64'],
      raftIndex: [5, 'uint64'],
      raftAppliedIndex: [7, 'uint64'],
      dbSizeInUse: [9, 'int64'],
      isLearner: [10, 'bool'],
    }),
    Defragment: message({}),
    DefragmentAnswer: message({ header: [1, 'Header'] }),
    Alarm: message({ action: [1, 'int32'], memberId: [2, 'uint64'], alarm: [3, 'int32'] }),
    AlarmMember: message({ memberId: [1, 'uint64'], alarm: [2, 'int32'] }),
    AlarmAnswer: message({ header: [1, 'Header'], alarms: [2, 'repeated AlarmMember'] }),
    Hash: message({ revision: [1, 'int64'] }),
    HashAnswer: message({ header: [1, 'Header'], hash: [2, 'uint32'], compactRevision: [3, 'int64'] }),
    MoveLeader: message({ target: [1, 'uint64'] }),
    MoveLeaderAnswer: message({ header: [1, 'Header'] }),
    MemberList: message({}),
    Member: message({
      id: [1, 'uint64'],
      name: [2, 'string'],
      peerUrls: [3, 'repeated string'],
      clientUrls: [4, 'repeated string'],
      isLearner: [5, 'bool'],
    }),
    MemberListAnswer: message({ header: [1, 'Header'], members: [2, 'repeated Member'] }),
    MemberAdd: message({ peerUrls: [1, 'repeated string'], isLearner: [2, 'bool'] }),
    MemberAddAnswer: message({
      header: [1, 'Header'],
      member: [2, 'Member'],
      members: [3, 'repeated Member'],
    }),
    MemberId: message({ id: [1, 'uint64'] }),
    MembersAnswer: message({ header: [1, 'Header'] }),
  },
  services: {
    'etcdserverpb.KV': {
      Range: ['Range', 'RangeAnswer'],
      DeleteRange: ['DeleteRange', 'DeleteAnswer'],
      Txn: ['Txn', 'TxnAnswer'],
      Compact: ['Compact', 'CompactAnswer'],
    },
    'etcdserverpb.Watch': { Watch: ['WatchRequest', 'WatchAnswer', 'both'] },
    'etcdserverpb.Maintenance': {
      Status: ['Status', 'StatusAnswer'],
      MoveLeader: ['MoveLeader', 'MoveLeaderAnswer'],
      Defragment: ['Defragment', 'DefragmentAnswer'],
      Alarm: ['Alarm', 'AlarmAnswer'],
      HashKV: ['Hash', 'HashAnswer'],
    },
    'etcdserverpb.Cluster': {
      MemberList: ['MemberList', 'MemberListAnswer'],
      MemberAdd: ['MemberAdd', 'MemberAddAnswer'],
      MemberRemove: ['MemberId', 'MembersAnswer'],
      MemberPromote: ['MemberId', 'MembersAnswer'],
    },
  },
};

// Ids of members use all 64 bits, so whole numbers come as text; revisions stay below 2^53.
const definition = readInterface(description, { longs: String, defaults: true, arrays: true, objects: true });

export const methods = methodsOf(definition, description);

export interface Header {
  clusterId: string;
  memberId: string;
  revision: string;
}

export interface KeyValue {
  key: Buffer;
  modRevision: string;
  value: Buffer;
}

export interface RangeAnswer {
  header: Header;
  kvs: KeyValue[];
  more: boolean;
}

export interface RangeRequest {
  key: Buffer;
  rangeEnd?: Buffer;
  limit?: number;
  revision?: number;
  keysOnly?: boolean;
  /** From the member's own data, whether or not it hears of the others. */
  serializable?: boolean;
}

export interface Operation {
  range?: RangeRequest;
  put?: { key: Buffer; value: Buffer };
  delete?: { key: Buffer };
}

/** `result` and `target`: EQUAL and MOD in etcd's rpc.proto. */
export interface ModCompare {
  result: 0;
  target: 2;
  key: Buffer;
  modRevision: number;
}

export interface TxnAnswer {
  header: Header;
  succeeded: boolean;
  answers: { range: RangeAnswer | null }[];
}

export interface WatchAnswer {
  header: Header;
  created: boolean;
  canceled: boolean;
  compactRevision: string;
  cancelReason: string;
  fragment: boolean;
  /** `type` 1: a delete. */
  events: { type: number; kv: KeyValue }[];
}

export interface Member {
  id: string;
  /** Empty until it has been started for the first time. */
  name: string;
  peerUrls: string[];
  clientUrls: string[];
  isLearner: boolean;
}

/** What each call takes and gives. */
export interface Calls {
  'KV.Range': [RangeRequest, RangeAnswer];
  'KV.Txn': [{ compares: ModCompare[]; success: Operation[]; failure: Operation[] }, TxnAnswer];
  'KV.Compact': [{ revision: number }, object];
  'KV.DeleteRange': [{ key: Buffer; rangeEnd: Buffer }, object];
  'Maintenance.Status': [
    object,
    {
      header: Header;
      version: string;
      leader: string;
      raftIndex: string;
      raftAppliedIndex: string;
      isLearner: boolean;
      dbSize: string;
      dbSizeInUse: string;
    },
  ];
  'Maintenance.MoveLeader': [{ target: string }, object];
  'Maintenance.Defragment': [object, object];
  /** Of everything up to that revision and from the one to which the past is gone. */
  'Maintenance.HashKV': [{ revision: number }, { hash: number; compactRevision: string }];
  /** `action`: 0 asks, 2 ends an alarm. `alarm`: 1 is that of space. */
  'Maintenance.Alarm': [
    { action: 0 | 2; memberId: string; alarm: 0 | 1 },
    { alarms: { memberId: string; alarm: number }[] },
  ];
  'Cluster.MemberList': [object, { members: Member[] }];
  'Cluster.MemberAdd': [
    { peerUrls: string[]; isLearner: boolean },
    { member: Member | null; members: Member[] },
  ];
  'Cluster.MemberRemove': [{ id: string }, object];
  'Cluster.MemberPromote': [{ id: string }, object];
}
