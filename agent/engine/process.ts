import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import { checkSocketPath, ContainerdClient } from './client.ts';

/** containerd adds this to its socket's path for the socket that shims report to. */
const ttrpcSuffix = '.ttrpc';
const pidFile = 'containerd.pid';
const startTimeoutMs = 30_000;
const pollIntervalMs = 20;
const answerTimeoutMs = 2_000;

const unusedPlugins = [
  'grpc.v1.cri',
  'snapshotter.v1.aufs',
  'snapshotter.v1.btrfs',
  'snapshotter.v1.devmapper',
  'snapshotter.v1.zfs',
  'internal.v1.opt',
  'internal.v1.tracing',
  'tracing.processor.v1.otlp',
];

export interface ContainerdProcessOptions {
  /** Socket to find containerd at, or to start one on. */
  address: string;
  /** Images and containers of a containerd of our own. */
  stateDirectory: string;
  /** What it needs only while the machine is up. */
  runDirectory: string;
  /** @default `containerd`, looked for in PATH */
  binary?: string;
  clock: Clock;
  log: Logger;
}

export interface ContainerdProcess {
  /** Whether this call or an earlier daemon of ours started it; another's is never restarted. */
  owned: boolean;
  /** Process id of a containerd of our own, as its file in the run folder says. */
  pid(): number | undefined;
  /** Stops watching. containerd lives on. */
  stop(): Promise<void>;
}

/**
 * Makes sure that containerd answers at `address`: uses the one that is there, else starts one of our own that outlives
 * this process, and starts it again whenever it dies. Throws `unavailable` when neither is possible.
 */
export async function ensureContainerd(options: ContainerdProcessOptions): Promise<ContainerdProcess> {
  const { address, log } = options;
  checkSocketPath(address, ttrpcSuffix.length);
  const stopped = new AbortController();
  const configPath = join(options.stateDirectory, 'containerd.toml');
  if (await answers(options)) {
    if (!isReadable(configPath)) return { owned: false, pid: () => undefined, stop: () => Promise.resolve() };
    log.debug('containerd runs already', { address });
  } else {
    await start(options, configPath);
  }
  const watching = watch(options, configPath, stopped.signal);
  return {
    owned: true,
    pid: () => readPid(join(options.runDirectory, pidFile)),
    stop: async () => {
      stopped.abort(new Error('stopped'));
      await watching;
    },
  };
}

/** The configuration of a containerd of our own: no Kubernetes interface, no TCP socket, nothing that we do not use. */
export function containerdConfiguration(options: {
  address: string;
  stateDirectory: string;
  runDirectory: string;
}): string {
  const text = JSON.stringify; // JSON's strings are TOML's basic strings
  const unused = unusedPlugins.map((name) => `io.containerd.${name}`);
  return [
    'version = 2',
    `root = ${text(join(options.stateDirectory, 'containerd'))}`,
    `state = ${text(join(options.runDirectory, 'containerd'))}`,
    'oom_score = -999',
    `disabled_plugins = ${text(unused)}`,
    '[grpc]',
    `address = ${text(options.address)}`,
    '[debug]',
    'level = "warn"',
    '',
  ].join('\n');
}

async function start(options: ContainerdProcessOptions, configPath: string): Promise<void> {
  const { address, stateDirectory, runDirectory, clock, log, binary = 'containerd' } = options;
  if (!isInstalled(binary)) {
    throw new ShoalError('unavailable', `Cannot reach containerd at ${address}, and it is not installed`, {
      next: 'Install containerd and runc (Debian: apt-get install containerd runc), or name another socket with --engine.',
    });
  }
  for (const directory of [stateDirectory, runDirectory, dirname(address)]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }
  await writeFile(configPath, containerdConfiguration(options), { mode: 0o600 });
  const logPath = join(stateDirectory, 'containerd.log');
  const logFile = openSync(logPath, 'a', 0o600);
  const child = spawn(binary, ['--config', configPath], {
    detached: true,
    stdio: ['ignore', logFile, logFile],
  });
  closeSync(logFile);
  const ended = Promise.withResolvers<string>();
  child.once('error', (error) => ended.resolve(messageOf(error)));
  child.once('exit', (code, signal) => ended.resolve(`it ended with ${signal ?? code}`));
  child.unref();
  const deadline = clock.now() + startTimeoutMs;
  let reason: string | undefined;
  void ended.promise.then((said) => (reason = said));
  while (!(await answers(options))) {
    if (reason === undefined && clock.now() > deadline) {
      child.kill('SIGKILL');
      reason = `it did not answer within ${startTimeoutMs} ms`;
    }
    if (reason !== undefined) {
      throw new ShoalError('unavailable', `Cannot start containerd: ${reason}`, { next: `Read ${logPath}.` });
    }
    await clock.sleep(pollIntervalMs);
  }
  await writeFile(join(runDirectory, pidFile), `${child.pid}\n`, { mode: 0o600 });
  log.info('started containerd', { address, pid: child.pid });
}

/** Holds a connection open: when it breaks, containerd may be gone, and is started again if so. */
async function watch(
  options: ContainerdProcessOptions,
  configPath: string,
  signal: AbortSignal,
): Promise<void> {
  const { address, clock, log } = options;
  for (let failures = 0; !signal.aborted;) {
    try {
      if (await untilClosed(address, signal)) failures = 0;
      if (signal.aborted || (await answers(options))) continue;
      log.warn('containerd has ended, starting it again', { address });
      await start(options, configPath);
    } catch (error) {
      failures++;
      log.error('containerd could not be started', { error: messageOf(error), failures });
      await clock.sleep(backoffMs(failures, systemRandom), signal).catch(() => undefined); // woken early: stopping
    }
  }
}

/** Resolves when a connection to the socket has ended; false when none could be made. */
function untilClosed(address: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    let connected = false;
    const socket = connect({ path: address });
    socket.unref();
    const abort = () => socket.destroy();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => (connected = true));
    socket.on('error', () => socket.destroy()); // `close` follows and tells
    socket.resume();
    socket.once('close', () => {
      signal.removeEventListener('abort', abort);
      resolve(connected);
    });
  });
}

async function answers({ address, clock }: ContainerdProcessOptions): Promise<boolean> {
  const client = new ContainerdClient({ address, namespace: 'shoal', clock });
  try {
    await client.call('Version.Version', {}, { timeoutMs: answerTimeoutMs });
    return true;
  } catch (error) {
    if (error instanceof ShoalError) return false;
    throw error;
  } finally {
    client.close();
  }
}

function readPid(path: string): number | undefined {
  return isReadable(path) ? Number.parseInt(readFileSync(path, 'utf8'), 10) : undefined;
}

function isInstalled(binary: string): boolean {
  const folders = binary.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => isExecutable(folder === '' ? binary : join(folder, binary)));
}

function isExecutable(path: string): boolean {
  return can(path, constants.X_OK);
}

function isReadable(path: string): boolean {
  return can(path, constants.R_OK);
}

function can(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}
