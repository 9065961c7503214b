import { createWebSocketStream, type WebSocket } from 'ws';
import { systemClock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { readFrame } from '../../src/wire/check.ts';
import { errorOf } from '../../src/wire/client.ts';
import { decodeFrame, encodeFrame, type Frame } from '../../src/wire/frames.ts';
import { moveSignMs, type StreamRequest, type VolumeDifference } from '../../src/wire/session.ts';

/** A host that has said nothing for so many times the interval of its signs of life is gone, whatever its connection says. */
const missedSignsMax = 10;

/** Opens a stream to a host. */
export interface Hosts {
  openStream(nodeId: string, request: StreamRequest): Promise<WebSocket>;
}

export type PassSummary = NonNullable<VolumeDifference['summary']>;

/** What one pass is of: `from` sends what the copy that is arriving on `to` does not have. */
export interface PassRequest {
  volume: { name: string; id: string };
  from: string;
  to: string;
  /** No task has the volume: nothing may change meanwhile. */
  still: boolean;
  signal: AbortSignal;
  /** Told of bytes as they go by. */
  onBytes: (bytes: number) => void;
}

/**
 * One pass of a move: joins the connections of both hosts, which compare what they have, and one sends the difference. Gives how much
 * that was. Throws what a host says, and `unavailable` when one cannot be reached or falls silent.
 */
export async function runPass(hosts: Hosts, request: PassRequest): Promise<PassSummary> {
  const { volume, from, to, still, signal, onBytes } = request;
  const target = new Side(await opened(hosts, to, { kind: 'take-volume', ...volume }, signal));
  let source: Side | undefined;
  let failure: unknown;
  let summary: PassSummary | undefined;
  const fail = (error: unknown) => {
    failure ??= error;
    source?.close();
    target.close();
  };
  const abort = () => fail(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  let cancelWatch: (() => void) | undefined;
  const watch = () => {
    const silent = [source!, target].find((side) => side.silentMs > missedSignsMax * moveSignMs);
    if (silent !== undefined) fail(new ShoalError('unavailable', 'Cannot go on: a host fell silent'));
    else cancelWatch = systemClock.after(moveSignMs, watch);
  };
  try {
    source = new Side(await opened(hosts, from, { kind: 'send-volume', ...volume, still }, signal));
    if (signal.aborted) abort();
    watch();
    const take = ({ type, payload }: Frame) => {
      if (type === 'stdout') onBytes(payload.length);
      if (type === 'difference') summary = readFrame('difference', payload).summary ?? summary;
    };
    await Promise.all([relay(source, target, take).catch(fail), relay(target, source).catch(fail)]);
  } catch (error) {
    fail(error);
  } finally {
    cancelWatch?.();
    signal.removeEventListener('abort', abort);
    source?.close();
    target.close();
  }
  if (failure !== undefined) throw failure;
  if (summary !== undefined) return summary;
  throw new ShoalError('unavailable', 'Cannot compare both hosts: one did not say what it has');
}

/** The stream, unless the signal aborts first: a host may take long to open one. */
async function opened(
  hosts: Hosts,
  nodeId: string,
  request: StreamRequest,
  signal: AbortSignal,
): Promise<WebSocket> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  const opening = hosts.openStream(nodeId, request);
  try {
    return await Promise.race([opening, aborted.promise]);
  } catch (error) {
    opening.then((socket) => socket.terminate()).catch(() => undefined); // nobody waits for it any more
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Hands on what one side says until it has done its part: what it puts out is what the other one takes in. */
async function relay(from: Side, to: Side, take: (frame: Frame) => void = () => undefined): Promise<void> {
  for await (const frame of from.frames()) {
    take(frame);
    const { type, payload } = frame;
    if (type === 'stdout') await to.send(encodeFrame('stdin', payload));
    else if (type === 'end') await to.send(encodeFrame('end'));
    else if (type === 'difference' && payload.length > '{}'.length)
      await to.send(encodeFrame('difference', payload));
  }
}

/** The connection of one host. */
class Side {
  readonly #socket: WebSocket;
  readonly #duplex: ReturnType<typeof createWebSocketStream>;
  #heardAt = systemClock.monotonic();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.#duplex = createWebSocketStream(socket, { readableObjectMode: true });
    this.#duplex.on('error', () => undefined); // who reads it is told
  }

  get silentMs(): number {
    return systemClock.monotonic() - this.#heardAt;
  }

  /** What the host says up to its last word. Throws what it says of a failure. */
  async *frames(): AsyncGenerator<Frame> {
    for await (const message of this.#duplex as AsyncIterable<Buffer>) {
      this.#heardAt = systemClock.monotonic();
      const frame = decodeFrame(message);
      if (frame.type === 'error') throw errorOf(readFrame('error', frame.payload));
      if (frame.type === 'exit') return;
      yield frame;
    }
    throw new ShoalError('unavailable', 'Cannot go on: the connection to a host ended');
  }

  send(frame: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.send(frame, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.#duplex.destroy();
    this.#socket.terminate();
  }
}
