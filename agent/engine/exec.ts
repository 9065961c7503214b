import type { Readable, Writable } from 'node:stream';
import type { Socket } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { systemRandom } from '../../src/util/random.ts';
import { type ContainerdClient, grpcCodes, grpcDetails, grpcStatus, isNotFound } from './client.ts';
import type { ExecRequest, ExecSession } from './engine.ts';
import { startError } from './failures.ts';
import { execPrefix, openForReading, openForWriting, type FifoFolder } from './fifos.ts';
import { specificationText, type OciProcess } from './specification.ts';

/** Output that nobody has read this long after the process has ended is dropped. */
const drainTimeoutMs = 60_000;
const signalKill = 9;
const processTypeUrl = 'types.containerd.io/opencontainers/runtime-spec/1/Process';

interface Streams {
  names: string[];
  stdin?: Socket;
  stdout: Socket;
  stderr?: Socket;
}

/** Starts a process beside a container's own. Errors: `command_not_found`, `not_found`, `engine_failed`, `unavailable`. */
export async function startExec(options: {
  client: ContainerdClient;
  fifos: FifoFolder;
  clock: Clock;
  log: Logger;
  containerId: string;
  process: OciProcess;
  request: ExecRequest;
}): Promise<ExecSession> {
  const { client, fifos, clock, log, containerId, process, request } = options;
  const execId = `${execPrefix}${systemRandom.id()}`;
  const key = { containerId, execId };
  const streams = await openStreams(fifos, execId, request);
  const discard = async () => {
    for (const stream of [streams.stdin, streams.stdout, streams.stderr]) stream?.destroy();
    await fifos.remove(...streams.names);
  };
  const forgetProcess = async () => {
    try {
      await client.call('Tasks.DeleteProcess', key);
    } catch (error) {
      if (!isNotFound(error)) log.warn('exec left in the engine', { ...key, error: messageOf(error) });
    }
  };
  try {
    await client.call('Tasks.Exec', {
      ...key,
      stdin: streams.stdin ? fifos.path(`${execId}-stdin`) : '',
      stdout: fifos.path(`${execId}-stdout`),
      stderr: streams.stderr ? fifos.path(`${execId}-stderr`) : '',
      terminal: request.tty,
      spec: { typeUrl: processTypeUrl, value: Buffer.from(specificationText(process)) },
    });
  } catch (error) {
    await discard();
    throw execError(error, containerId, request.command);
  }
  try {
    await client.call('Tasks.Start', key);
  } catch (error) {
    await forgetProcess();
    await discard();
    throw execError(error, containerId, request.command);
  }
  // names are needed no more: both ends are open
  await fifos.remove(...streams.names);
  const kill = (signal: number) => killExec(client, key, signal);
  const exit = waitForEnd({ client, clock, key, streams, request, kill, forgetProcess, discard });
  exit.catch(() => undefined); // whoever wants to know awaits it
  if (streams.stdin) closeWhenDone(client, key, streams.stdin, log);
  return {
    ...(streams.stdin && { stdin: streams.stdin }),
    stdout: streams.stdout,
    ...(streams.stderr && { stderr: streams.stderr }),
    exit,
    kill,
    resize: async (columns, rows) => {
      await ignoreEnded(client.call('Tasks.ResizePty', { ...key, width: columns, height: rows }));
    },
  };
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

/** Waits for the process and then for its output, as far as somebody reads it. */
async function waitForEnd(options: {
  client: ContainerdClient;
  clock: Clock;
  key: { containerId: string; execId: string };
  streams: Streams;
  request: ExecRequest;
  kill: (signal: number) => Promise<void>;
  forgetProcess: () => Promise<void>;
  discard: () => Promise<void>;
}): Promise<{ exitCode: number }> {
  const { client, clock, key, streams, request, kill, forgetProcess, discard } = options;
  const closed = Promise.all([streams.stdout, streams.stderr].map((stream) => whenClosed(stream)));
  const killed = Promise.withResolvers<never>();
  killed.promise.catch(() => undefined); // raced below
  const cancelTimeout =
    request.timeoutMs === undefined
      ? undefined
      : clock.after(request.timeoutMs, () => void kill(signalKill).catch(killed.reject));
  try {
    const waiting = client.call('Tasks.Wait', key, { timeoutMs: Infinity });
    const { exitStatus } = await Promise.race([waiting, killed.promise]);
    // the shim lets go of the FIFOs now, even if a child that was left behind still writes
    await forgetProcess();
    const drained = new AbortController();
    await Promise.race([
      closed.then(() => drained.abort()),
      clock.sleep(drainTimeoutMs, drained.signal).catch(() => undefined),
    ]);
    return { exitCode: exitStatus };
  } catch (error) {
    await forgetProcess();
    throw execError(error, key.containerId, request.command);
  } finally {
    cancelTimeout?.();
    await discard();
  }
}

function whenClosed(stream: Readable | undefined): Promise<void> {
  if (!stream || stream.closed) return Promise.resolve();
  return new Promise((resolve) => stream.once('close', () => resolve()));
}

/** The shim holds standard input open as well, so it has to be told of the end. */
function closeWhenDone(
  client: ContainerdClient,
  key: { containerId: string; execId: string },
  stdin: Writable,
  log: Logger,
): void {
  stdin.on('error', (error) => log.debug('exec input ended', { ...key, error: messageOf(error) }));
  stdin.once('finish', () => {
    stdin.destroy();
    ignoreEnded(client.call('Tasks.CloseIO', { ...key, stdin: true })).catch((error: unknown) =>
      log.warn('exec input stays open', { ...key, error: messageOf(error) }),
    );
  });
}

async function killExec(
  client: ContainerdClient,
  key: { containerId: string; execId: string },
  signal: number,
): Promise<void> {
  await ignoreEnded(client.call('Tasks.Kill', { ...key, signal }));
}

async function ignoreEnded(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
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
