import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Clock } from '../../src/util/clock.ts';
import { errorCodes, messageOf, ShoalError, type ErrorCode } from '../../src/util/errors.ts';
import type { Logger, LogLevel } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import { backoffMs } from '../../src/util/retry.ts';
import type { ManagerProcessInfo } from '../../src/wire/api.ts';
import { processState, Pulse, silentMsMax, watchPulse, type Silence } from './pulse.ts';

/** A manager that is not ready by then, nor says what it waits for, is killed and started again. */
const readyMs = 30_000;
/** After being asked to end it is killed this much later. */
const stopMs = 5_000;

export interface ManagerProcessOptions {
  /** The program: `manager/main.ts`, or what it was compiled to. */
  entry: string;
  /** The daemon's state folder; the manager keeps to `manager` in it. */
  stateDirectory: string;
  runDirectory: string;
  logLevel: LogLevel;
  listen: { host: string; port: number };
  advertise: string;
  /** Folder with the key and the certificates of this node. */
  credentials: string;
  /** Which node this host is, and the managers it knows; undefined while it is in no cluster. */
  identity: () => { nodeId: string; managers: readonly string[] } | undefined;
  clock: Clock;
  random: Random;
  log: Logger;
  /** Called whenever it is ready to serve. */
  onReady: () => void;
  /** Takes the manager's log, line by line. */
  writeLine: (line: string) => void;
}

interface Running {
  ended: Promise<void>;
}

type ManagerIpc =
  | { type: 'ready' }
  | { type: 'alive' }
  /** It cannot serve yet, and is not stuck: `what` it waits for or does. */
  | { type: 'opening'; what: string }
  | { type: 'failed'; code: string; message: string };

/**
 * The manager as a process of its own: started again whenever it dies (at once, then with backoff), its log passed on.
 * One whose main loop does not turn any more is killed.
 * It ends with us, for it ends when its channel to us does.
 */
export class ManagerProcess {
  readonly #options: ManagerProcessOptions;
  readonly #stop = new AbortController();
  #child: ChildProcess | undefined;
  #done: Promise<void> | undefined;
  #isReady = false;
  #silence: Silence | undefined;
  #lastEnd: ManagerProcessInfo['lastEnd'];
  /** What a manager that does not serve yet waits for. */
  #opening: string | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(options: ManagerProcessOptions) {
    this.#options = options;
  }

  /** Makes a new cluster. Throws what the manager says when it cannot; then nothing runs. */
  async init(init: object): Promise<void> {
    this.#done = this.#keep(await this.#launch(['--init', JSON.stringify(init)]));
  }

  /** Keeps a manager that was made before running. */
  start(): void {
    this.#done ??= this.#keep(undefined);
  }

  /** Whether it serves, or does within so long. */
  async readyWithin(ms: number): Promise<boolean> {
    if (this.#isReady) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const cancel = this.#options.clock.after(ms, resolve);
    await promise;
    cancel();
    this.#waiting.delete(resolve);
    return this.#isReady;
  }

  info(): ManagerProcessInfo {
    const lastEnd = this.#lastEnd && { lastEnd: this.#lastEnd };
    if (!this.#isReady) {
      return {
        state: 'starting',
        ...(this.#opening !== undefined && { opening: this.#opening }),
        ...lastEnd,
      };
    }
    if (this.#silence === undefined || this.#silence.silentMs < silentMsMax)
      return { state: 'running', ...lastEnd };
    const { silentMs, excuse } = this.#silence;
    return { state: 'silent', silentMs, ...(excuse !== undefined && { excuse }), ...lastEnd };
  }

  /** Asks it to end, kills it when it does not, and resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the daemon is stopping'));
    const child = this.#child;
    if (child) {
      const cancel = this.#options.clock.after(stopMs, () => child.kill('SIGKILL'));
      child.kill('SIGTERM');
      await exitOf(child);
      cancel();
    }
    await this.#done;
  }

  async #keep(first: Running | undefined): Promise<void> {
    const { clock, random, log } = this.#options;
    let failures = 0;
    let running = first;
    while (!this.#stop.signal.aborted) {
      try {
        running ??= await this.#launch([]);
        failures = 0;
        await running.ended;
        const reason = this.#silence?.isHung
          ? 'it did not answer its daemon any more and was killed'
          : 'it ended';
        this.#ended(reason);
        if (!this.#stop.signal.aborted) log.warn('the manager process ended and is started again');
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#ended(messageOf(error));
        log.error('the manager process cannot start', { error: String(error), failures });
        failures++;
        await clock.sleep(backoffMs(failures, random), this.#stop.signal).catch(() => undefined);
      }
      running = undefined;
    }
  }

  #ended(reason: string): void {
    this.#isReady = false;
    this.#opening = undefined;
    this.#silence = undefined;
    this.#lastEnd = { at: this.#options.clock.now(), reason };
  }

  /** Resolves when it is ready, with a promise of its end. Throws when it ends or fails before that. */
  async #launch(extra: string[]): Promise<Running> {
    const { entry, stateDirectory, runDirectory, listen, advertise, clock, logLevel, writeLine } =
      this.#options;
    const { credentials, identity } = this.#options;
    const paths = ['--state', stateDirectory, '--run', runDirectory];
    const network = [
      '--listen',
      `${listen.host}:${listen.port}`,
      '--advertise',
      advertise,
      '--log-level',
      logLevel,
    ];
    const known = identity();
    const node =
      known === undefined
        ? []
        : ['--node', known.nodeId, '--credentials', credentials, '--managers', known.managers.join(',')];
    const child = fork(entry, [...paths, ...network, ...node, ...extra], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: ['--disable-warning=ExperimentalWarning'],
      serialization: 'json',
    });
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', writeLine);
    const ended = exitOf(child);
    const pulse = new Pulse();
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    const fail = (code: ErrorCode, message: string) => reject(new ShoalError(code, message));
    child.on('message', (message: ManagerIpc) => {
      if (message.type === 'ready') resolve();
      else if (message.type === 'alive') pulse.heard();
      else if (message.type === 'opening') this.#opens(message.what, arm);
      else fail(knownCode(message.code), message.message);
    });
    void ended.then(() => fail('internal', `Cannot start the manager: it ended with ${endWords(child)}`));
    let cancel = () => {};
    const arm = () => {
      cancel();
      cancel = clock.after(readyMs, () =>
        fail('deadline_exceeded', `Cannot start the manager: nothing was heard of it for ${readyMs} ms`),
      );
    };
    arm();
    try {
      await ready;
      this.#isReady = true;
      this.#opening = undefined;
      for (const resolve of this.#waiting) resolve();
      this.#options.onReady();
      this.#watch(child, pulse, ended);
      return { ended };
    } catch (error) {
      child.kill('SIGKILL');
      await ended;
      throw error;
    } finally {
      cancel();
    }
  }

  #opens(what: string, arm: () => void): void {
    if (this.#isReady) return;
    if (this.#opening !== what) this.#options.log.info('the manager does not serve yet', { what });
    this.#opening = what;
    arm();
  }

  #watch(child: ChildProcess, pulse: Pulse, ended: Promise<void>): void {
    const { clock, log } = this.#options;
    const over = new AbortController();
    void ended.then(() => over.abort());
    const process = {
      ask: () => void child.send({ type: 'are-you-alive' }, () => undefined), // one that has ended is told of elsewhere
      kill: () => void child.kill('SIGKILL'),
      state: () => processState(child.pid!),
      onLook: (silence: Silence | undefined) => {
        this.#silence = silence;
      },
    };
    void watchPulse(process, pulse, { clock, log, signal: over.signal });
  }
}

function knownCode(code: string): ErrorCode {
  return Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'internal';
}

function endWords(child: ChildProcess): string {
  return child.signalCode === null ? `exit code ${child.exitCode}` : `signal ${child.signalCode}`;
}

function exitOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve()); // it could not be started at all; `exit` does not come then
  });
}
