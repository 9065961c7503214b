import { isDeepStrictEqual } from 'node:util';
import type { NodeDescription } from '../../src/spec/node.ts';
import type { ReportedCondition } from '../conditions/conditions.ts';
import { version } from '../../src/spec/version.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { checkOpen, prepareOpen, readMessage, wordsOf } from '../../src/wire/check.ts';
import {
  managerMessages,
  sessionProtocol,
  streamRequest,
  type AgentMessage,
  type ManagerMessage,
  type StreamRequest,
} from '../../src/wire/session.ts';
import { freshIntake, receive, sound } from './assignments.ts';
import type { AssignmentChange, BadTemplates, Intake, Refused } from './assignments.ts';
import { declinedPauseMs, silentHeartbeatsMax, statusAckMs, welcomeMs } from './limits.ts';
import type { SessionSocket } from './socket.ts';
import type { StatusOutbox } from './status-outbox.ts';

/** After a deadline this long more: when the loop stood still, what was to come in time may be waiting to be read. */
const readMs = 500;

// Compiling takes a while: at the start, and not while heartbeats are due.
prepareOpen([...Object.values(managerMessages), streamRequest]);

export type ToldManagers = Omit<Extract<ManagerMessage, { type: 'managers' }>, 'type'>;

interface ConnectionOptions {
  socket: SessionSocket;
  log: Logger;
  hello: (description: NodeDescription) => AgentMessage;
  description: NodeDescription;
  describe: () => Promise<NodeDescription>;
  conditions: () => ReportedCondition[];
  outbox: StatusOutbox;
  clock: Clock;
  onWelcome: () => void;
  onRefused: (refused: Refused) => void;
  onManagers: (told: ToldManagers) => void;
  onAssignments: (change: AssignmentChange) => void;
  onStream: (streamId: string, request: StreamRequest | ShoalError) => void;
}

/** One connection from dialling to its end. */
export class Connection {
  readonly closed: Promise<string>;
  readonly #options: ConnectionOptions;
  readonly #timers = new Map<string, () => void>();
  #intake: Intake = freshIntake;
  #badTemplates: BadTemplates = new Map();
  #description: NodeDescription;
  #welcomed = false;
  #flushing = false;
  #declined = false;
  #passedOver = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { socket } = options;
    this.#description = options.description;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.closed = promise;
    socket.on('open', () => {
      this.send(options.hello(this.#description));
      this.#deadline('welcome', welcomeMs, 'the manager did not greet');
    });
    socket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    socket.on('close', (reason) => {
      this.#welcomed = false;
      for (const cancel of this.#timers.values()) cancel();
      resolve(reason);
    });
  }

  get welcomed(): boolean {
    return this.#welcomed;
  }

  /** Lost unless the connection is open: what matters is sent again in the next session. */
  send(message: AgentMessage): void {
    this.#options.socket.send(JSON.stringify(message));
  }

  end(reason: string): void {
    this.#options.socket.end(reason);
  }

  /** Sends what waits, once everything that happens in this turn of the event loop has happened. */
  flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Sends another hello when the host is described otherwise now than in the last one. */
  async tellDescription(): Promise<void> {
    const description = await this.#options.describe();
    if (isDeepStrictEqual(description, this.#description)) return;
    this.#description = description; // while there is no hello yet, it goes out with that
    this.send(this.#options.hello(description));
  }

  /** Sends the host's conditions, once the manager has greeted. */
  tellConditions(): void {
    if (this.#welcomed) this.send({ type: 'conditions', conditions: this.#options.conditions() });
  }

  #flush(): void {
    if (!this.#welcomed || this.#timers.has('pause')) return;
    const batch = this.#options.outbox.take(this.#options.clock.monotonic());
    if (!batch) return;
    this.send({ type: 'status', ...batch });
    this.#deadline('ack', statusAckMs, 'the manager did not acknowledge statuses');
  }

  #onMessage(data: Uint8Array, isBinary: boolean): void {
    try {
      if (isBinary) throw new Error('a binary message in a session');
      const incoming = readMessage(managerMessages, data);
      if (incoming.kind === 'message') this.#handle(incoming.message);
      else if (incoming.kind === 'fault') this.end(incoming.why);
      else this.#passOver(incoming.type);
    } catch (error) {
      this.end(`a message that cannot be handled: ${messageOf(error)}`);
    }
  }

  /** A message that only newer managers send: told once. */
  #passOver(type: string): void {
    if (!this.#passedOver) this.#options.log.info('messages of an unknown type are ignored', { type });
    this.#passedOver = true;
  }

  #handle(message: ManagerMessage): void {
    switch (message.type) {
      case 'welcome': {
        this.#cancel('welcome');
        if (message.protocol < sessionProtocol) {
          return this.end(
            `the manager is older than this host and cannot be followed: Shoal ${message.version}`,
          );
        }
        this.#welcomed = true;
        this.#beat(message.heartbeatIntervalMs);
        this.#options.onWelcome();
        this.tellConditions();
        return this.flushSoon();
      }
      case 'refused':
        return this.end(`the manager refuses this host: ${message.message}`);
      case 'assignments': {
        const { put, refused, bad } = sound(message.put, this.#badTemplates);
        this.#badTemplates = bad;
        for (const each of refused) this.#options.onRefused(each);
        const { intake, change, resync } = receive(this.#intake, { ...message, put });
        this.#intake = intake;
        if (resync) this.send({ type: 'resync' });
        if (change) this.#options.onAssignments(change);
        return;
      }
      case 'managers':
        return this.#options.onManagers({ role: message.role, addresses: message.addresses });
      case 'status-ack':
        if (!this.#options.outbox.acknowledge(message.batch)) return;
        this.#cancel('ack');
        this.#declined = false;
        return this.flushSoon();
      case 'status-declined':
        if (this.#options.outbox.declined(message.batch)) this.#pause();
        return;
      case 'stream':
        return this.#open(message);
      default:
        return unreachable(message);
    }
  }

  #open({ streamId, request }: Extract<ManagerMessage, { type: 'stream' }>): void {
    const checked = checkOpen<StreamRequest>(streamRequest, request);
    if (checked.fault === undefined) return this.#options.onStream(streamId, checked.value);
    const why = `Cannot serve what was asked of the host: ${wordsOf(checked.fault)}`;
    const next = `The host runs Shoal ${version}: upgrade whichever is older, the host or the manager.`;
    this.#options.onStream(streamId, new ShoalError('not_supported', why, { next }));
  }

  /** The manager is left alone with statuses for a while. */
  #pause(): void {
    this.#cancel('ack');
    if (!this.#declined) this.#options.log.warn('the manager cannot write statuses now: they are told again');
    this.#declined = true;
    const goOn = () => {
      this.#timers.delete('pause');
      this.#flush();
    };
    this.#timers.set('pause', this.#options.clock.after(declinedPauseMs, goOn));
  }

  #beat(intervalMs: number): void {
    this.#options.socket.beat(intervalMs, intervalMs * silentHeartbeatsMax);
  }

  #deadline(name: string, ms: number, reason: string): void {
    this.#cancel(name);
    const { clock } = this.#options;
    const patient = () =>
      void this.#timers.set(
        name,
        clock.after(readMs, () => this.end(reason)),
      );
    this.#timers.set(name, clock.after(ms, patient));
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}
