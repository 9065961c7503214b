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
import { boundContainerdLog } from './containerd-log.ts';

/** containerd adds this to its socket's path for the socket that shims report to. */
const ttrpcSuffix = '.ttrpc';
const pidFile = 'containerd.pid';
const logName = 'containerd.log';
/** One that neither answers nor ends within this long after its start is ended; even a machine ten times slower needs less. */
const startTimeoutMs = 120_000;
const pollIntervalMs = 20;
/** One that takes connections and does not answer within this long is slow, not gone. */
const answerTimeoutMs = 5_000;
/** A slow one is waited for this long at a time. */
const slowWaitMs = 60_000;
/** How long a connection is left alone after one could not be made, though somebody is there. */
const slowPauseMs = 1_000;

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
  if (await answersInTime(options)) {
    if (!isReadable(configPath)) return { owned: false, pid: () => undefined, stop: () => Promise.resolve() };
    log.debug('containerd runs already', { address });
  } else {
    await start(options, configPath);
  }
  const { clock } = options;
  const path = join(options.stateDirectory, logName);
  const watching = Promise.all([
    watch(options, configPath, stopped.signal),
    boundContainerdLog({ path, clock, log, signal: stopped.signal }),
  ]);
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
  const logPath = join(stateDirectory, logName);
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
  // before it answers: a daemon that is started anew meanwhile must know that it is there
  if (child.pid !== undefined)
    await writeFile(join(runDirectory, pidFile), `${child.pid}\n`, { mode: 0o600 });
  const deadline = clock.monotonic() + startTimeoutMs;
  let reason: string | undefined;
  void ended.promise.then((said) => (reason = said));
  while ((await lookFor(options)) !== 'answers') {
    if (reason === undefined && clock.monotonic() > deadline) {
      child.kill('SIGKILL');
      reason = `it did not answer within ${startTimeoutMs} ms`;
    }
    if (reason !== undefined) {
      throw new ShoalError('unavailable', `Cannot start containerd: ${reason}`, { next: `Read ${logPath}.` });
    }
    await clock.sleep(pollIntervalMs);
  }
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
      if (signal.aborted) continue;
      const presence = await lookFor(options);
      if (presence === 'slow') await clock.sleep(slowPauseMs, signal).catch(() => undefined); // woken early: stopping
      if (presence !== 'absent') continue;
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

/**
 * What there is at containerd's socket. `slow`: somebody, who does not answer yet; a second one must not be started beside
 * it. `absent`: nobody.
 */
export type Presence = 'answers' | 'slow' | 'absent';

/** Looks once, for at most `answerTimeoutMs`. */
export async function presenceAt(address: string, clock: Clock): Promise<Presence> {
  if (!(await isListening(address))) return 'absent';
  const client = new ContainerdClient({ address, namespace: 'shoal', clock });
  try {
    await client.call('Version.Version', {}, { timeoutMs: answerTimeoutMs });
    return 'answers';
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error;
    return (await isListening(address)) ? 'slow' : 'absent';
  } finally {
    client.close();
  }
}

/** As `presenceAt`; one of our own that was started and does not listen yet is slow as well. */
async function lookFor({ address, runDirectory, clock }: ContainerdProcessOptions): Promise<Presence> {
  const presence = await presenceAt(address, clock);
  return presence === 'absent' && isContainerd(readPid(join(runDirectory, pidFile))) ? 'slow' : presence;
}

/** Whether containerd answers; false when there is none. Throws `unavailable` when there is one that does not answer. */
async function answersInTime(options: ContainerdProcessOptions): Promise<boolean> {
  const { address, clock, log } = options;
  const limit = clock.monotonic() + slowWaitMs;
  for (let attempt = 1; ; attempt++) {
    const presence = await lookFor(options);
    if (presence !== 'slow') return presence === 'answers';
    if (attempt === 1) log.warn('containerd does not answer yet', { address });
    if (clock.monotonic() > limit) {
      throw new ShoalError(
        'unavailable',
        `Cannot use containerd at ${address}: it runs and does not answer`,
        {
          next: 'See what it waits for: a full or slow disk, or a stopped process.',
        },
      );
    }
    await clock.sleep(slowPauseMs);
  }
}

/** Whether somebody listens. A socket whose queue of connections is full (EAGAIN) has a slow listener. */
function isListening(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: address });
    socket.once('connect', () => resolve(true));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
    socket.once('close', () => resolve(false)); // what was said before stands
    socket.once('connect', () => socket.destroy());
  });
}

/** Whether the process is a containerd that lives: the number in the file may be another's by now. */
function isContainerd(pid: number | undefined): boolean {
  const path = `/proc/${pid}/stat`;
  if (pid === undefined || !isReadable(path)) return false;
  return /\(containerd\) [^ZX]/.test(readFileSync(path, 'utf8'));
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
