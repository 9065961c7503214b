/** One TCP connection of a client (RFC 7766): a length before each message, answers in the order of the questions. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { RateLimiter } from '../../src/util/rate.ts';
import { framed } from './forward.ts';

/** A client that sends nothing for this long is dropped, and so is one that does not read its answers. */
const idleMs = 10_000;
/** A length prefix and the longest message there can be. */
const bufferBytesMax = 65_537;

/** One segment holds thousands of questions, and the kernel counts segments: a connection asks no faster than this, and waits. */
export const questionRate = { perSecond: 200, burst: 100 } as const;
const paceMs = 10;

/** `answer` gives nothing for what deserves no answer: the connection ends then. */
export function serveConnection(
  socket: Socket,
  clock: Clock,
  answer: (question: Buffer) => Promise<Buffer | undefined>,
): void {
  let received = Buffer.alloc(0);
  let busy = false;
  const pace = new RateLimiter(questionRate, clock);
  const expire = () => clock.after(idleMs, () => socket.destroy());
  let cancelIdle = expire();
  const next = async () => {
    if (busy) return;
    busy = true;
    // One question at a time; a client may send several before it reads.
    while (received.length >= 2 && received.length >= received.readUInt16BE(0) + 2) {
      const length = received.readUInt16BE(0);
      const question = received.subarray(2, length + 2);
      received = received.subarray(length + 2);
      await nextTurn();
      while (!pace.take()) await clock.sleep(paceMs);
      const reply = await answer(question);
      if (!reply || socket.destroyed) {
        socket.destroy();
        return;
      }
      // Who does not read gets no further answers: nothing piles up here.
      if (!socket.write(framed(reply))) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
    }
    busy = false;
    if (received.length <= bufferBytesMax) socket.resume();
  };
  socket.on('error', () => socket.destroy()); // the client went away
  socket.on('close', () => cancelIdle());
  socket.on('data', (chunk) => {
    cancelIdle();
    cancelIdle = expire();
    received = Buffer.concat([received, chunk]);
    if (received.length > bufferBytesMax) socket.pause();
    next().catch(() => socket.destroy()); // it broke while it was being written to
  });
}

/** Lets everything else have its turn: answers from memory would otherwise follow each other without one. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
