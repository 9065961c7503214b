import type { Readable } from 'node:stream';
import type { Socket } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { type ContainerdClient, grpcCodes, grpcDetails, grpcStatus, isNotFound } from './client.ts';
import type { ExecRequest, ExecSession } from './engine.ts';
import { startError } from './failures.ts';
import { execPrefix, openForReading, openForWriting, type FifoFolder } from './fifos.ts';
import { endOf, signalSession } from './kernel-processes.ts';
import type { ShimBudget } from './shim-budget.ts';
import { specificationText, type OciProcess } from './specification.ts';
import { ignoreMissing } from './task-state.ts';

/** Output that nobody has read this long after the process has ended is dropped. */
const drainTimeoutMs = 60_000;
/** Taking note of a command, or forgetting it, is no work for a shim. */
const answerTimeoutMs = 10_000;
const startTimeoutMs = 30_000;
/** A command that was killed and of whose end the shim says nothing for this long is looked for in the kernel. */
const killedWaitMs = 5_000;
const killAttempts = 2;
const signalKill = 9;
const killedExitCode = 128 + signalKill;
const processTypeUrl = 'types.containerd.io/opencontainers/runtime-spec/1/Process';

interface Streams {
  names: string[];
  stdin?: Socket;
  stdout: Socket;
  stderr?: Socket;
}

export interface ExecOptions {
  client: ContainerdClient;
  fifos: FifoFolder;
  budget: ShimBudget;
  clock: Clock;
  log: Logger;
  containerId: string;
  /** The name of the container's shim. */
  shim: string;
  /** Processes of the container. */
  processesOf: () => number[];
  process: OciProcess;
  request: ExecRequest;
}

interface End {
  exitCode: number;
  /** Whether the shim told of it. */
  isTold: boolean;
}

/**
 * Starts a process beside a container's own, once its shim has a place for it. Errors: `command_not_found`, `not_found`,
 * `resource_exhausted`, `deadline_exceeded`, `engine_failed`, `unavailable`.
 */
export async function startExec(options: ExecOptions): Promise<ExecSession> {
  const giveBack = await options.budget.takeExec(options.shim, options.request.purpose ?? 'command');
  try {
    const exec = new Exec(options);
    await exec.start();
    exec.ended.then(giveBack, giveBack);
    return exec.session();
  } catch (error) {
    giveBack();
    throw error;
  }
}

/** One command in a container, from its start to its end. */
class Exec {
  readonly #options: ExecOptions;
  readonly #key: { containerId: string; execId: string };
  readonly #ended = Promise.withResolvers<{ exitCode: number }>();
  #hasEnded = false;
  #streams!: Streams;
  #pid = 0;

  constructor(options: ExecOptions) {
    this.#options = options;
    this.#key = { containerId: options.containerId, execId: `${execPrefix}${systemRandom.id()}` };
    this.ended.catch(() => undefined); // whoever wants to know awaits it
  }

  get ended(): Promise<{ exitCode: number }> {
    return this.#ended.promise;
  }

  async start(): Promise<void> {
    const { client, fifos, budget, shim, containerId, process, request } = this.#options;
    const { execId } = this.#key;
    this.#streams = await openStreams(fifos, execId, request);
    const { names, stdin, stderr } = this.#streams;
    const call = {
      ...this.#key,
      stdin: stdin ? fifos.path(`${execId}-stdin`) : '',
      stdout: fifos.path(`${execId}-stdout`),
      stderr: stderr ? fifos.path(`${execId}-stderr`) : '',
      terminal: request.tty,
      spec: { typeUrl: processTypeUrl, value: Buffer.from(specificationText(process)) },
    };
    let isKnown = false;
    try {
      const { pid } = await budget.call(shim, request.purpose ?? 'command', async () => {
        await client.call('Tasks.Exec', call, { timeoutMs: answerTimeoutMs });
        isKnown = true;
        return await client.call('Tasks.Start', this.#key, { timeoutMs: startTimeoutMs });
      });
      this.#pid = pid;
    } catch (error) {
      if (isKnown) await this.#forget();
      await this.#discard();
      throw execError(error, containerId, request.command);
    }
    // names are needed no more: both ends are open
    await fifos.remove(...names);
    this.#waitForEnd().then(this.#ended.resolve, this.#ended.reject);
    if (stdin) this.#closeWhenDone(stdin);
  }

  session(): ExecSession {
    const { stdin, stdout, stderr } = this.#streams;
    return {
      ...(stdin && { stdin }),
      stdout,
      ...(stderr && { stderr }),
      exit: this.ended,
      kill: (signal) => this.#kill(signal),
      resize: async (columns, rows) => {
        const size = { width: columns, height: rows };
        await ignoreMissing(this.#options.client.call('Tasks.ResizePty', { ...this.#key, ...size }));
      },
    };
  }

  /**
   * Every process of a command is in the session that it leads, for runtimes start it so, unless it became a daemon. They
   * get the signal from us: a shim knows the first of them only. One that is not on this host gets it from its shim.
   */
  async #kill(signal: number): Promise<void> {
    if (this.#hasEnded) return;
    const { client, processesOf } = this.#options;
    if (signalSession(processesOf, this.#pid, signal) > 0) return;
    const control = { timeoutMs: answerTimeoutMs };
    await ignoreMissing(client.call('Tasks.Kill', { ...this.#key, signal }, control));
  }

  /** Waits for the process and then for its output, as far as somebody reads it. */
  async #waitForEnd(): Promise<{ exitCode: number }> {
    const { client, clock, containerId, request } = this.#options;
    const { stdout, stderr } = this.#streams;
    const closed = Promise.all([stdout, stderr].map((stream) => whenClosed(stream)));
    const stopped = new AbortController();
    try {
      const waiting = client.call('Tasks.Wait', this.#key, { timeoutMs: Infinity, signal: stopped.signal });
      const ends = [waiting.then(({ exitStatus }) => ({ exitCode: exitStatus, isTold: true }))];
      if (request.timeoutMs !== undefined) ends.push(this.#endInTime(request.timeoutMs, stopped.signal));
      const { exitCode, isTold } = await Promise.race(ends.map(quietly));
      this.#hasEnded = true;
      if (!isTold) {
        void this.#forget(); // it may take as long as the shim does
        return { exitCode };
      }
      // the shim lets go of the FIFOs now, even if a child that was left behind still writes
      await this.#forget();
      const drained = new AbortController();
      await Promise.race([
        closed.then(() => drained.abort()),
        clock.sleep(drainTimeoutMs, drained.signal).catch(() => undefined),
      ]);
      return { exitCode };
    } catch (error) {
      await this.#forget();
      throw execError(error, containerId, request.command);
    } finally {
      stopped.abort(new Error('it has ended'));
      await this.#discard();
    }
  }

  /** Ends the command after its time. Resolves with its exit code only when the kernel knows it and the shim does not say. */
  async #endInTime(timeoutMs: number, signal: AbortSignal): Promise<End> {
    const { clock, containerId } = this.#options;
    await clock.sleep(timeoutMs, signal);
    for (let attempt = 1; attempt <= killAttempts; attempt++) {
      if (endOf(this.#pid)?.exitCode === undefined) await this.#kill(signalKill);
      await clock.sleep(killedWaitMs, signal);
      const end = endOf(this.#pid);
      if (end?.exitCode !== undefined) return { exitCode: end.exitCode, isTold: false };
      if (attempt === killAttempts && end === undefined) return { exitCode: killedExitCode, isTold: false }; // nothing can end it
    }
    throw new ShoalError(
      'deadline_exceeded',
      `Cannot say how a command in ${containerId} ended: its shim does not answer`,
    );
  }

  async #forget(): Promise<void> {
    const { client, log } = this.#options;
    try {
      await client.call('Tasks.DeleteProcess', this.#key, { timeoutMs: answerTimeoutMs });
    } catch (error) {
      if (!isNotFound(error)) log.warn('exec left in the engine', { ...this.#key, error: messageOf(error) });
    }
  }

  async #discard(): Promise<void> {
    const { stdin, stdout, stderr, names } = this.#streams;
    for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    await this.#options.fifos.remove(...names);
  }

  /** The shim holds standard input open as well, so it has to be told of the end. */
  #closeWhenDone(stdin: Socket): void {
    const { client, log } = this.#options;
    stdin.on('error', (error) => log.debug('exec input ended', { ...this.#key, error: messageOf(error) }));
    stdin.once('finish', () => {
      stdin.destroy();
      ignoreMissing(client.call('Tasks.CloseIO', { ...this.#key, stdin: true })).catch((error: unknown) =>
        log.warn('exec input stays open', { ...this.#key, error: messageOf(error) }),
      );
    });
  }
}

/** It is raced: that it fails later, when another has won, is of no interest. */
function quietly<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

async function openStreams(fifos: FifoFolder, execId: string, request: ExecRequest): Promise<Streams> {
  const kinds = [
    ...(request.stdin ? ['stdin' as const] : []),
    'stdout' as const,
    ...(request.tty ? [] : ['stderr' as const]),
  ];
  const names = kinds.map((kind) => `${execId}-${kind}`);
  const paths = await Promise.all(names.map((name) => fifos.make(name)));
  const path = (kind: (typeof kinds)[number]) => paths[kinds.indexOf(kind)]!;
  const stderr = request.tty ? undefined : openForReading(path('stderr'));
  return {
    names,
    stdout: openForReading(path('stdout')),
    ...(stderr && { stderr }),
    ...(request.stdin && { stdin: openForWriting(path('stdin')) }),
  };
}

function whenClosed(stream: Readable | undefined): Promise<void> {
  if (!stream || stream.closed) return Promise.resolve();
  return new Promise((resolve) => stream.once('close', () => resolve()));
}

/** containerd's words for a container whose own process has ended. */
const doesNotRun = /cannot exec in a (?:stopped|deleted) state|process already finished/;

function execError(error: unknown, containerId: string, command: string[]): unknown {
  const code = grpcStatus(error);
  const ended = code === grpcCodes.notFound || code === grpcCodes.failedPrecondition;
  if (ended || doesNotRun.test(grpcDetails(error))) {
    return new ShoalError('not_found', `Cannot run a command in ${containerId}: it does not run`, {
      details: grpcDetails(error),
    });
  }
  return startError(error, command);
}
