import type { WebSocket } from 'ws';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import type { StreamRequest } from '../../src/wire/session.ts';

/** An agent that has not dialled back after this long is not going to. */
const dialBackMs = 15_000;
/** Streams of a kind asked for and not yet dialled back, over all nodes. */
const pendingMax = 1_000;

interface Pending {
  kind: StreamRequest['kind'];
  nodeId: string;
  resolve: (socket: WebSocket) => void;
  cancel: () => void;
}

/** Streams that agents were asked to open: each waits for one connection, of that node and no other. */
export class StreamBroker {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #pending = new Map<string, Pending>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Asks for a stream by `ask(streamId)` and waits for it. Throws `unavailable` when the agent does not dial back. Kinds have
   * places of their own, so that many who read logs keep nobody from running commands.
   */
  open(nodeId: string, kind: StreamRequest['kind'], ask: (streamId: string) => void): Promise<WebSocket> {
    const pending = [...this.#pending.values()].filter((other) => other.kind === kind);
    if (pending.length >= pendingMax) {
      throw new ShoalError(
        'resource_exhausted',
        `Cannot wait for more than ${pendingMax} streams of ${kind}`,
      );
    }
    const streamId = this.#random.id() + this.#random.id();
    const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
    const cancel = this.#clock.after(dialBackMs, () => {
      this.#pending.delete(streamId);
      reject(new ShoalError('unavailable', `Cannot reach node ${nodeId}: it did not open the stream`));
    });
    this.#pending.set(streamId, { kind, nodeId, resolve, cancel });
    ask(streamId);
    return promise;
  }

  /** Whether this node was asked for this stream. */
  expects(streamId: string, nodeId: string): boolean {
    return this.#pending.get(streamId)?.nodeId === nodeId;
  }

  /** A node dialled back. A stream nobody waits for any more is closed. */
  accept(streamId: string, nodeId: string, socket: WebSocket): void {
    const pending = this.#pending.get(streamId);
    if (pending?.nodeId !== nodeId) return socket.terminate();
    this.#pending.delete(streamId);
    pending.cancel();
    // Nothing may arrive before whoever waits has begun to read; a stream made of the socket resumes it.
    socket.pause();
    pending.resolve(socket);
  }
}
