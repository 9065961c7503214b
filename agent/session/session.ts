import { isDeepStrictEqual } from 'node:util';
import { WebSocket } from 'ws';
import type { NodeDescription } from '../../src/spec/node.ts';
import type { ReportedCondition } from '../conditions/conditions.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import { version } from '../../src/spec/version.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { checkOpen, prepareOpen, readMessage, wordsOf } from '../../src/wire/check.ts';
import { name } from '../../src/wire/template-schema.ts';
import {
  managerMessages,
  sessionMessageBytesMax,
  sessionPath,
  sessionProtocol,
  streamPath,
  streamRequest,
  type AgentMessage,
  type ManagerMessage,
  type StreamRequest,
} from '../../src/wire/session.ts';
import { failuresAfter, waitCeilingMs, type Attempt } from './backoff.ts';
import { freshIntake, receive, sound } from './assignments.ts';
import type { AssignmentChange, BadTemplates, Intake, Refused } from './assignments.ts';
import {
  declinedPauseMs,
  handshakeMs,
  silentHeartbeatsMax,
  statusAckMs,
  untakenMsMax,
  welcomeMs,
} from './limits.ts';
import { SocketThread, type SessionSocket } from './socket.ts';
import { StatusOutbox } from './status-outbox.ts';

/** After a deadline this long more: when the loop stood still, what was to come in time may be waiting to be read. */
const readMs = 500;

// Compiling takes a while: at the start, and not while heartbeats are due.
prepareOpen([...Object.values(managerMessages), streamRequest]);

/** Characters of an id in the log that may be anything. */
const refusedIdMax = 64;

export interface Credentials {
  key: string;
  cert: string;
  ca: string;
}

export interface SessionOptions {
  /** `HOST:PORT` of the managers, in the order in which to try them. */
  addresses: () => string[];
  credentials: () => Credentials;
  describe: () => Promise<NodeDescription>;
  /** Tells this host from others that have the same certificate. */
  host: string;
  /** What is wrong with the host now. */
  conditions: () => ReportedCondition[];
  clock: Clock;
  random: Random;
  log: Logger;
  /** A change that is complete; `epoch` counts sessions, for `applied`. What it throws ends the session. */
  onAssignments: (change: AssignmentChange, epoch: number) => void;
  /** For how long something of the agent beside its loop has stood still, such as the disk of its state; 0: nothing has. */
  stalledMs: () => number;
  /** The manager wants a stream, or one that this host does not know, which is to be answered with the error; `dial` opens the connection to carry it. */
  onStream: (streamId: string, request: StreamRequest | ShoalError, dial: () => WebSocket) => void;
}

/**
 * The agent's session with the managers: one WebSocket to any of them, made anew whenever it breaks, with full-jitter
 * backoff unless it was of use. A thread of its own keeps it and sends the heartbeats. Statuses are kept until acknowledged. Never gives up and never throws.
 */
export class AgentSession {
  readonly #options: SessionOptions;
  readonly #outbox = new StatusOutbox();
  readonly #stop = new AbortController();
  readonly #instance: string;
  readonly #thread: SocketThread;
  #done: Promise<void> | undefined;
  #connection: Connection | undefined;
  #epoch = 0;
  #wake: AbortController | undefined;
  #failures = 0;
  #attempt: Attempt = { opened: false, applied: false, livedMs: 0 };

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#instance = options.random.id();
    this.#thread = new SocketThread(() => options.stalledMs());
  }

  /** Whether a manager has greeted us and is heard. */
  get connected(): boolean {
    return this.#connection?.welcomed ?? false;
  }

  /** Whether a manager is heard that takes what it is told. */
  get heeded(): boolean {
    return this.connected && this.#outbox.untakenMs(this.#options.clock.monotonic()) < untakenMsMax;
  }

  start(): void {
    this.#thread.start();
    this.#done ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the session is over'));
    this.#connection?.end('stopping');
    await this.#done;
    await this.#thread.stop();
  }

  /** A task's latest status, to be told as soon as may be. */
  report(taskId: string, status: TaskStatus): void {
    this.#outbox.put(taskId, status);
    this.#connection?.flushSoon();
  }

  /** The host is not what was said of it in the hello: it is said again. */
  descriptionChanged(): void {
    this.#connection?.tellDescription().catch((error: unknown) => {
      this.#connection?.end(`the host cannot be described: ${messageOf(error)}`);
    });
  }

  /** The host's conditions are others now. */
  conditionsChanged(): void {
    this.#connection?.tellConditions();
  }

  /** Whether no manager is known to have the task's latest status. */
  isUntold(taskId: string): boolean {
    return this.#outbox.has(taskId);
  }

  /** Nothing more is to be told of the task. */
  drop(taskId: string): void {
    this.#outbox.drop(taskId);
  }

  /** The kernel matches what session `epoch` said up to `sequence`. Of no interest to any other session. */
  applied(epoch: number, sequence: number): void {
    if (epoch !== this.#epoch) return;
    this.#attempt.applied = true;
    this.#connection?.send({ type: 'applied', sequence });
  }

  /** A manager is known to be there now: the next attempt is made at once. */
  hurry(): void {
    this.#failures = 0;
    this.#wake?.abort(new Error('a manager is there'));
  }

  /** Ends the connection, so that the next one is made with new certificates. */
  reconnect(): void {
    this.#connection?.end('reconnecting');
  }

  async #run(): Promise<void> {
    const { clock, random, log } = this.#options;
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const addresses = this.#options.addresses();
      const address = addresses[turn % Math.max(1, addresses.length)];
      const startedAt = clock.monotonic();
      this.#attempt = { opened: false, applied: false, livedMs: 0 };
      try {
        if (address === undefined) throw new Error('no manager is known');
        await this.#once(address);
      } catch (error) {
        log.warn('no session with the manager', { manager: address, error: messageOf(error) });
      }
      if (this.#stop.signal.aborted) return;
      this.#attempt.livedMs = clock.monotonic() - startedAt;
      this.#failures = failuresAfter(this.#failures, this.#attempt);
      const wait = random.next() * waitCeilingMs(this.#failures, this.#attempt);
      this.#wake = new AbortController();
      const early = AbortSignal.any([this.#stop.signal, this.#wake.signal]);
      await clock.sleep(wait, early).catch(() => undefined); // ends early when stopping or told to hurry
      this.#wake = undefined;
    }
  }

  async #once(address: string): Promise<void> {
    const { clock, log, describe, onAssignments, onStream } = this.#options;
    this.#epoch++;
    const epoch = this.#epoch;
    const description = await describe();
    const socket = this.#thread.dial({
      url: `wss://${address}${sessionPath}`,
      tls: this.#tls(),
      handshakeMs,
      payloadBytesMax: sessionMessageBytesMax,
    });
    socket.once('open', () => (this.#attempt.opened = true));
    const connection = new Connection({
      socket,
      description,
      describe,
      log,
      hello: (description) => ({
        type: 'hello',
        protocol: sessionProtocol,
        at: clock.now(),
        instance: this.#instance,
        host: this.#options.host,
        description,
      }),
      conditions: this.#options.conditions,
      outbox: this.#outbox,
      clock,
      onWelcome: () => log.info('session with the manager', { manager: address }),
      onRefused: (refused) => this.#refuse(refused),
      onAssignments: (change) => onAssignments(change, epoch),
      onStream: (streamId, request) =>
        onStream(streamId, request, () =>
          this.#dialStream(`wss://${address}${streamPath}/${encodeURIComponent(streamId)}`),
        ),
    });
    this.#connection = connection;
    try {
      if (this.#stop.signal.aborted) connection.end('stopping');
      const reason = await connection.closed;
      log.info('the session with the manager ended', { manager: address, reason });
    } finally {
      this.#connection = undefined;
      this.#outbox.lost();
    }
  }

  /** Something that the manager tells cannot be acted on. Of a task it is told back. */
  #refuse({ kind, id, why }: Refused): void {
    const { clock, log } = this.#options;
    log.warn('an assignment is refused', { kind, id: id.slice(0, refusedIdMax), why });
    if (kind !== 'task' || checkOpen(name, id).fault !== undefined) return;
    const message = `its host cannot use what it was told: ${why}`;
    const error = { code: 'invalid_argument', message };
    this.report(id, { state: 'rejected', at: clock.now(), message, error });
  }

  #tls() {
    return { ...this.#options.credentials(), servername: managerServerName };
  }

  #dialStream(url: string): WebSocket {
    // ws hands the name on to TLS, though its types do not say so.
    const tls = { ...this.#tls(), rejectUnauthorized: true };
    return new WebSocket(url, {
      ...tls,
      perMessageDeflate: false,
      maxPayload: sessionMessageBytesMax,
      handshakeTimeout: handshakeMs,
    });
  }
}

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
  onAssignments: (change: AssignmentChange) => void;
  onStream: (streamId: string, request: StreamRequest | ShoalError) => void;
}

/** One connection from dialling to its end. */
class Connection {
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
