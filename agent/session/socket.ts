import { EventEmitter } from 'node:events';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../src/util/errors.ts';
import type { Dial, FromThread, ToThread } from './socket-messages.ts';

/** What a thread that does next to nothing is given: the default would be sized after the machine. */
const threadMemory = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 256 };

interface SocketEvents {
  open: [];
  message: [data: Uint8Array, isBinary: boolean];
  /** Comes once, whether or not it was ever open, with why. */
  close: [reason: string];
}

/** The thread that keeps the session's connections; started with the first one, and again should it end. */
export class SocketThread {
  readonly #stalledMs: () => number;
  readonly #sockets = new Map<number, SessionSocket>();
  #worker: Worker | undefined;
  #ids = 0;
  /** Bytes of messages that came through this thread and were handled. */
  #takenBytes = 0;

  /** `stalledMs`: for how long something of the agent that is not its loop has stood still; 0 when nothing has. */
  constructor(stalledMs: () => number = () => 0) {
    this.#stalledMs = stalledMs;
  }

  /** Starts the thread, which takes a moment, before it is needed. */
  start(): void {
    this.#worker ??= this.#run();
  }

  dial(dial: Dial): SessionSocket {
    const id = ++this.#ids;
    const socket = new SessionSocket((message) => this.#worker?.postMessage({ ...message, id }));
    this.#sockets.set(id, socket);
    this.start();
    this.#post({ type: 'dial', id, dial });
    return socket;
  }

  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#closeAll('stopped');
    await worker?.terminate();
  }

  #post(message: ToThread): void {
    this.#worker?.postMessage(message);
  }

  #run(): Worker {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./socket-thread.${extension}`, import.meta.url), {
      resourceLimits: threadMemory,
    });
    worker.unref();
    let reason = 'the thread that keeps the connection has ended';
    worker.on('message', (message: FromThread) => this.#onMessage(message));
    worker.on('error', (error) => (reason += `: ${messageOf(error)}`));
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#takenBytes = 0;
      this.#closeAll(reason);
    });
    return worker;
  }

  #onMessage(message: FromThread): void {
    if (message.type === 'tick') {
      return this.#post({ type: 'tock', takenBytes: this.#takenBytes, stalledMs: this.#stalledMs() });
    }
    const socket = this.#sockets.get(message.id);
    if (message.type === 'message') {
      this.#takenBytes += message.data.length;
      socket?.emit('message', message.data, message.isBinary);
    } else if (message.type === 'open') {
      socket?.emit('open');
    } else {
      this.#sockets.delete(message.id);
      socket?.emit('close', message.reason);
    }
  }

  #closeAll(reason: string): void {
    for (const [id, socket] of this.#sockets) {
      this.#sockets.delete(id);
      socket.emit('close', reason);
    }
  }
}

type WithoutId<Message> = Message extends { id: number } ? Omit<Message, 'id'> : never;

/** A connection to a manager, kept by another thread. */
export class SessionSocket extends EventEmitter<SocketEvents> {
  readonly #post: (message: WithoutId<ToThread>) => void;

  constructor(post: (message: WithoutId<ToThread>) => void) {
    super();
    this.#post = post;
  }

  /** Does nothing unless the connection is open. */
  send(text: string): void {
    this.#post({ type: 'send', text });
  }

  /** Sends heartbeats from now on; `silenceMs` without a word from the other side end the connection. */
  beat(intervalMs: number, silenceMs: number): void {
    this.#post({ type: 'beat', intervalMs, silenceMs });
  }

  end(reason: string): void {
    this.#post({ type: 'end', reason });
  }
}
