import { networkInterfaces } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { WebSocket } from 'ws';
import { nodeSilenceMs } from '../../src/spec/defaults.ts';
import type { NodeDescription } from '../../src/spec/node.ts';
import type { ReportedCondition } from '../conditions/conditions.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { prepareOpen, readMessage } from '../../src/wire/check.ts';
import {
  managerMessages,
  sessionMessageBytesMax,
  sessionPath,
  sessionProtocol,
  streamPath,
  type AgentMessage,
  type ManagerMessage,
  type StreamRequest,
} from '../../src/wire/session.ts';
import { freshIntake, receive, type AssignmentChange, type Intake } from './assignments.ts';
import { handshakeMs, silentHeartbeatsMax, statusAckMs, welcomeMs } from './limits.ts';
import { StatusOutbox } from './status-outbox.ts';

/**
 * The wait before another attempt is between nothing and `min`, doubling up to `max`, or to `maxUnopened` while nobody
 * answers at all: a manager that is back counts silence from its start, so its agents must be back well within that.
 */
const backoffMs = { min: 100, max: 8_000, maxUnopened: nodeSilenceMs / 3 } as const;

// Compiling takes a while: at the start, and not while heartbeats are due.
prepareOpen(Object.values(managerMessages));

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
  /** A change that is complete; `epoch` counts sessions, for `applied`. */
  onAssignments: (change: AssignmentChange, epoch: number) => void;
  /** The manager wants a stream; `dial` opens the connection to carry it. */
  onStream: (streamId: string, request: StreamRequest, dial: () => WebSocket) => void;
}

/**
 * The agent's session with the managers: one WebSocket to any of them, made anew whenever it breaks (at once, then with
 * full-jitter backoff). Statuses are kept until acknowledged. Never gives up and never throws.
 */
export class AgentSession {
  readonly #options: SessionOptions;
  readonly #outbox = new StatusOutbox();
  readonly #stop = new AbortController();
  readonly #instance: string;
  #done: Promise<void> | undefined;
  #connection: Connection | undefined;
  #epoch = 0;
  #wake: AbortController | undefined;
  #failures = 0;
  /** Whether the last attempt got as far as a connection. */
  #opened = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#instance = options.random.id();
  }

  /** Whether a manager has greeted us and is heard. */
  get connected(): boolean {
    return this.#connection?.welcomed ?? false;
  }

  start(): void {
    this.#done ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the session is over'));
    this.#connection?.end('stopping');
    await this.#done;
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
    if (epoch === this.#epoch) this.#connection?.send({ type: 'applied', sequence });
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
      try {
        if (address === undefined) throw new Error('no manager is known');
        await this.#once(address);
      } catch (error) {
        log.warn('no session with the manager', { manager: address, error: messageOf(error) });
      }
      if (this.#stop.signal.aborted) return;
      const max = this.#opened ? backoffMs.max : backoffMs.maxUnopened;
      const ceiling = Math.min(max, backoffMs.min * 2 ** Math.min(this.#failures, 20));
      const wait = this.#failures === 0 ? 0 : random.next() * ceiling;
      this.#failures++;
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
    const socket = this.#dial(address, sessionPath);
    this.#opened = false;
    socket.once('open', () => (this.#opened = true));
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
      onWelcome: () => {
        this.#failures = 0;
        log.info('session with the manager', { manager: address });
      },
      onAssignments: (change) => onAssignments(change, epoch),
      onStream: (streamId, request) =>
        onStream(streamId, request, () =>
          this.#dial(address, `${streamPath}/${encodeURIComponent(streamId)}`),
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

  #dial(address: string, path: string): WebSocket {
    // ws hands the name on to TLS, though its types do not say so.
    const tls = { ...this.#options.credentials(), servername: managerServerName, rejectUnauthorized: true };
    return new WebSocket(`wss://${address}${path}`, {
      ...tls,
      perMessageDeflate: false,
      maxPayload: sessionMessageBytesMax,
      handshakeTimeout: handshakeMs,
    });
  }
}

function hasAddress(address: string | undefined): boolean {
  if (address === undefined) return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((own) => own.address === address));
}

interface ConnectionOptions {
  socket: WebSocket;
  log: Logger;
  hello: (description: NodeDescription) => AgentMessage;
  description: NodeDescription;
  describe: () => Promise<NodeDescription>;
  conditions: () => ReportedCondition[];
  outbox: StatusOutbox;
  clock: Clock;
  onWelcome: () => void;
  onAssignments: (change: AssignmentChange) => void;
  onStream: (streamId: string, request: StreamRequest) => void;
}

/** One connection from dialling to its end. */
class Connection {
  readonly closed: Promise<string>;
  readonly #options: ConnectionOptions;
  readonly #timers = new Map<string, () => void>();
  #intake: Intake = freshIntake;
  #description: NodeDescription;
  /** Whence the connection was made; undefined until it stands. */
  #localAddress: string | undefined;
  #welcomed = false;
  #heardAt: number;
  #flushing = false;
  #reason = '';
  #passedOver = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { socket, clock } = options;
    this.#description = options.description;
    this.#heardAt = clock.now();
    const { promise, resolve } = Promise.withResolvers<string>();
    this.closed = promise;
    socket.on('open', () => {
      this.#heardAt = clock.now();
      this.send(options.hello(this.#description));
      this.#timer('welcome', welcomeMs, () => this.end('the manager did not greet'));
    });
    socket.on('upgrade', ({ socket: { localAddress } }) => (this.#localAddress = localAddress));
    socket.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary));
    socket.on('pong', () => (this.#heardAt = clock.now()));
    socket.on('ping', () => (this.#heardAt = clock.now()));
    socket.on('error', (error) => (this.#reason ||= messageOf(error)));
    socket.on('close', (code, reason) => {
      this.#welcomed = false;
      for (const cancel of this.#timers.values()) cancel();
      resolve(this.#reason || reason.toString() || `closed with ${code}`);
    });
  }

  get welcomed(): boolean {
    return this.#welcomed;
  }

  send(message: AgentMessage): void {
    if (this.#options.socket.readyState !== WebSocket.OPEN) return; // what matters is sent again in the next session
    this.#options.socket.send(JSON.stringify(message));
  }

  end(reason: string): void {
    this.#reason ||= reason;
    this.#options.socket.terminate();
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
    if (!this.#welcomed) return;
    const batch = this.#options.outbox.take();
    if (!batch) return;
    this.send({ type: 'status', ...batch });
    this.#timer('ack', statusAckMs, () => this.end('the manager did not acknowledge statuses'));
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    this.#heardAt = this.#options.clock.now();
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
        this.#welcomed = true;
        this.#beat(message.heartbeatIntervalMs);
        this.#options.onWelcome();
        this.tellConditions();
        return this.flushSoon();
      }
      case 'refused':
        return this.end(`the manager refuses this host: ${message.message}`);
      case 'assignments': {
        const { intake, change, resync } = receive(this.#intake, message);
        this.#intake = intake;
        if (resync) this.send({ type: 'resync' });
        if (change) this.#options.onAssignments(change);
        return;
      }
      case 'status-ack':
        if (!this.#options.outbox.acknowledge(message.batch)) return;
        this.#cancel('ack');
        return this.flushSoon();
      case 'stream':
        return this.#options.onStream(message.streamId, message.request);
      default:
        return unreachable(message);
    }
  }

  #beat(intervalMs: number): void {
    const { clock, socket } = this.#options;
    const silentMs = clock.now() - this.#heardAt;
    if (silentMs > intervalMs * silentHeartbeatsMax) return this.end('the manager has been silent too long');
    // Nothing can come any more. Soon enough that the manager does not take the host for dead.
    if (silentMs > intervalMs && !hasAddress(this.#localAddress)) {
      return this.end(`this host does not have the address ${this.#localAddress} any more`);
    }
    this.send({ type: 'heartbeat', at: clock.now() });
    if (socket.readyState === WebSocket.OPEN) socket.ping();
    this.#timer('beat', intervalMs, () => this.#beat(intervalMs));
  }

  #timer(name: string, ms: number, callback: () => void): void {
    this.#cancel(name);
    this.#timers.set(name, this.#options.clock.after(ms, callback));
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}
