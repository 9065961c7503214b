import { createWebSocketStream } from 'ws';
import { compareTaskStates, isTerminal, type Task } from '../../src/spec/task.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import { readFrame } from '../../src/wire/check.ts';
import { errorOf } from '../../src/wire/client.ts';
import { decodeFrame } from '../../src/wire/frames.ts';
import type { LogLine } from '../../src/wire/session.ts';
import type { ApiContext } from './context.ts';

/** How long a stream that broke is left alone before it is opened again. */
const reopenMs = 1_000;

export interface LogRequest {
  follow: boolean;
  tail?: number;
  since?: number;
  ageMs?: number;
}

/** Whether an agent can have output of the task. */
export function hasLogs(task: Task): boolean {
  return task.nodeId !== undefined && compareTaskStates(task.status.state, 'starting') >= 0;
}

/**
 * One task's lines from the node that has them. A node that cannot be reached gives one warning line instead; when the
 * caller follows, it is tried again, and goes on after the last line that came. Never throws but for the signal.
 */
export async function* taskLines(
  context: ApiContext,
  task: Task,
  request: LogRequest,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  // by place and not by time: the host's clock may have been set back
  let after: string | undefined;
  let warned = false;
  while (!signal.aborted) {
    try {
      for await (const { position, ...line } of openLines(context, task, { ...request, after }, signal)) {
        after = position ?? after;
        warned = false;
        yield line;
      }
      return;
    } catch (error) {
      if (signal.aborted) return;
      // Of a task that has ended long ago nothing may be left; that is no reason to bother anybody.
      const ended = isTerminal(context.database.view.tasks.get(task.id)?.status.state ?? 'remove');
      if (codeOf(error) === 'not_found' && ended) return;
      if (!warned) yield warningLine(context, task, error);
      warned = true;
      if (!request.follow || ended) return;
      await context.clock.sleep(reopenMs, signal).catch(() => undefined);
    }
  }
}

function warningLine(context: ApiContext, task: Task, error: unknown): LogLine {
  const hostname = context.database.view.nodes.get(task.nodeId ?? '')?.description?.hostname ?? task.nodeId;
  return {
    taskId: task.id,
    at: new Date(context.clock.now()).toISOString().replace('Z', '000000Z'),
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

async function* openLines(
  context: ApiContext,
  task: Task,
  request: LogRequest & { after: string | undefined },
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const socket = await context.agents.openStream(task.nodeId ?? '', {
    kind: 'logs',
    taskId: task.id,
    ...request,
  });
  const duplex = createWebSocketStream(socket, { readableObjectMode: true });
  const abort = () => duplex.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const message of duplex as AsyncIterable<Buffer>) {
      const { type, payload } = decodeFrame(message);
      if (type === 'log') yield lineOf(task, payload);
      if (type === 'error') throw errorOf(readFrame('error', payload));
      if (type === 'end' || type === 'exit') return;
    }
    if (request.follow) throw new ShoalError('unavailable', 'the connection to the node ended');
  } finally {
    signal.removeEventListener('abort', abort);
    duplex.destroy();
  }
}
