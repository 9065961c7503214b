import { isDeepStrictEqual } from 'node:util';
import type { WebSocket } from 'ws';
import { agentReturnMs, heartbeatIntervalMs } from '../../src/spec/defaults.ts';
import type { Node, NodeDescription } from '../../src/spec/node.ts';
import { version } from '../../src/spec/version.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { Random } from '../../src/util/random.ts';
import { sessionProtocol, type AgentMessage, type StreamRequest } from '../../src/wire/session.ts';
import type { Database } from '../store/objects.ts';
import { assignmentsFor, overviewOf } from './assignments.ts';
import { ConditionWriter } from './conditions.ts';
import { planDrain } from './drain.ts';
import { Session } from './session.ts';
import { countsFromAfter, planSilence } from './silence.ts';
import { StreamBroker } from './streams.ts';
import { StatusWriter } from './writer.ts';

/** Changes that come this close together go out together. */
const coalesceMs = 2;
const helloAttemptsMax = 10;
/** How often a stream that waits for an agent to come back looks for it. */
const returnLookMs = 50;

export interface DispatcherOptions {
  database: Database;
  clock: Clock;
  random: Random;
  log: Logger;
}

export interface StreamOptions {
  /**
   * Wait for an agent that has just ended, as one does that is upgraded: as long as its node counts as ready, and
   * `agentReturnMs` at most.
   * @default false
   */
  awaitsReturn?: boolean;
}

/** What the manager's server and API need of the agents' sessions. */
export interface Dispatcher {
  start(): void;
  stop(): Promise<void>;
  /** Takes over a connection of this node's agent. An older one of the same node is closed. */
  acceptSession(socket: WebSocket, nodeId: string): void;
  /** Whether the node was asked to open this stream. */
  expectsStream(streamId: string, nodeId: string): boolean;
  acceptStream(socket: WebSocket, nodeId: string, streamId: string): void;
  /** A connection on which the node's agent serves the request, in frames. Throws `unavailable` when there is no such agent. */
  openStream(nodeId: string, request: StreamRequest, options?: StreamOptions): Promise<WebSocket>;
}

/** Agents' sessions: assignments down, status up, and nodes declared down when their agents fall silent. */
export function createDispatcher(options: DispatcherOptions): Dispatcher {
  return new SessionDispatcher(options);
}

class SessionDispatcher implements Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #lastHeard = new Map<string, number>();
  readonly #closedAt = new Map<string, number>();
  readonly #streams: StreamBroker;
  readonly #writer: StatusWriter;
  readonly #conditions: ConditionWriter;
  readonly #assigning: Loop;
  readonly #listening: Loop;
  #countsFrom = 0;
  #lastCheck = 0;
  #drained: ReadonlySet<string> = new Set();
  #waiting: ReadonlyMap<string, number> = new Map();
  #cancelLook: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;
  #stopped = false;

  constructor(options: DispatcherOptions) {
    const { clock, log, random, database } = options;
    this.#options = options;
    this.#streams = new StreamBroker(clock, random);
    this.#writer = new StatusWriter(database, clock, log);
    this.#conditions = new ConditionWriter(database, clock, log);
    this.#assigning = new Loop({
      name: 'dispatcher',
      clock,
      log,
      debounceMs: coalesceMs,
      tick: async () => this.#assign(),
    });
    this.#listening = new Loop({
      name: 'silence check',
      clock,
      log,
      intervalMs: heartbeatIntervalMs / 3,
      tick: () => this.#listen(),
    });
  }

  start(): void {
    this.#countsFrom = this.#lastCheck = this.#options.clock.now();
    this.#unsubscribe = this.#options.database.onChange(() => this.#assigning.poke());
    this.#writer.start();
    this.#conditions.start();
    this.#assigning.start();
    this.#listening.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#cancelLook?.();
    await Promise.all([this.#assigning.stop(), this.#listening.stop()]);
    for (const session of this.#sessions.values()) session.close('the manager stops');
    await Promise.all([this.#writer.stop(), this.#conditions.stop()]);
  }

  acceptSession(socket: WebSocket, nodeId: string): void {
    this.#sessions.get(nodeId)?.close('the agent has opened another one');
    const session = new Session(socket, nodeId, this.#options.log, {
      message: (session, message) => this.#receive(session, message),
      closed: (session) => {
        if (this.#sessions.get(nodeId) !== session) return;
        this.#sessions.delete(nodeId);
        this.#closedAt.set(nodeId, this.#options.clock.now());
        this.#assigning.poke();
      },
    });
    this.#sessions.set(nodeId, session);
  }

  expectsStream(streamId: string, nodeId: string): boolean {
    return this.#streams.expects(streamId, nodeId);
  }

  acceptStream(socket: WebSocket, nodeId: string, streamId: string): void {
    this.#streams.accept(streamId, nodeId, socket);
  }

  async openStream(nodeId: string, request: StreamRequest, options: StreamOptions = {}): Promise<WebSocket> {
    if (options.awaitsReturn === true) await this.#returnOf(nodeId);
    const session = this.#sessions.get(nodeId);
    if (session?.ready !== true) {
      throw new ShoalError('unavailable', `Cannot reach node ${nodeId}: its agent is not connected`, {
        next: 'See `shoal node ls`, and try again when the node is ready.',
      });
    }
    return await this.#streams.open(nodeId, (streamId) =>
      session.send({ type: 'stream', streamId, request }),
    );
  }

  /** Resolves when the node's agent is here, or is not expected any more. */
  async #returnOf(nodeId: string): Promise<void> {
    const { database, clock } = this.#options;
    const until = clock.now() + agentReturnMs;
    const isExpected = () =>
      !this.#stopped && database.view.nodes.get(nodeId)?.status.state === 'ready' && clock.now() < until;
    while (this.#sessions.get(nodeId)?.ready !== true && isExpected()) await clock.sleep(returnLookMs);
  }

  #receive(session: Session, message: AgentMessage): void {
    if (this.#sessions.get(session.nodeId) !== session) return;
    this.#lastHeard.set(session.nodeId, this.#options.clock.now());
    this.#closedAt.delete(session.nodeId);
    switch (message.type) {
      case 'heartbeat':
        return;
      case 'hello':
        this.#greet(session, message.description).catch((error: unknown) => session.close(messageOf(error)));
        return;
      case 'conditions':
        return this.#conditions.report(session.nodeId, 'agent', message.conditions);
      case 'status':
        return this.#report(session, message);
      case 'applied':
        if (session.state.applied(message.sequence) && this.#waiting.size > 0) this.#assigning.poke();
        return;
      case 'resync':
        session.wantsComplete = true;
        this.#assigning.poke();
        return;
      default:
        unreachable(message);
    }
  }

  #report(session: Session, message: Extract<AgentMessage, { type: 'status' }>): void {
    const { nodeId } = session;
    const reports = message.tasks.map(({ taskId, status }) => ({ nodeId, taskId, status }));
    try {
      this.#writer.push(reports, () => session.send({ type: 'status-ack', batch: message.batch }));
    } catch (error) {
      session.close(messageOf(error)); // it reports again when it comes back
    }
  }

  /** Stores what the node says of itself and that it is ready; only then is it sent anything. */
  async #greet(session: Session, description: NodeDescription): Promise<void> {
    const { database, clock, log } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const node = database.view.nodes.get(session.nodeId);
      if (node === undefined) throw new ShoalError('not_found', 'the node was removed from the cluster');
      if (node.status.state === 'ready' && isDeepStrictEqual(node.description, description)) break;
      const since = node.status.state === 'ready' ? node.status.since : clock.now();
      const object = { ...node, description, status: { state: 'ready' as const, since, message: '' } };
      const { conflicts } = await database.write([[{ kind: 'node', action: 'update', object }]]);
      if (conflicts === 0) break;
      if (attempt === helloAttemptsMax) throw new ShoalError('conflict', 'the node object keeps changing');
    }
    if (session.ready) return;
    log.info('node is ready', { nodeId: session.nodeId, hostname: description.hostname });
    session.send({
      type: 'welcome',
      nodeId: session.nodeId,
      heartbeatIntervalMs,
      protocol: sessionProtocol,
      version,
      at: clock.now(),
    });
    session.ready = true;
    this.#assigning.poke();
  }

  #assign(): void {
    const { database, clock, log } = this.#options;
    const { view } = database;
    const live = new Map(
      [...this.#sessions].filter(([, { ready }]) => ready).map(([nodeId, { state }]) => [nodeId, state]),
    );
    const before = { drained: this.#drained, waiting: this.#waiting };
    const { drained, waiting, overdue, againInMs } = planDrain(view, live, before, clock.now());
    for (const taskId of overdue)
      log.warn('stopping a task whose endpoint is not confirmed removed', { taskId });
    this.#drained = drained;
    this.#waiting = waiting;
    this.#cancelLook?.();
    if (againInMs !== undefined) {
      this.#cancelLook = clock.after(againInMs + 1, () => this.#assigning.poke());
    }
    const overview = overviewOf(view);
    for (const session of this.#sessions.values()) {
      if (!session.ready) continue;
      const node = view.nodes.get(session.nodeId);
      if (node === undefined) session.close('the node was removed from the cluster');
      // Declared down while its agent was just coming back: it says hello again on a new session.
      else if (node.status.state === 'down') session.close('the node was declared down');
      else session.assign(assignmentsFor(overview, session.nodeId, drained));
    }
  }

  async #listen(): Promise<void> {
    const { database, clock, log } = this.#options;
    const now = clock.now();
    this.#countsFrom = countsFromAfter(this.#countsFrom, now - this.#lastCheck, now);
    this.#lastCheck = now;
    const hearing = { lastHeard: this.#lastHeard, closedAt: this.#closedAt, countsFrom: this.#countsFrom };
    const plan = planSilence(database.view, hearing, now);
    for (const [change] of plan) {
      const { id: nodeId, status } = change!.object as Node;
      log.warn('node is down', { nodeId, why: status.message });
      this.#sessions.get(nodeId)?.close('the node is down');
    }
    // A conflict needs no care: the next check looks again.
    await database.write(plan);
  }
}
