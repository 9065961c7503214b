import type { WebSocket } from 'ws';
import type { Engine, ExecSession } from '../engine/engine.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Limiter } from '../../src/util/queue.ts';
import { RateLimiter } from '../../src/util/rate.ts';
import { retry } from '../../src/util/retry.ts';
import { decodeFrame, encodeJsonFrame, type Frame } from '../../src/wire/frames.ts';
import { readFrame } from '../../src/wire/check.ts';
import { connectionRate, type LogLine, type StreamRequest } from '../../src/wire/session.ts';
import type { LogQuery } from '../worker/parts.ts';
import { pump, send } from './frame-pump.ts';
import { streamsMax } from './limits.ts';
import { answerVolumeRequest, isVolumeRequest, type VolumeParts } from './volume-streams.ts';

const sigkill = 9;
/** Streams whose other side sends before it is read. */
const takesInput: ReadonlySet<StreamRequest['kind']> = new Set([
  'exec',
  'import-volume',
  'send-volume',
  'take-volume',
]);
/** Connections for streams of a kind that are made at a time. */
const dialsMax = 8;
const dialAttempts = 8;
/** Connections for logs, all together: half of what managers let through from one address, so that room is left for all others. */
const logDialRate = { perSecond: connectionRate.perSecond / 2, burst: connectionRate.burst / 2 };
/** How long one that is over that rate waits before it looks again. */
const dialPauseMs = 100;
/** How ws tells that the manager answered, and does not want this stream (any more). */
const refusedUpgrade = 'Unexpected server response';
/** RFC 6455, section 7.4.1. */
const closeNormally = 1000;

export interface StreamParts extends VolumeParts {
  engine: Engine;
  clock: Clock;
  log: Logger;
  readLogs: (taskId: string, query: LogQuery) => AsyncIterable<LogLine>;
  /** Whether the task is assigned to this host. */
  knows: (taskId: string) => boolean;
}

function eachKind<T>(make: () => T): Record<StreamRequest['kind'], T> {
  const entries = Object.keys(streamsMax).map((kind) => [kind, make()]);
  return Object.fromEntries(entries) as Record<StreamRequest['kind'], T>;
}

/**
 * Serves the streams that managers ask for: dials back, sends what was asked for as frames, and closes. Each frame waits
 * until the one before has been handed to the connection, so a slow reader slows the source and nothing piles up here.
 */
export class StreamServer {
  readonly #parts: StreamParts;
  /** By kind, so that those who read logs keep nobody from running commands, nor the reverse. */
  readonly #open = eachKind(() => new Set<WebSocket>());
  readonly #dials = eachKind(() => new Limiter(dialsMax));
  readonly #refusals = new Limiter(dialsMax);

  readonly #logDials: RateLimiter;
  readonly #stop = new AbortController();

  constructor(parts: StreamParts) {
    this.#parts = parts;
    this.#logDials = new RateLimiter(logDialRate, parts.clock);
  }

  /** Serves one stream to its end, or answers with the error that keeps it from being served. Failures go to the other side as an `error` frame. */
  async serve(request: StreamRequest | ShoalError, dial: () => WebSocket): Promise<void> {
    const { log } = this.#parts;
    if (request instanceof ShoalError) return await this.#refuse(request, dial);
    let socket: WebSocket;
    try {
      socket = await this.#connect(request, dial);
    } catch (error) {
      return log.warn('a stream cannot be opened', { kind: request.kind, error: messageOf(error) });
    }
    const open = this.#open[request.kind];
    const ended = new AbortController();
    socket.on('close', () => ended.abort(new Error('the other side has gone')));
    socket.on('error', (error) => ended.abort(error));
    try {
      open.add(socket);
      if (open.size > streamsMax[request.kind]) {
        throw new ShoalError(
          'resource_exhausted',
          `Cannot serve more than ${streamsMax[request.kind]} streams of ${request.kind} on this host`,
        );
      }
      await this.#answer(socket, request, ended.signal);
    } catch (error) {
      if (ended.signal.aborted) {
        log.debug('a stream ended early', { kind: request.kind, error: messageOf(error) });
      } else {
        await tellError(socket, error);
      }
    } finally {
      open.delete(socket);
      end(socket);
    }
  }

  async #refuse(error: ShoalError, dial: () => WebSocket): Promise<void> {
    const { clock, log } = this.#parts;
    const attempt = async () => {
      const socket = dial();
      socket.on('error', () => undefined); // followed by close
      await opened(socket);
      await tellError(socket, error);
      end(socket);
    };
    log.info('a stream is refused', { why: messageOf(error) });
    const options = { attempts: dialAttempts, clock, signal: this.#stop.signal };
    try {
      await retry(() => this.#refusals.run(attempt), options);
    } catch (failure) {
      log.warn('a stream cannot be refused', { error: messageOf(failure) });
    }
  }

  /**
   * Managers know who a connection is from when TLS stands; of those that they do not know yet they keep few from one host, and
   * close others. So few are made at a time, and one that is closed is made again.
   */
  #connect(request: StreamRequest, dial: () => WebSocket): Promise<WebSocket> {
    const { clock } = this.#parts;
    const attempt = async () => {
      while (request.kind === 'logs' && !this.#logDials.take()) {
        await clock.sleep(dialPauseMs, this.#stop.signal);
      }
      const socket = dial();
      // What comes before the command runs is left unread in the connection.
      socket.on('open', () => takesInput.has(request.kind) && socket.pause());
      await opened(socket);
      return socket;
    };
    return retry(() => this.#dials[request.kind].run(attempt), {
      attempts: dialAttempts,
      retryable: (error) => !messageOf(error).includes(refusedUpgrade),
      clock,
      signal: this.#stop.signal,
    });
  }

  /** Ends all streams. */
  close(): void {
    this.#stop.abort(new Error('the agent stops'));
    for (const open of Object.values(this.#open)) for (const socket of open) socket.terminate();
  }

  async #answer(socket: WebSocket, request: StreamRequest, signal: AbortSignal): Promise<void> {
    if (isVolumeRequest(request)) return await answerVolumeRequest(socket, request, this.#parts, signal);
    if (!this.#parts.knows(request.taskId)) {
      throw new ShoalError('not_found', `Cannot find task ${request.taskId} on its host`);
    }
    if (request.kind === 'logs') await this.#logs(socket, request, signal);
    else await this.#exec(socket, request, signal);
  }

  async #logs(
    socket: WebSocket,
    request: StreamRequest & { kind: 'logs' },
    signal: AbortSignal,
  ): Promise<void> {
    const { follow, tail, ageMs, after } = request;
    const since = request.since ?? (ageMs === undefined ? undefined : this.#parts.clock.now() - ageMs);
    const query = {
      follow,
      signal,
      ...(tail === undefined ? {} : { tail }),
      ...(since === undefined ? {} : { since }),
      ...(after === undefined ? {} : { after }),
    };
    for await (const line of this.#parts.readLogs(request.taskId, query)) {
      await send(socket, encodeJsonFrame('log', line));
      signal.throwIfAborted();
    }
  }

  async #exec(
    socket: WebSocket,
    request: StreamRequest & { kind: 'exec' },
    signal: AbortSignal,
  ): Promise<void> {
    const { command, tty, environment, user, workingDirectory, size } = request;
    const session = await this.#parts.engine.exec(request.taskId, {
      command,
      tty,
      environment: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      stdin: true,
      ...(user === undefined ? {} : { user }),
      ...(workingDirectory === undefined ? {} : { workingDirectory }),
      ...(size === undefined ? {} : { size }),
    });
    const kill = () => {
      session.kill(sigkill).catch((error: unknown) => {
        this.#parts.log.debug('a command could not be killed', { error: messageOf(error) }); // most likely it has ended
      });
    };
    if (signal.aborted) kill();
    signal.addEventListener('abort', kill, { once: true });
    session.stdin?.on('error', () => undefined); // the command may end without reading its input
    session.exit.catch(() => undefined); // it is awaited below unless the connection breaks first
    socket.on('message', (data) => {
      try {
        this.#input(socket, session, decodeFrame(data as Buffer));
      } catch (error) {
        this.#parts.log.warn('a stream is ended: it sent what cannot be read', { error: messageOf(error) });
        socket.terminate();
      }
    });
    socket.resume();
    try {
      await Promise.all([
        pump(socket, session.stdout, 'stdout'),
        session.stderr ? pump(socket, session.stderr, 'stderr') : undefined,
      ]);
      const { exitCode } = await session.exit;
      await send(socket, encodeJsonFrame('exit', { exitCode }));
    } finally {
      signal.removeEventListener('abort', kill);
      kill();
    }
  }

  #input(socket: WebSocket, session: ExecSession, frame: Frame): void {
    switch (frame.type) {
      case 'stdin': {
        const { stdin } = session;
        if (!stdin || stdin.write(frame.payload)) return;
        socket.pause();
        stdin.once('drain', () => socket.resume());
        return;
      }
      case 'end':
        session.stdin?.end();
        return;
      case 'resize': {
        const { columns, rows } = readFrame('resize', frame.payload);
        session.resize(columns, rows).catch((error: unknown) => {
          this.#parts.log.debug('a terminal could not be resized', { error: messageOf(error) });
        });
        return;
      }
      case 'stdout':
      case 'stderr':
      case 'exit':
      case 'error':
      case 'log':
      case 'volume':
      case 'difference':
        throw new ShoalError('invalid_argument', `Cannot take a ${frame.type} frame as input`);
      default:
        return unreachable(frame.type);
    }
  }
}

async function tellError(socket: WebSocket, error: unknown): Promise<void> {
  const next = error instanceof ShoalError && error.next !== undefined ? { next: error.next } : {};
  const told = encodeJsonFrame('error', { code: codeOf(error), message: messageOf(error), ...next });
  await send(socket, told).catch(() => undefined); // gone in this very moment: nobody is left to be told
}

function end(socket: WebSocket): void {
  socket.resume(); // the other side's goodbye must be read for the connection to end
  if (socket.readyState === socket.OPEN) socket.close(closeNormally);
  else socket.terminate();
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}
