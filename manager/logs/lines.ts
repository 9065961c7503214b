import { createWebSocketStream, type WebSocket } from 'ws';
import { compareTaskStates, isTerminal, type Task } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import { readFrame } from '../../src/wire/check.ts';
import { errorOf } from '../../src/wire/client.ts';
import { decodeFrame } from '../../src/wire/frames.ts';
import type { LogLine, StreamRequest } from '../../src/wire/session.ts';
import type { Database } from '../store/objects.ts';

/** A live stream is asked for a sign of life this often; one that has given none by the next time has broken. */
const pingMs = 15_000;
/** The connection ended without a goodbye (RFC 6455, section 7.1.5). */
const closedAbnormally = 1006;

/** Which lines of a task's log. */
export interface LogQuery {
  follow: boolean;
  tail?: number | undefined;
  /** Milliseconds since the epoch. */
  since?: number | undefined;
  /** The same as an age, in ms by the host's own clock. */
  ageMs?: number | undefined;
  /** Only lines after the one of this position; `tail` does not count then. */
  after?: string | undefined;
}

export interface LineParts {
  database: Database;
  clock: Clock;
  agents: { openStream(nodeId: string, request: StreamRequest): Promise<WebSocket> };
}

/** Whether an agent can have output of the task. */
export function hasLogs(task: Task): boolean {
  return task.nodeId !== undefined && compareTaskStates(task.status.state, 'starting') >= 0;
}

/** Whether the task has ended; one whose record is gone has. */
export function hasEnded(database: Database, taskId: string): boolean {
  return isTerminal(database.view.tasks.get(taskId)?.status.state ?? 'remove');
}

/**
 * What there is of one task's lines on the node that has them. A node that cannot be reached gives one warning line instead.
 * Never throws but for the signal.
 */
export async function* printedLines(
  parts: LineParts,
  task: Task,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  try {
    for await (const line of linesOfHost(parts, task, query, signal)) yield withoutPosition(line);
  } catch (error) {
    // Of a task that has ended long ago nothing may be left; that is no reason to bother anybody.
    const isNothingLeft = codeOf(error) === 'not_found' && hasEnded(parts.database, task.id);
    if (!signal.aborted && !isNothingLeft) yield warningLine(parts, task, error);
  }
}

/** A line as callers see it. */
export function withoutPosition(line: LogLine): LogLine {
  const { position: _, ...unplaced } = line;
  return unplaced;
}

/** The manager's word that lines of a task cannot be had. */
export function warningLine({ database, clock }: LineParts, task: Task, error: unknown): LogLine {
  const hostname = database.view.nodes.get(task.nodeId ?? '')?.description?.hostname ?? task.nodeId;
  return {
    taskId: task.id,
    at: new Date(clock.now()).toISOString().replace('Z', '000000Z'),
    stream: 'stderr',
    text: `no logs of ${task.serviceName}.${task.slot || hostname} on ${hostname}: ${messageOf(error)}`,
    warning: true,
  };
}

/** RFC 3339 in UTC, as agents write it. */
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

/**
 * What an agent sent as a line of the task it was asked for. Whose line it is the manager knows: an agent can neither
 * say that it is another task's nor speak as the manager. Throws for what is no line.
 */
function lineOf(task: Task, payload: Buffer): LogLine {
  const { at, stream, text, position } = readFrame('log', payload);
  const place = position === undefined ? {} : { position };
  if (timePattern.test(at)) return { taskId: task.id, at, stream, text, ...place };
  throw new ShoalError('unavailable', 'the node sent something that is not a line of a log');
}

/**
 * Lines by a stream of their own from the task's node. Ends when all that was asked for has come, and when the signal aborts;
 * what breaks before that throws, `unavailable` or what the agent says.
 */
export async function* linesOfHost(
  { agents, clock }: LineParts,
  task: Task,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  if (signal.aborted) return;
  const socket = await agents.openStream(task.nodeId ?? '', { kind: 'logs', taskId: task.id, ...query });
  let closeCode: number | undefined;
  socket.once('close', (code: number) => (closeCode = code));
  const duplex = createWebSocketStream(socket, { readableObjectMode: true });
  const abort = () => duplex.destroy();
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  const unwatch = query.follow ? watchForSilence(socket, clock) : undefined;
  try {
    for await (const message of duplex as AsyncIterable<Buffer>) {
      const { type, payload } = decodeFrame(message);
      if (type === 'log') yield lineOf(task, payload);
      if (type === 'error') throw errorOf(readFrame('error', payload));
      if (type === 'end' || type === 'exit') return;
    }
    if (signal.aborted) return;
    if (query.follow || closeCode === closedAbnormally) {
      throw new ShoalError('unavailable', 'the connection to the node ended');
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    unwatch?.();
    signal.removeEventListener('abort', abort);
    duplex.destroy();
  }
}

/** The part of a socket that is watched. */
export type WatchedSocket = Pick<WebSocket, 'isPaused' | 'ping' | 'terminate' | 'on' | 'off'>;

/**
 * Breaks a quiet connection whose other end has gone without a word: a host that lost its power says no goodbye, and a
 * log may be quiet for days. Nothing is asked of who could not be heard, for nobody reads. The returned function ends it.
 */
export function watchForSilence(socket: WatchedSocket, clock: Clock): () => void {
  let isHeard = true;
  let wasAsked = false;
  const heard = () => (isHeard = true);
  const look = () => {
    if (wasAsked && !isHeard && !socket.isPaused) return socket.terminate();
    isHeard = false;
    wasAsked = !socket.isPaused;
    if (wasAsked) socket.ping(undefined, undefined, () => undefined); // one that has broken says so by itself
    cancel = clock.after(pingMs, look);
  };
  let cancel = clock.after(pingMs, look);
  socket.on('pong', heard);
  socket.on('message', heard);
  return () => {
    cancel();
    socket.off('pong', heard);
    socket.off('message', heard);
  };
}
