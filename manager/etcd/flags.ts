import { storeClientName, storeMemberCommonName } from '../../src/wire/certificates.ts';
import type { EtcdVersion } from './version.ts';

/** How a member begins; once its folder has data etcd itself ignores all of it. A new cluster has one member unless said. */
export type EtcdStart =
  | { state: 'new'; token: string; members?: readonly { name: string; peerUrl: string }[] }
  /** With exactly the members that `MemberAdd` answered: one too many or too few, and etcd exits. */
  | { state: 'existing'; members: readonly { name: string; peerUrl: string }[] }
  | { state: 'continue' };

export interface EtcdFlags {
  name: string;
  /** An IP address: members are never looked up by name. */
  address: string;
  ports: { client: number; peer: number };
  dataFolder: string;
  /** Holds what `certificateFiles` names. */
  certificates: { authority: string; certificate: string; privateKey: string };
  start: EtcdStart;
}

/** Raft's heartbeat and election timeout, in ms: a leader that is gone is replaced in half a second. */
const timing = { heartbeatMs: 50, electionMs: 300 };
/** A transaction of the contract has 1,024 changes, and a compare for each. */
const txnOpsMax = 1_200;
/** A transaction of the contract has 8 MiB, and the words around it. */
const requestBytesMax = 9 * 1024 * 1024;
/** Entries that raft keeps in memory between two snapshots. */
const snapshotCount = 10_000;
/** More data than this is refused until some is removed. */
export const quotaBytes = 4 * 1024 * 1024 * 1024;
const loopback = '127.0.0.1';

export function peerUrl(address: string, port: number): string {
  return `https://${bracketed(address)}:${port}`;
}

/** The command line of a member, without the program. */
export function etcdFlags(version: EtcdVersion, flags: EtcdFlags): string[] {
  const { name, address, ports, dataFolder, certificates, start } = flags;
  const peer = peerUrl(address, ports.peer);
  const client = peerUrl(address, ports.client);
  const own = peerUrl(loopback, ports.client);
  const settings: Record<string, string> = {
    name,
    'data-dir': dataFolder,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'listen-client-urls': address === loopback ? client : `${client},${own}`,
    'advertise-client-urls': client,
    logger: 'zap',
    'log-outputs': 'stderr',
    'enable-grpc-gateway': 'false',
    'pre-vote': 'true',
    'heartbeat-interval': String(timing.heartbeatMs),
    'election-timeout': String(timing.electionMs),
    'snapshot-count': String(snapshotCount),
    'max-txn-ops': String(txnOpsMax),
    'max-request-bytes': String(requestBytesMax),
    'quota-backend-bytes': String(quotaBytes),
    'grpc-keepalive-min-time': '500ms',
    ...tlsSettings('', certificates),
    ...tlsSettings('peer-', certificates),
    'peer-cert-allowed-cn': storeMemberCommonName,
    'client-cert-allowed-hostname': storeClientName,
    ...corruptCheck(version),
    ...startSettings(start, name, peer),
  };
  return Object.entries(settings).map(([key, value]) => `--${key}=${value}`);
}

function tlsSettings(prefix: string, { authority, certificate, privateKey }: EtcdFlags['certificates']) {
  return {
    [`${prefix}trusted-ca-file`]: authority,
    [`${prefix}cert-file`]: certificate,
    [`${prefix}key-file`]: privateKey,
    [`${prefix}client-cert-auth`]: 'true',
  };
}

/** At its start a member compares itself with the others. The flag was renamed, and 3.7 no longer knows the old name. */
function corruptCheck({ minor }: EtcdVersion): Record<string, string> {
  return minor >= 6
    ? { 'feature-gates': 'InitialCorruptCheck=true' }
    : { 'experimental-initial-corrupt-check': 'true' };
}

function startSettings(start: EtcdStart, name: string, ownUrl: string): Record<string, string> {
  if (start.state === 'continue') return {};
  const members = start.members ?? [{ name, peerUrl: ownUrl }];
  return {
    'initial-cluster': members.map((member) => `${member.name}=${member.peerUrl}`).join(','),
    'initial-cluster-state': start.state,
    ...(start.state === 'new' && { 'initial-cluster-token': start.token }),
  };
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
