import { createWebSocketStream } from 'ws';
import { ShoalError } from '../../src/util/errors.ts';
import { readFrame } from '../../src/wire/check.ts';
import { errorOf } from '../../src/wire/client.ts';
import { decodeFrame, type Frame } from '../../src/wire/frames.ts';
import type { StreamRequest } from '../../src/wire/session.ts';
import type { AgentStreams } from './context.ts';

/**
 * Asks a host for something and gives it each frame of the answer but the last. Throws what the host answers, and `unavailable` when it
 * cannot be reached or goes away.
 */
export async function askHost(
  { agents }: { agents: Pick<AgentStreams, 'openStream'> },
  nodeId: string,
  request: StreamRequest,
  signal: AbortSignal,
  take: (frame: Frame) => void = () => undefined,
): Promise<void> {
  const socket = await agents.openStream(nodeId, request);
  const duplex = createWebSocketStream(socket, { readableObjectMode: true });
  const abort = () => duplex.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    for await (const message of duplex as AsyncIterable<Buffer>) {
      const frame = decodeFrame(message);
      if (frame.type === 'error') throw errorOf(readFrame('error', frame.payload));
      if (frame.type === 'exit') return;
      take(frame);
    }
    throw new ShoalError('unavailable', 'the connection to the host ended');
  } finally {
    signal.removeEventListener('abort', abort);
    duplex.destroy();
  }
}
