import { parseArgs } from 'node:util';
import { isIP } from 'node:net';
import { ShoalError } from '../src/util/errors.ts';
import type { LogLevel } from '../src/util/log.ts';
import type { ClusterSettings } from './ca/cluster.ts';

export interface ManagerOptions {
  /** The daemon's state folder; the manager's own is `manager` in it. */
  stateFolder: string;
  runFolder: string;
  listen: { host: string; port: number };
  /** Underlay address at which agents reach this manager. */
  advertiseAddress: string;
  /** This host's own node; absent when the cluster is only being made. */
  nodeId?: string | undefined;
  /** Folder with the node's key and certificates, which may be replaced at any time; absent with `nodeId`. */
  credentialsFolder?: string | undefined;
  /** `HOST:PORT` of the managers that the host knows, this one possibly among them. */
  managerAddresses?: string[];
  /** Of its own member of etcd. @default 2379 and 2380 */
  etcdPorts?: { client: number; peer: number };
  /** Present when a cluster is to be made. */
  initialise: ClusterSettings | undefined;
  logLevel: LogLevel;
}

/** As etcd has them everywhere. */
export const etcdPortsDefault = { client: 2379, peer: 2380 };

/** The manager's command line; throws `invalid_argument`. */
export function parseManagerOptions(args: string[]): ManagerOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      state: text,
      run: text,
      listen: text,
      advertise: text,
      init: text,
      node: text,
      credentials: text,
      managers: text,
      'etcd-ports': text,
      'log-level': text,
    },
  });
  const required = (name: 'state' | 'run' | 'listen' | 'advertise') => {
    const value = values[name];
    if (value === undefined) throw invalid(`--${name} is missing`);
    return value;
  };
  return {
    stateFolder: required('state'),
    runFolder: required('run'),
    listen: parseListen(required('listen')),
    advertiseAddress: required('advertise'),
    nodeId: values.node,
    credentialsFolder: values.credentials,
    managerAddresses: parseAddresses(values.managers ?? ''),
    etcdPorts: parseEtcdPorts(values['etcd-ports'] ?? Object.values(etcdPortsDefault).join()),
    initialise: values.init === undefined ? undefined : parseSettings(values.init),
    logLevel: parseLevel(values['log-level'] ?? 'info'),
  };
}

function parseAddresses(text: string): string[] {
  const addresses = text.split(',').filter((each) => each !== '');
  const odd = addresses.find((each) => !/^[a-zA-Z0-9.-]+:\d{1,5}$/.test(each));
  if (odd !== undefined) throw invalid(`--managers ${odd} is not HOST:PORT`);
  return addresses;
}

/** `CLIENT,PEER`, for tests: members of one cluster usually have the same ports. */
function parseEtcdPorts(text: string): { client: number; peer: number } {
  const [client = 0, peer = 0, ...rest] = text.split(',').map(Number);
  const isPort = (port: number) => Number.isInteger(port) && port > 0 && port < 65_536;
  if (!isPort(client) || !isPort(peer) || client === peer || rest.length > 0) {
    throw invalid(`--etcd-ports ${text} is not CLIENT,PEER`);
  }
  return { client, peer };
}

function parseListen(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = /^\d{1,5}$/.test(text.slice(colon + 1)) ? Number(text.slice(colon + 1)) : 65_536;
  if (isIP(host) === 0 || port > 65_535) throw invalid(`--listen ${text} is not ADDRESS:PORT`);
  return { host, port };
}

function parseSettings(text: string): ClusterSettings {
  try {
    const value = JSON.parse(text) as { addressPool?: unknown; subnetPrefix?: unknown };
    const { addressPool, subnetPrefix } = value;
    const isPool = addressPool === undefined || typeof addressPool === 'string';
    const isPrefix = subnetPrefix === undefined || typeof subnetPrefix === 'number';
    if (isPool && isPrefix) return { addressPool, subnetPrefix };
  } catch {
    // Told below.
  }
  throw invalid('--init is not JSON of { addressPool, subnetPrefix }');
}

function parseLevel(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text;
  throw invalid(`--log-level ${text} is none of debug, info, warn, error`);
}

function invalid(why: string): ShoalError {
  return new ShoalError('invalid_argument', `Cannot start the manager: ${why}`);
}
