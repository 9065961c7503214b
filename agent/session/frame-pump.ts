import type { WebSocket } from 'ws';
import { encodeFrame, frameBytesMax } from '../../src/wire/frames.ts';

/** Output is cut into frames of at most this size. */
const chunkBytesMax = frameBytesMax / 4;

/** Sends all of it as frames, no faster than the connection takes them. */
export async function pump(
  socket: WebSocket,
  source: AsyncIterable<unknown> | Iterable<unknown>,
  type: 'stdout' | 'stderr',
): Promise<void> {
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk as Buffer);
    for (let at = 0; at < bytes.length; at += chunkBytesMax) {
      await send(socket, encodeFrame(type, bytes.subarray(at, at + chunkBytesMax)));
    }
  }
}

/** Resolves once the frame has been handed to the connection. */
export function send(socket: WebSocket, frame: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(frame, (error) => (error ? reject(error) : resolve()));
  });
}
