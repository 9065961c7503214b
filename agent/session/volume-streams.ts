import type { Writable } from 'node:stream';
import { createWebSocketStream, type WebSocket } from 'ws';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { decodeFrame, encodeFrame, encodeJsonFrame, type Frame } from '../../src/wire/frames.ts';
import { moveSignMs, type HostCopy, type StreamRequest } from '../../src/wire/session.ts';
import type { Archive } from '../volumes/archive.ts';
import type { Exchange } from '../volumes/transfer.ts';
import { pump, send } from './frame-pump.ts';

type Request<Kind extends StreamRequest['kind']> = Extract<StreamRequest, { kind: Kind }>;

/** What is asked of volumes in streams. */
export type VolumeRequest = Extract<StreamRequest, { kind: `${string}-volume` | 'list-volumes' }>;

/** The part of a host's volumes that managers reach by streams. */
export interface VolumeParts {
  /** Takes away what this host has of a named volume. */
  removeVolume: (name: string, id: string | undefined) => Promise<void>;
  /** What this host has of named volumes, or of one. */
  listVolumes: (name: string | undefined) => AsyncIterable<HostCopy>;
  /** A named volume as a tar stream. */
  exportVolume: (name: string) => Promise<Archive>;
  /** Makes a volume of the tar stream that is written into what `feed` is given, in place of the one that is here. */
  importVolume: (
    which: { name: string; id?: string },
    signal: AbortSignal,
    feed: (input: Writable) => void,
  ) => Promise<void>;
  /** One side of a pass of a move, and the other; and what becomes of what has arrived. */
  sendVolume: (request: Request<'send-volume'>, signal: AbortSignal, exchange: Exchange) => Promise<void>;
  takeVolume: (request: Request<'take-volume'>, signal: AbortSignal, exchange: Exchange) => Promise<void>;
  settleVolume: (request: Request<'settle-volume'>) => Promise<void>;
}

export function isVolumeRequest(request: StreamRequest): request is VolumeRequest {
  return request.kind === 'list-volumes' || request.kind.endsWith('-volume');
}

/** Does what is asked of volumes, and sends what comes of it; its caller says that it is done, or why not. */
export async function answerVolumeRequest(
  socket: WebSocket,
  request: VolumeRequest,
  parts: VolumeParts & { log: Logger },
  signal: AbortSignal,
): Promise<void> {
  let exitCode = 0;
  if (request.kind === 'remove-volume') await parts.removeVolume(request.name, request.id);
  else if (request.kind === 'settle-volume') await parts.settleVolume(request);
  else if (request.kind === 'export-volume') exitCode = await exported(socket, request.name, parts, signal);
  else if (request.kind === 'import-volume') await imported(socket, request, parts, signal);
  else if (request.kind === 'list-volumes') {
    for await (const copy of parts.listVolumes(request.name)) {
      signal.throwIfAborted();
      await send(socket, encodeJsonFrame('volume', copy));
    }
  } else {
    const { sendVolume, takeVolume } = parts;
    await exchanged(socket, signal, (exchange) =>
      request.kind === 'send-volume'
        ? sendVolume(request, signal, exchange)
        : takeVolume(request, signal, exchange),
    );
  }
  await send(socket, encodeJsonFrame('exit', { exitCode }));
}

async function exported(
  socket: WebSocket,
  name: string,
  parts: VolumeParts,
  signal: AbortSignal,
): Promise<number> {
  const archive = await parts.exportVolume(name);
  signal.addEventListener('abort', archive.kill, { once: true });
  try {
    await pump(socket, archive.output!, 'stdout');
    const { isWhole } = await archive.done;
    return isWhole ? 0 : 1;
  } finally {
    signal.removeEventListener('abort', archive.kill);
    archive.kill();
  }
}

async function imported(
  socket: WebSocket,
  which: { name: string; id?: string },
  parts: VolumeParts & { log: Logger },
  signal: AbortSignal,
): Promise<void> {
  await parts.importVolume(which, signal, (input) => {
    const take = ({ type, payload }: Frame) => {
      if (type === 'end') input.end();
      if (type !== 'stdin' || input.writableEnded || input.write(payload)) return;
      socket.pause();
      input.once('drain', () => socket.resume());
    };
    input.once('close', () => socket.resume());
    socket.on('message', (data) => {
      try {
        take(decodeFrame(data as Buffer));
      } catch (error) {
        parts.log.warn('a stream is ended: it sent what cannot be read', { error: messageOf(error) });
        socket.terminate();
      }
    });
    socket.resume();
  });
}

/** Has `work` talk with the other side, and tells that side now and then that it goes on: looking at much data is quiet work. */
async function exchanged(
  socket: WebSocket,
  signal: AbortSignal,
  work: (exchange: Exchange) => Promise<void>,
): Promise<void> {
  const duplex = createWebSocketStream(socket, { readableObjectMode: true });
  duplex.on('error', () => undefined); // what reads it is told
  const stop = new AbortController();
  const tell: Exchange['tell'] = (difference) => send(socket, encodeJsonFrame('difference', difference));
  const sign = async () => {
    for (;;) {
      await systemClock.sleep(moveSignMs, stop.signal);
      await tell({});
    }
  };
  sign().catch(() => undefined); // it was stopped, or the connection is gone, which the work is told
  const frames = async function* () {
    for await (const message of duplex.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      yield decodeFrame(message);
    }
    throw new ShoalError('unavailable', 'the connection broke');
  };
  try {
    await work({
      frames: frames(),
      tell,
      send: async (type, payload) => {
        if (typeof payload === 'string' || type === 'end') await send(socket, encodeFrame(type, payload));
        else await pump(socket, [payload], 'stdout');
      },
    });
  } finally {
    stop.abort(new Error('the pass has ended'));
  }
}
