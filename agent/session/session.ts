import { WebSocket } from 'ws';
import type { NodeDescription } from '../../src/spec/node.ts';
import type { ReportedCondition } from '../conditions/conditions.ts';
import type { TaskStatus } from '../../src/spec/task.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, type ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { checkOpen } from '../../src/wire/check.ts';
import { name } from '../../src/wire/template-schema.ts';
import {
  sessionMessageBytesMax,
  sessionPath,
  sessionProtocol,
  streamPath,
  type StreamRequest,
} from '../../src/wire/session.ts';
import { connectLimitMs, failuresAfter, waitCeilingMs, type Attempt } from './backoff.ts';
import type { AssignmentChange, Refused } from './assignments.ts';
import { Connection, type ToldManagers } from './connection.ts';
import { handshakeMs, untakenMsMax } from './limits.ts';
import { ManagerOrder } from './manager-order.ts';
import { SocketThread } from './socket.ts';
import { StatusOutbox } from './status-outbox.ts';

/** Why a session ends that is made anew at the same manager. */
const reconnecting = 'reconnecting';

const freshAttempt = () => ({ opened: false, welcomed: false, applied: false, livedMs: 0 });

/** Characters of an id in the log that may be anything. */
const refusedIdMax = 64;

export interface Credentials {
  key: string;
  cert: string;
  ca: string;
}

export interface SessionOptions {
  /** `HOST:PORT` of the managers. */
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
  /** What this host is to be, and the managers that there are. */
  onManagers: (told: ToldManagers) => void;
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
  readonly #order = new ManagerOrder();
  #attempt: Attempt & { welcomed: boolean } = freshAttempt();

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
    this.#connection?.end(reconnecting);
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    while (!this.#stop.signal.aborted) {
      await this.#round(this.#order.of(this.#options.addresses()));
      if (this.#stop.signal.aborted) return;
      this.#failures = failuresAfter(this.#failures, this.#attempt);
      const wait = random.next() * waitCeilingMs(this.#failures, this.#attempt);
      this.#wake = new AbortController();
      const early = AbortSignal.any([this.#stop.signal, this.#wake.signal]);
      await clock.sleep(wait, early).catch(() => undefined); // ends early when stopping or told to hurry
      this.#wake = undefined;
    }
  }

  /** Tries one manager after another, without a pause, until one has greeted and that session is over. */
  async #round(addresses: readonly string[]): Promise<void> {
    const { clock, log } = this.#options;
    this.#attempt = freshAttempt();
    if (addresses.length === 0) log.warn('no session with a manager', { error: 'no manager is known' });
    for (const address of addresses) {
      if (this.#stop.signal.aborted) return;
      const startedAt = clock.monotonic();
      let reason: string | undefined;
      try {
        reason = await this.#once(address, connectLimitMs(this.#failures, addresses.length, handshakeMs));
      } catch (error) {
        log.warn('no session with the manager', { manager: address, error: messageOf(error) });
      }
      this.#attempt.livedMs = clock.monotonic() - startedAt;
      if (reason !== reconnecting) this.#order.failed(address);
      if (this.#attempt.welcomed) return;
    }
  }

  /** Gives why the session ended. */
  async #once(address: string, connectMs: number): Promise<string> {
    const { clock, log, describe, onAssignments, onStream } = this.#options;
    this.#epoch++;
    const epoch = this.#epoch;
    const description = await describe();
    const socket = this.#thread.dial({
      url: `wss://${address}${sessionPath}`,
      tls: this.#tls(),
      connectMs,
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
      onWelcome: () => {
        this.#attempt.welcomed = true;
        this.#order.worked(address);
        log.info('session with the manager', { manager: address });
      },
      onManagers: (told) => this.#options.onManagers(told),
      onRefused: (refused) => this.#refuse(refused),
      onAssignments: (change) => onAssignments(change, epoch),
      onStream: (streamId, request) => onStream(streamId, request, this.#streamDialler(address, streamId)),
    });
    this.#connection = connection;
    try {
      if (this.#stop.signal.aborted) connection.end('stopping');
      const reason = await connection.closed;
      log.info('the session with the manager ended', { manager: address, reason });
      return reason;
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

  /** Whoever asked for the stream hears of it through any manager: the one of the session first, and another at each further attempt. */
  #streamDialler(address: string, streamId: string): () => WebSocket {
    let attempts = 0;
    return () => {
      const others = this.#order.of(this.#options.addresses()).filter((other) => other !== address);
      const via = [address, ...others][attempts++ % (others.length + 1)]!;
      return this.#dialStream(`wss://${via}${streamPath}/${encodeURIComponent(streamId)}`);
    };
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
