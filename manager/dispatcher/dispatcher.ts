import { isDeepStrictEqual } from 'node:util';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { agentReturnMs, heartbeatIntervalMs, nodeSilenceMs } from '../../src/spec/defaults.ts';
import { nameToKeep } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import { version } from '../../src/spec/version.ts';
import type { Clock } from '../../src/util/clock.ts';
import { messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { Random } from '../../src/util/random.ts';
import { sessionProtocol, type AgentMessage, type StreamRequest } from '../../src/wire/session.ts';
import { FaultLog } from '../store/isolate.ts';
import type { Database } from '../store/objects.ts';
import { Assigner } from './assigner.ts';
import { checkAddress } from '../ca/addresses.ts';
import { checkProtocol, checkRival, type Hello } from './greeting.ts';
import { Newcomers } from './newcomers.ts';
import { ManagerNews, withManagerAddress } from './manager-news.ts';
import { ConditionWriter, type ReportedCondition } from './conditions.ts';
import { agentStalledMsMax, unreachableFor } from './findings.ts';
import { Hearing } from './hearing.ts';
import { HostFacts } from './host-facts.ts';
import { Session } from './session.ts';
import { freshMs, planSilence, type OwnHost } from './silence.ts';
import { Soundings, type Sound } from './soundings.ts';
import { StreamBroker } from './streams.ts';
import { StatusWriter } from './writer.ts';

/** Changes that come this close together go out together. */
const coalesceMs = 2;
const helloAttemptsMax = 10;
/** How often the nodes' silence is looked at. */
const lookIntervalMs = heartbeatIntervalMs / 3;
/** How often a stream that waits for an agent to come back looks for it. */
const returnLookMs = 50;

export interface DispatcherOptions {
  database: Database;
  /** What is stored is stamped with it. */
  clock: Clock;
  /** The machine's own, which the hosts' clocks are compared with. @default clock */
  wallClock?: Clock;
  random: Random;
  log: Logger;
  /** What the manager's host is, and whether its network is up. @default not known, and up */
  ownHost?: () => OwnHost;
  /** Whether the kernel of a host answers. @default nobody is asked, and a silent host is a dead one */
  sound?: Sound;
  /** The node of the manager that led before and was lost: its host may have been lost with it. */
  lostNodeId?: string | undefined;
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
  /** Throws `resource_exhausted` when the node's agent opens sessions too often. */
  admitSession(nodeId: string): void;
  /** Takes over a connection of this node's agent; it counts from its hello on, when that is taken. */
  acceptSession(socket: WebSocket, nodeId: string, from: { remoteAddress: string; transport: Duplex }): void;
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
  /** Connections whose hello was not taken yet. */
  readonly #newcomers: Newcomers<Session>;
  readonly #facts = new HostFacts();
  readonly #hearing: Hearing;
  readonly #soundings: Soundings | undefined;
  readonly #assigner: Assigner;
  readonly #managers: ManagerNews;
  readonly #streams: StreamBroker;
  readonly #writer: StatusWriter;
  readonly #conditions: ConditionWriter;
  readonly #assigning: Loop;
  readonly #listening: Loop;
  readonly #faultLog: FaultLog;
  #isLost = false;
  /** What is said of nodes that are silent and not called down. */
  readonly #unknown = new Map<string, ReportedCondition>();
  #cancelLook: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;
  #stopped = false;

  constructor(options: DispatcherOptions) {
    const { clock, log, random, database } = options;
    this.#options = options;
    this.#faultLog = new FaultLog(log);
    this.#hearing = new Hearing(clock.monotonic(), lookIntervalMs);
    if (options.lostNodeId !== undefined) this.#hearing.lost(options.lostNodeId, clock.monotonic());
    this.#soundings = options.sound && new Soundings(options.sound);
    this.#newcomers = new Newcomers(clock);
    this.#assigner = new Assigner(database.view);
    this.#managers = new ManagerNews(database.view, () => options.ownHost?.().address);
    this.#unsubscribe = database.onChange((change) => {
      this.#assigner.note(change);
      this.#managers.note(change);
      this.#assigning.poke();
    });
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
      intervalMs: lookIntervalMs,
      tick: (signal) => this.#listen(signal),
    });
  }

  start(): void {
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
    for (const session of [...this.#sessions.values(), ...this.#newcomers.all()]) {
      session.close('the manager stops');
    }
    await Promise.all([this.#writer.stop(), this.#conditions.stop()]);
  }

  admitSession(nodeId: string): void {
    this.#newcomers.admit(nodeId);
  }

  acceptSession(socket: WebSocket, nodeId: string, from: { remoteAddress: string; transport: Duplex }): void {
    const { clock } = this.#options;
    const session = new Session(socket, { ...from, nodeId }, this.#options, {
      heard: (session) => this.#heard(session),
      message: (session, message) => this.#receive(session, message),
      idle: () => {
        if (this.#assigner.hasWaiting) this.#assigning.poke();
      },
      closed: (session) => {
        this.#assigner.remove(session);
        this.#newcomers.remove(session);
        if (this.#sessions.get(nodeId) !== session) return;
        this.#sessions.delete(nodeId);
        this.#hearing.closed(nodeId, clock.monotonic(), session.hasLeft);
        this.#assigning.poke();
      },
    });
    this.#newcomers.add(session);
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
    return await this.#streams.open(nodeId, request.kind, (streamId) =>
      session.send({ type: 'stream', streamId, request }),
    );
  }

  /** Resolves when the node's agent is here, or is not expected any more. */
  async #returnOf(nodeId: string): Promise<void> {
    const { database, clock } = this.#options;
    const until = clock.monotonic() + agentReturnMs;
    const isExpected = () =>
      !this.#stopped &&
      database.view.nodes.get(nodeId)?.status.state === 'ready' &&
      clock.monotonic() < until;
    while (this.#sessions.get(nodeId)?.ready !== true && isExpected()) await clock.sleep(returnLookMs);
  }

  #heard(session: Session): void {
    if (this.#sessions.get(session.nodeId) !== session) return;
    this.#hearing.heard(session.nodeId, this.#options.clock.monotonic());
  }

  #receive(session: Session, message: AgentMessage): void {
    if (message.type === 'hello') {
      this.#greet(session, message).catch((error: unknown) => session.refuse(error));
      return;
    }
    if (this.#newcomers.has(session)) return session.close('it sent something else before its hello');
    if (this.#sessions.get(session.nodeId) !== session) return;
    switch (message.type) {
      case 'heartbeat':
        return this.#beat(session, message);
      case 'conditions':
        return this.#conditions.report(session.nodeId, 'agent', message.conditions);
      case 'status':
        return this.#report(session, message);
      case 'applied':
        if (!this.#assigner.applied(session, message.sequence)) return;
        if (this.#assigner.awaitsConfirmation) this.#assigning.poke();
        return;
      case 'resync':
        session.wantsComplete = true;
        this.#assigning.poke();
        return;
      default:
        unreachable(message);
    }
  }

  #beat(session: Session, message: Extract<AgentMessage, { type: 'heartbeat' }>): void {
    const { clock, wallClock = clock } = this.#options;
    const { at, stalledMs = 0 } = message;
    if (stalledMs > agentStalledMsMax) return session.close('its agent has stood still for too long');
    const isOtherTime = at !== undefined && session.findings.noteTime(at, wallClock.now(), clock.monotonic());
    const isNews = session.findings.noteStall(stalledMs) || isOtherTime;
    if (isNews && session.ready) this.#tellFindings(session.nodeId);
  }

  #tellFindings(nodeId: string): void {
    const unknown = this.#unknown.get(nodeId);
    const findings = this.#sessions.get(nodeId)?.findings.list() ?? [];
    this.#conditions.report(nodeId, 'manager', unknown === undefined ? findings : [...findings, unknown]);
  }

  /** Says of which nodes it is not known whether they are down, and of those no more of which it was not. */
  #tellUnknown(nodes: readonly Node[]): void {
    const before = new Map(this.#unknown);
    this.#unknown.clear();
    for (const { id } of nodes) this.#unknown.set(id, unreachableFor(this.#hearing.absenceOf(id).silentMs));
    for (const nodeId of new Set([...before.keys(), ...this.#unknown.keys()])) {
      if (!isDeepStrictEqual(before.get(nodeId), this.#unknown.get(nodeId))) this.#tellFindings(nodeId);
    }
  }

  #report(session: Session, message: Extract<AgentMessage, { type: 'status' }>): void {
    const { nodeId } = session;
    const reports = message.tasks.map(({ taskId, status }) => ({ nodeId, taskId, status }));
    try {
      this.#writer.push(nodeId, reports, {
        acknowledge: () => session.acknowledge(message.batch),
        decline: () => session.decline(message.batch),
      });
    } catch (error) {
      session.close(messageOf(error)); // it reports again when it comes back
    }
  }

  /** Takes the hello, or throws why not. The session then stands for the node, in place of one that did before. */
  #seat(session: Session, hello: Hello): void {
    const { database, clock, ownHost } = this.#options;
    const { nodeId, remoteAddress } = session;
    const node = database.view.nodes.get(nodeId);
    if (node === undefined) throw new ShoalError('not_found', 'the node was removed from the cluster');
    checkProtocol(hello);
    const before = this.#sessions.get(nodeId);
    if (before !== session && !this.#newcomers.has(session)) return; // ended meanwhile
    if (before !== undefined && before !== session) checkRival(nodeId, hello, before.incumbent());
    const { address } = hello.description;
    checkAddress(database.view, node, address, { remoteAddress, ownAddress: ownHost?.().address });
    session.hello = hello;
    this.#newcomers.remove(session);
    this.#sessions.set(nodeId, session);
    this.#hearing.heard(nodeId, clock.monotonic());
    if (before !== session) before?.close('the agent has opened another one');
  }

  /** Stores what the node says of itself and that it is ready; only then is it sent anything. */
  async #greet(session: Session, hello: Hello): Promise<void> {
    const { database, clock, wallClock = clock, log } = this.#options;
    this.#seat(session, hello);
    const { description: said } = hello;
    let description = said;
    let isHeeded: boolean | undefined;
    for (let attempt = 1; ; attempt++) {
      const node = database.view.nodes.get(session.nodeId);
      if (node === undefined) throw new ShoalError('not_found', 'the node was removed from the cluster');
      const name = nameToKeep(database.view.nodes.values(), node, said.hostname);
      const wanted = { ...said, hostname: name };
      isHeeded ??= this.#facts.heeds(node, wanted, clock.monotonic());
      description = isHeeded ? wanted : (node.description ?? wanted);
      const told = withManagerAddress({ ...node, name, description });
      if (node.status.state === 'ready' && isDeepStrictEqual(node, told)) break;
      const since = node.status.state === 'ready' ? node.status.since : clock.now();
      const object = { ...told, status: { state: 'ready' as const, since, message: '' } };
      const { conflicts } = await database.write([[{ kind: 'node', action: 'update', object }]]);
      if (conflicts === 0) break;
      if (attempt === helloAttemptsMax) throw new ShoalError('conflict', 'the node object keeps changing');
    }
    session.isHeeded = isHeeded;
    if (!isHeeded) {
      const { nodeId } = session;
      log.warn('a host says something else of itself again and again: heard in a minute', { nodeId });
    }
    if (session.ready) return;
    if (description.hostname !== said.hostname) {
      const { nodeId } = session;
      log.warn('a host says another name than the one it joined with', {
        nodeId,
        name: description.hostname,
        said: said.hostname,
      });
    }
    log.info('node is ready', { nodeId: session.nodeId, hostname: description.hostname });
    if (this.#sessions.get(session.nodeId) !== session) return;
    session.send({
      type: 'welcome',
      nodeId: session.nodeId,
      heartbeatIntervalMs,
      protocol: sessionProtocol,
      version,
      at: wallClock.now(),
    });
    this.#managers.tell(session);
    session.findings.noteVersion(version, description.shoalVersion);
    this.#tellFindings(session.nodeId);
    session.ready = true;
    this.#assigner.add(session);
    this.#assigning.poke();
  }

  /** What a host said of itself too often is taken once it may be: it says it only once. */
  #hearAgain(session: Session): void {
    const { nodeId, hello, isHeeded } = session;
    if (isHeeded || hello === undefined) return;
    if (!this.#facts.hears(nodeId, this.#options.clock.monotonic())) return;
    session.isHeeded = true; // asked once at a time
    this.#greet(session, hello).catch((error: unknown) => session.refuse(error));
  }

  #assign(): void {
    const { database, clock, log } = this.#options;
    for (const session of this.#sessions.values()) {
      if (!session.ready) continue;
      const node = database.view.nodes.get(session.nodeId);
      if (node === undefined) this.#end(session, 'the node was removed from the cluster');
      // Declared down while its agent was just coming back: it says hello again on a new session.
      else if (isDown(node)) this.#end(session, 'the node was declared down');
    }
    this.#managers.tellAll(this.#sessions.values().filter(({ ready }) => ready));
    const { overdue, againInMs, faults } = this.#assigner.pass(clock.monotonic());
    this.#faultLog.tell(faults);
    for (const taskId of overdue)
      log.warn('stopping a task whose endpoint is not confirmed removed', { taskId });
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    if (againInMs === undefined) return;
    this.#cancelLook = clock.after(againInMs + 1, () => this.#assigning.poke());
  }

  #end(session: Session, why: string): void {
    this.#assigner.remove(session);
    session.close(why);
  }

  /** Asks the hosts that are about to be called dead, and gives which have answered. */
  #sound(): ((nodeId: string) => boolean) | undefined {
    const soundings = this.#soundings;
    if (soundings === undefined) return undefined;
    const { database, clock } = this.#options;
    const now = clock.monotonic();
    const asked = new Set([...this.#sessions.keys(), ...this.#hearing.lostNodeIds]);
    soundings.keep(asked);
    for (const nodeId of asked) {
      const address = database.view.nodes.get(nodeId)?.description?.address;
      const isQuiet = this.#hearing.absenceOf(nodeId).silentMs >= nodeSilenceMs / 2;
      if (address !== undefined && isQuiet) soundings.ask(nodeId, address, now);
    }
    for (const nodeId of this.#hearing.lostNodeIds) {
      if (soundings.hasAnswered(nodeId, now)) this.#hearing.answered(nodeId);
    }
    return (nodeId) => soundings.hasAnswered(nodeId, now);
  }

  #tellStall(nodeId: string): void {
    const session = this.#sessions.get(nodeId);
    const { silentMs } = this.#hearing.absenceOf(nodeId);
    if (session?.ready === true && session.findings.noteStall(silentMs)) this.#tellFindings(nodeId);
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const { database, clock, log, ownHost } = this.#options;
    // What came in while this process was busy, or stood still, is read before anybody is judged.
    await clock.sleep(1, signal);
    this.#hearing.look(clock.monotonic());
    this.#hearing.keep(database.view.nodes);
    for (const session of this.#sessions.values()) {
      session.checkProgress();
      this.#hearAgain(session);
    }
    const own = ownHost?.() ?? { address: undefined, isAttached: true };
    const hasAnswered = this.#sound();
    const { plan, isLost, stalled, unknown } = planSilence(
      database.view,
      this.#hearing,
      own,
      clock.now(),
      hasAnswered,
    );
    for (const { id } of stalled) this.#tellStall(id);
    this.#tellUnknown(unknown);
    if (isLost && !this.#isLost) log.warn('no other host is heard: none of them is called down for that');
    const isBack = this.#isLost && !isLost;
    this.#isLost = isLost;
    if (isBack) return this.#hearing.regain(freshMs);
    for (const [change] of plan) {
      const { id: nodeId, status } = change!.object as Node;
      log.warn('node is down', { nodeId, why: status.message });
      this.#hearing.calledDown(nodeId);
      this.#tellFindings(nodeId);
      this.#sessions.get(nodeId)?.close('the node is down');
    }
    // A conflict needs no care: the next check looks again.
    await database.write(plan);
  }
}

/** A damaged node may have no status, and must not keep the others from being told. */
function isDown({ status }: Partial<Node>): boolean {
  return status?.state === 'down';
}
