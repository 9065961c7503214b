import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultPaths, managerPort, vxlanPort } from '../../src/spec/defaults.ts';
import { ShoalError, messageOf } from '../../src/util/errors.ts';
import type { LogLevel } from '../../src/util/log.ts';

export interface DaemonOptions {
  stateDirectory: string;
  runDirectory: string;
  /** Path of the engine's socket; absent: containerd's usual one, or a containerd of our own when that does not answer. */
  engine: string | undefined;
  listen: { host: string; port: number };
  /** Absent: the address of the interface that the default route goes through. */
  advertiseAddress: string | undefined;
  dataPort: number;
  insecureRegistries: string[];
  cgroupParent: string | undefined;
  hostname: string;
  logLevel: LogLevel;
}

export const daemonHelp = `shoal daemon: runs the tasks of this host, and on a manager the manager

Usage: shoal daemon [OPTIONS]

  --state DIR              Where everything is kept (default ${defaultPaths.state})
  --run DIR                Where sockets and files in memory live (default ${defaultPaths.run})
  --engine SOCKET          containerd's socket (default ${defaultPaths.engine}; a containerd
                           of our own is started when none answers there)
  --listen ADDRESS:PORT    Where a manager listens for other hosts (default 0.0.0.0:${managerPort})
  --advertise ADDRESS      Address of this host that the other hosts reach (default: that of the default route);
                           a host that is in a cluster goes on in it with this address
  --data-port PORT         UDP port of the overlay network, the same on all hosts (default ${vxlanPort})
  --insecure-registry HOST[:PORT]
                           A registry spoken to without TLS; may be given several times
  --cgroup-parent PATH     The control group that containers are made under
  --hostname NAME          What this host is called in the cluster (default: its host name)
  --log-level LEVEL        debug, info, warn or error (default info)
  --help                   Show this

Examples:
  shoal daemon
  shoal daemon --advertise 192.168.1.10 --log-level debug
`;

const logLevels: readonly string[] = ['debug', 'info', 'warn', 'error'];

/** The options of `shoal daemon`; undefined when help was asked for. Throws `invalid_argument` for anything it does not know. */
export function parseDaemonOptions(argv: string[]): DaemonOptions | undefined {
  const values = parseValues(argv);
  if (values.help) return undefined;
  const logLevel = values['log-level'] ?? 'info';
  if (!logLevels.includes(logLevel)) {
    throw invalid(`Cannot log at level ${JSON.stringify(logLevel)}`, `Use one of ${logLevels.join(', ')}.`);
  }
  return {
    stateDirectory: resolve(values.state ?? defaultPaths.state),
    runDirectory: resolve(values.run ?? defaultPaths.run),
    engine: values.engine === undefined ? undefined : resolve(values.engine.replace(/^unix:\/\//, '')),
    listen: parseListen(values.listen ?? `0.0.0.0:${managerPort}`),
    advertiseAddress: values.advertise,
    dataPort: parsePort(values['data-port'] ?? String(vxlanPort)),
    insecureRegistries: values['insecure-registry'] ?? [],
    cgroupParent: values['cgroup-parent'],
    hostname: values.hostname ?? hostname(),
    logLevel: logLevel as LogLevel,
  };
}

function parseValues(argv: string[]) {
  try {
    const text = { type: 'string' } as const;
    return parseArgs({
      args: argv,
      allowPositionals: false,
      options: {
        state: text,
        run: text,
        engine: text,
        listen: text,
        advertise: text,
        'data-port': text,
        'insecure-registry': { type: 'string', multiple: true },
        'cgroup-parent': text,
        hostname: text,
        'log-level': text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (cause) {
    throw invalid(`Cannot start the daemon: ${messageOf(cause)}`, 'See `shoal daemon --help`.');
  }
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(\d+\.\d+\.\d+\.\d+):(\d+)$/.exec(text);
  if (!match) {
    throw invalid(
      `Cannot listen on ${JSON.stringify(text)}`,
      'Write an address and a port, such as 0.0.0.0:2377.',
    );
  }
  return { host: match[1]!, port: parsePort(match[2]!) };
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    throw invalid(`Cannot use ${JSON.stringify(text)} as a port`, 'Ports are 1 to 65535.');
  return port;
}

function invalid(message: string, next: string): ShoalError {
  return new ShoalError('invalid_argument', message, { next });
}
