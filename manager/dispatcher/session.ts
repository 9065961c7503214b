import type { WebSocket } from 'ws';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { prepareOpen, readMessage } from '../../src/wire/check.ts';
import { agentMessages, type AgentMessage, type ManagerMessage } from '../../src/wire/session.ts';
import type { Recipient } from './assigner.ts';
import { Findings } from './findings.ts';
import type { Fragment, Increment } from './fragment.ts';
import { SentState } from './knowledge.ts';
import { Outgoing, type Batch } from './messages.ts';

/** Assignments that are on their way to one agent at a time; the rest waits, not yet made. */
const unsentBytesMax = 1024 * 1024;
/** An agent that takes nothing of what waits for it for this long is cut off: it reconnects and gets a complete set. */
export const sendStallMsMax = 15_000;

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

  constructor(
    socket: WebSocket,
    nodeId: string,
    { clock, log }: { clock: Clock; log: Logger },
    events: SessionEvents,
  ) {
    this.nodeId = nodeId;
    this.#socket = socket;
    this.#clock = clock;
    this.#log = log.with({ nodeId });
    this.#events = events;
    this.#progressAt = clock.monotonic();
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      events.heard(this);
      if (isBinary) return this.close('it sent a binary message');
      const incoming = readMessage(agentMessages, data);
      if (incoming.kind === 'message') events.message(this, incoming.message);
      else if (incoming.kind === 'fault') this.close(incoming.why);
      else this.#passOver(incoming.type);
    });
    socket.on('ping', () => events.heard(this));
    socket.on('pong', () => events.heard(this));
    socket.on('error', (error) => this.#log.debug('session failed', { error: messageOf(error) }));
    socket.on('close', () => events.closed(this));
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

  /** Ends the connection at once; the agent will come back. */
  close(why: string): void {
    this.#log.info('session closed by the manager', { why });
    this.#socket.terminate();
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
