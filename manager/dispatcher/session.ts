import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { RateLimiter } from '../../src/util/rate.ts';
import { prepareOpen, readMessage } from '../../src/wire/check.ts';
import {
  agentMessages,
  statusTextMax,
  type AgentMessage,
  type ManagerMessage,
} from '../../src/wire/session.ts';
import type { Recipient } from './assigner.ts';
import { Findings } from './findings.ts';
import { plainAddress } from '../ca/addresses.ts';
import type { Hello, Incumbent } from './greeting.ts';
import type { Fragment, Increment } from './fragment.ts';
import { SentState } from './knowledge.ts';
import { Outgoing, type Batch } from './messages.ts';

/** Assignments that are on their way to one agent at a time; the rest waits, not yet made. */
const unsentBytesMax = 1024 * 1024;
/** An agent that takes nothing of what waits for it for this long is cut off: it reconnects and gets a complete set. */
export const sendStallMsMax = 15_000;

/** What one agent may send. More ends its session. */
export const messageRate = { perSecond: 100, burst: 1_000 };
export const byteRate = { perSecond: 4 * 1024 * 1024, burst: 16 * 1024 * 1024 };
/** Hellos and requests for everything anew. */
export const resyncRate = { perSecond: 1, burst: 10 };
/** Status batches that were not acknowledged yet; our agents send one at a time. */
export const unacknowledgedMax = 4;
/** What a socket says when the other side's kernel knows the connection no more. */
const resets: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);
/** A session that was refused is cut off this much later at the latest. */
const refusedMsMax = 1_000;
/** Why the connection is closed, among the codes that are free for use (RFC 6455, section 7.4.2). */
const refusedCode = 4_000;

// Compiling takes a while: at the start, and not while the first agent waits.
prepareOpen(Object.values(agentMessages));

export interface SessionEvents {
  message(session: Session, message: AgentMessage): void;
  /** Something came, whatever it is. */
  heard(session: Session): void;
  /** Nothing waits to be sent any more. */
  idle(session: Session): void;
  closed(session: Session): void;
}

/** One agent's connection: what was sent on it, and what its node has confirmed. */
export class Session implements Recipient {
  readonly nodeId: string;
  /** Where its connection comes from. */
  readonly remoteAddress: string;
  /** The hello that was taken. */
  hello: Hello | undefined;
  /** Whether what it says of the host is stored; not while it changes that too often. */
  isHeeded = true;
  readonly state = new SentState();
  /** What the manager sees of the node. */
  readonly findings = new Findings();
  /** Set once the node's hello is stored; assignments are sent from then on. */
  ready = false;
  /** The agent asks for everything anew. */
  wantsComplete = true;
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #events: SessionEvents;
  readonly #outgoing = new Outgoing(() => this.state.nextSequence());
  #unsentBytes = 0;
  #progressAt: number;
  #passedOver = false;
  #isEnded = false;
  #hasLeft = false;
  #heardAt: number;
  #unacknowledged = 0;
  readonly #messages: RateLimiter;
  readonly #bytes: RateLimiter;
  readonly #resyncs: RateLimiter;

  constructor(
    socket: WebSocket,
    { nodeId, remoteAddress, transport }: { nodeId: string; remoteAddress: string; transport: Duplex },
    { clock, log }: { clock: Clock; log: Logger },
    events: SessionEvents,
  ) {
    this.nodeId = nodeId;
    this.remoteAddress = plainAddress(remoteAddress);
    this.#heardAt = clock.monotonic();
    this.#messages = new RateLimiter(messageRate, clock);
    this.#bytes = new RateLimiter(byteRate, clock);
    this.#resyncs = new RateLimiter(resyncRate, clock);
    this.#socket = socket;
    this.#clock = clock;
    this.#log = log.with({ nodeId });
    this.#events = events;
    this.#progressAt = clock.monotonic();
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (this.#isEnded || !this.#takes(data.length)) return;
      if (isBinary) return this.close('it sent a binary message');
      const incoming = readMessage(agentMessages, data);
      if (incoming.kind === 'message') this.#receive(incoming.message);
      else if (incoming.kind === 'fault') this.close(incoming.why);
      else this.#passOver(incoming.type);
    });
    transport.once('end', () => (this.#hasLeft ||= !this.#isEnded));
    transport.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (resets.has(code ?? '')) this.#hasLeft ||= !this.#isEnded;
    });
    for (const sign of ['ping', 'pong']) socket.on(sign, () => this.#takes(0));
    socket.on('error', (error) => this.#log.debug('session failed', { error: messageOf(error) }));
    socket.on('close', () => events.closed(this));
  }

  /** As one sees it who wants its place. */
  incumbent(): Incumbent | undefined {
    const silentMs = this.#clock.monotonic() - this.#heardAt;
    return this.hello && { hello: this.hello, remoteAddress: this.remoteAddress, silentMs };
  }

  /** Whether the agent's side has closed the connection, or its kernel for it: that too was heard from there. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  get isBusy(): boolean {
    return !this.#outgoing.isEmpty || this.#unsentBytes > 0;
  }

  complete(fragments: readonly Fragment[]): void {
    const numbered = (sequence: number) => this.state.completed(sequence);
    this.#push({ mode: 'complete', puts: fragments, removals: [], numbered });
  }

  advance(increment: Increment): void {
    const { puts, removals, removedEndpoints } = increment;
    const numbered = (sequence: number) => this.state.removed(removedEndpoints, sequence);
    this.#push({ mode: 'incremental', puts, removals, numbered });
  }

  send(message: ManagerMessage): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Cuts off an agent that does not read what it is sent. */
  checkProgress(): void {
    if (this.isBusy && this.#clock.monotonic() - this.#progressAt > sendStallMsMax) {
      this.close('it does not read what it is sent');
    }
  }

  /** Tells the agent why it is not taken in, and ends the connection. */
  refuse(error: unknown): void {
    const { next } = error instanceof ShoalError ? error : {};
    const message = next === undefined ? messageOf(error) : `${messageOf(error)}. ${next}`;
    this.send({ type: 'refused', code: codeOf(error), message: message.slice(0, statusTextMax) });
    this.#isEnded = true;
    this.#log.warn('session refused', { why: messageOf(error), from: this.remoteAddress });
    this.#socket.close(refusedCode);
    const cancel = this.#clock.after(refusedMsMax, () => this.#socket.terminate());
    this.#socket.once('close', cancel);
  }

  /** Ends the connection at once; the agent will come back. */
  close(why: string): void {
    this.#isEnded = true;
    this.#log.info('session closed by the manager', { why });
    this.#socket.terminate();
  }

  /** The answer to a status batch. */
  acknowledge(batch: number): void {
    this.#unacknowledged--;
    this.send({ type: 'status-ack', batch });
  }

  /** The batch could not be written: the agent is to tell it again, with what has changed meanwhile. */
  decline(batch: number): void {
    this.#unacknowledged--;
    this.send({ type: 'status-declined', batch });
  }

  /** Whether the agent may send so much now; ends the session when not. */
  #takes(bytes: number): boolean {
    this.#heardAt = this.#clock.monotonic();
    this.#events.heard(this);
    if (this.#messages.take() && (bytes === 0 || this.#bytes.take(bytes))) return true;
    this.close('it sends more than an agent may');
    return false;
  }

  #receive(message: AgentMessage): void {
    if (message.type === 'status' && ++this.#unacknowledged > unacknowledgedMax) {
      return this.close('it sends statuses faster than they are acknowledged');
    }
    if ((message.type === 'resync' || message.type === 'hello') && !this.#resyncs.take()) {
      return this.close('it asks for everything anew too often');
    }
    this.#events.message(this, message);
  }

  /** A message that only newer agents know: told once. */
  #passOver(type: string): void {
    if (!this.#passedOver) this.#log.info('messages of an unknown type are ignored', { type });
    this.#passedOver = true;
  }

  #push(batch: Batch): void {
    if (!this.isBusy) this.#progressAt = this.#clock.monotonic();
    this.#outgoing.push(batch);
    this.#pump();
  }

  #pump(): void {
    while (this.#unsentBytes < unsentBytesMax && this.#socket.readyState === this.#socket.OPEN) {
      const text = this.#outgoing.next();
      if (text === undefined) return;
      this.#unsentBytes += text.length;
      this.#socket.send(text, () => {
        this.#unsentBytes -= text.length;
        this.#progressAt = this.#clock.monotonic();
        this.#pump();
        if (!this.isBusy) this.#events.idle(this);
      });
    }
  }
}
