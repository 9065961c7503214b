import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../src/util/clock.ts';
import type { Logger } from '../src/util/log.ts';
import { certificateFiles } from '../src/wire/certificates.ts';
import { MemberHost } from './members/host.ts';
import { askManagers } from './members/join.ts';
import { openManagerStore } from './members/open.ts';
import { etcdPortsDefault, type ManagerOptions } from './options.ts';
import type { ClusterStore } from './store/cluster-store.ts';
import { openSqliteStore } from './store/sqlite.ts';

export interface OpeningOptions {
  options: ManagerOptions;
  clock: Clock;
  log: Logger;
  /** Aborts when the process is to end. */
  signal: AbortSignal;
  /** Told what it waits for, at least every few seconds, while it cannot serve. */
  onWait: (what: string) => void;
}

/** What of a manager's process is about its store: its own member of etcd, and how the store is opened. */
export function createOpening(opening: OpeningOptions): {
  host: MemberHost;
  openStore: (folder: string) => Promise<ClusterStore>;
} {
  const { options, clock, log, signal, onWait } = opening;
  const { runFolder, advertiseAddress: address, etcdPorts: ports = etcdPortsDefault } = options;
  const openEmbedded = (path: string) => openSqliteStore(path, { memoryFolder: runFolder });
  const folder = join(options.stateFolder, 'manager');
  const parts = { clock, log: log.with({ part: 'store' }) };
  const host = new MemberHost({ ...parts, folder, address, ports, openEmbedded });
  const openStore = async (path: string) =>
    await openManagerStore({
      ...parts,
      folder: path,
      ports,
      host,
      openEmbedded,
      onWait: (why) => onWait(`waits for its place among the managers: ${why}`),
      signal,
      joining: joiningOf(options),
    });
  return { host, openStore };
}

/** Only a host that is a node, and knows others that it may ask. */
function joiningOf({ nodeId, credentialsFolder, managerAddresses = [], initialise }: ManagerOptions) {
  if (nodeId === undefined || credentialsFolder === undefined || initialise !== undefined) return undefined;
  if (managerAddresses.length === 0) return undefined;
  const read = (name: string) => readFileSync(join(credentialsFolder, name), 'utf8');
  const credentials = () => ({
    ca: read(certificateFiles.authority),
    cert: read(certificateFiles.certificate),
    key: read(certificateFiles.privateKey),
  });
  return { nodeId, ask: askManagers(managerAddresses, credentials) };
}
