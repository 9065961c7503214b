import type { WebSocket } from 'ws';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { prepareOpen, readMessage } from '../../src/wire/check.ts';
import { agentMessages, type AgentMessage, type ManagerMessage } from '../../src/wire/session.ts';
import { assignmentMessages } from './messages.ts';
import { diffAssignments, type AssignmentSet } from './assignments.ts';
import { SentState } from './knowledge.ts';

/** A session that leaves this much unread is closed: the agent reconnects and gets a complete set. */
const unreadBytesMax = 32 * 1024 * 1024;

// Compiling takes a while: at the start, and not while the first agent waits.
prepareOpen(Object.values(agentMessages));

export interface SessionEvents {
  message(session: Session, message: AgentMessage): void;
  closed(session: Session): void;
}

/** One agent's connection: what was sent on it, and what its node has confirmed. */
export class Session {
  readonly nodeId: string;
  readonly state = new SentState();
  /** Set once the node's hello is stored; assignments are sent from then on. */
  ready = false;
  /** The agent asks for everything anew. */
  wantsComplete = true;
  readonly #socket: WebSocket;
  readonly #log: Logger;
  #passedOver = false;

  constructor(socket: WebSocket, nodeId: string, log: Logger, events: SessionEvents) {
    this.nodeId = nodeId;
    this.#socket = socket;
    this.#log = log.with({ nodeId });
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) return this.close('it sent a binary message');
      const incoming = readMessage(agentMessages, data);
      if (incoming.kind === 'message') events.message(this, incoming.message);
      else if (incoming.kind === 'fault') this.close(incoming.why);
      else this.#passOver(incoming.type);
    });
    socket.on('error', (error) => this.#log.debug('session failed', { error: messageOf(error) }));
    socket.on('close', () => events.closed(this));
  }

  /** Sends what turns the node's set into this one; nothing when it has it already. */
  assign(set: AssignmentSet): void {
    const nextSequence = () => this.state.nextSequence();
    if (this.wantsComplete) {
      const content = { put: [...set.values()], remove: [] };
      for (const text of assignmentMessages('complete', content, nextSequence)) this.#write(text);
      this.wantsComplete = false;
      this.state.completed(set);
      return;
    }
    const difference = diffAssignments(this.state.sent, set);
    if (difference.put.length === 0 && difference.remove.length === 0) return;
    for (const text of assignmentMessages('incremental', difference, nextSequence)) this.#write(text);
    const removed = difference.remove.filter(({ kind }) => kind === 'endpoint');
    this.state.advanced(
      set,
      removed.map(({ id }) => id),
    );
  }

  send(message: ManagerMessage): void {
    this.#write(JSON.stringify(message));
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

  #write(text: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(text);
    if (this.#socket.bufferedAmount > unreadBytesMax) this.close('it does not read what it is sent');
  }
}
