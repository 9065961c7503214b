import type { ClientRequest } from 'node:http';
import { networkInterfaces } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { WebSocket } from 'ws';
import { systemClock } from '../../src/util/clock.ts';
import { keepCompiled } from '../../src/util/compile-cache.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { AgentMessage } from '../../src/wire/session.ts';
import {
  otherStalledMsMax,
  stalledMsMin,
  untakenBytesMax,
  type FromThread,
  type ToThread,
} from './socket-messages.ts';

/**
 * A thread of its own that keeps the session's connection, so that the manager hears of a host whose agent's loop stands
 * still: heartbeats go out here, and say for how long it has. Knows nothing of what the session is about.
 */

const port = parentPort!;
const connections = new Map<number, Kept>();
/** When the agent was asked for a sign of life that it has not given yet (monotonic ms). */
let askedAt: number | undefined;
/** How long something else of the agent stood still, as of when it said so. */
let told = { stalledMs: 0, at: 0 };
let givenBytes = 0;
let takenBytes = 0;

function post(message: FromThread, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** How long the agent has stood still; 0 when it has not for long enough to speak of. */
function stalledMs(): number {
  const now = systemClock.monotonic();
  const loop = askedAt === undefined ? 0 : now - askedAt;
  const other = told.stalledMs === 0 ? 0 : Math.min(otherStalledMsMax, told.stalledMs + now - told.at);
  const longest = Math.round(Math.max(loop, other));
  return longest < stalledMsMin ? 0 : longest;
}

function ask(): void {
  if (askedAt !== undefined) return;
  askedAt = systemClock.monotonic();
  post({ type: 'tick' });
}

function hasAddress(address: string | undefined): boolean {
  if (address === undefined) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((own) => own.address === address));
}

/** One connection from dialling to its end. */
class Kept {
  readonly #id: number;
  readonly #socket: WebSocket;
  #reason = '';
  #heardAt = systemClock.monotonic();
  /** Whence the connection was made; undefined until it stands. */
  #localAddress: string | undefined;
  #cancelBeat: (() => void) | undefined;

  constructor({ id, dial }: ToThread & { type: 'dial' }) {
    this.#id = id;
    // ws hands the name on to TLS, though its types do not say so.
    const tls = { ...dial.tls, rejectUnauthorized: true };
    const socket = new WebSocket(dial.url, {
      ...tls,
      perMessageDeflate: false,
      maxPayload: dial.payloadBytesMax,
      handshakeTimeout: dial.handshakeMs,
      finishRequest: (request) => {
        this.#limitConnect(request, dial.connectMs);
        request.end();
      },
    });
    this.#socket = socket;
    const heard = () => (this.#heardAt = systemClock.monotonic());
    socket.on('open', () => {
      heard();
      post({ type: 'open', id });
    });
    socket.on('upgrade', ({ socket: { localAddress } }) => (this.#localAddress = localAddress));
    socket.on('ping', heard);
    socket.on('pong', heard);
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      heard();
      this.#give(data, isBinary);
    });
    socket.on('error', (error) => (this.#reason ||= messageOf(error)));
    socket.on('close', (code, reason) => {
      this.#cancelBeat?.();
      connections.delete(id);
      post({ type: 'closed', id, reason: this.#reason || reason.toString() || `closed with ${code}` });
    });
  }

  /** A manager that has gone without a word is given up before one that only takes long to answer. */
  #limitConnect(request: ClientRequest, connectMs: number): void {
    const cancel = systemClock.after(connectMs, () => this.end(`no connection within ${connectMs} ms`));
    request.once('socket', (socket) => socket.once('secureConnect', cancel));
    request.once('close', cancel);
  }

  send(text: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  end(reason: string): void {
    this.#reason ||= reason;
    this.#socket.terminate();
  }

  beat(intervalMs: number, silenceMs: number): void {
    this.#cancelBeat?.();
    const silentMs = systemClock.monotonic() - this.#heardAt;
    if (silentMs > silenceMs) return this.end('the manager has been silent too long');
    // Nothing can come any more. Soon enough that the manager does not take the host for dead.
    if (silentMs > intervalMs && !hasAddress(this.#localAddress)) {
      return this.end(`this host does not have the address ${this.#localAddress} any more`);
    }
    const stalled = stalledMs();
    const heartbeat: AgentMessage = {
      type: 'heartbeat',
      at: systemClock.now(),
      ...(stalled > 0 && { stalledMs: stalled }),
    };
    this.send(JSON.stringify(heartbeat));
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping();
    ask();
    this.#cancelBeat = systemClock.after(intervalMs, () => this.beat(intervalMs, silenceMs));
  }

  #give(data: Buffer, isBinary: boolean): void {
    givenBytes += data.length;
    if (givenBytes - takenBytes > untakenBytesMax) return this.end('the agent takes nothing in any more');
    const copy = new Uint8Array(data);
    post({ type: 'message', id: this.#id, data: copy, isBinary }, [copy.buffer]);
  }
}

port.on('message', (message: ToThread) => {
  switch (message.type) {
    case 'dial':
      connections.set(message.id, new Kept(message));
      return;
    case 'send':
      return connections.get(message.id)?.send(message.text);
    case 'beat':
      return connections.get(message.id)?.beat(message.intervalMs, message.silenceMs);
    case 'end':
      return connections.get(message.id)?.end(message.reason);
    case 'tock':
      askedAt = undefined;
      takenBytes = message.takenBytes;
      told = { stalledMs: message.stalledMs, at: systemClock.monotonic() };
  }
});

keepCompiled();
