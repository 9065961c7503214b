import { isManager } from '../../src/spec/manager-state.ts';
import http from 'node:http';
import type https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import type { Clock } from '../../src/util/clock.ts';
import { codeOf, messageOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { warningHeader } from '../../src/wire/api.ts';
import { apiErrorOf } from '../../src/wire/api-error.ts';
import { frameBytesMax } from '../../src/wire/frames.ts';
import { refusePages } from '../../src/wire/origin.ts';
import { urlOf } from '../../src/wire/request-url.ts';
import { agentMessageBytesMax } from '../../src/wire/session.ts';
import type { Audit } from '../audit/audit.ts';
import type { Database } from '../store/objects.ts';
import { Admission, connectionsOfCallerMax, connectionsOfManagerMax } from './admission.ts';
import { recordAttempt, type Attempt } from './audit.ts';
import { Bodies, bodyBytesMax } from './bodies.ts';
import { Callers, type Caller } from './callers.ts';
import { notLeadingHeader } from './forwarded.ts';
import { sendError, sendJson, statusOf } from './http.ts';
import { checkAccess, type Access, type Identity } from './identity.ts';
import { connectionKey, listenOnSocket, listenWithTls, secureContext } from './listeners.ts';
import type { Listener, TlsMaterial } from './listeners.ts';
import { RequestRates } from './request-rates.ts';
import { ManagerAddresses } from './manager-addresses.ts';
import type { Piper, PipeOutcome } from './piping/piper.ts';
import { behind, revisionHeader, wantedRevision } from './revision.ts';
import { findRoute, readsView, streamed, type Call } from './router.ts';
import { isNotLeading, notLeading, type OtherSeat, type OwnSeat, type Seat, type Site } from './site.ts';
import { findUpgrade, type UpgradeCall } from './upgrade.ts';
import { changeAfter } from './view-change.ts';

const switchingProtocols = 101;
/** A refused upgrade is closed this much later at the latest. */
const refusedMsMax = 1_000;
/** An answer that has not been read this long after it was given, and what its size adds, is cut off. */
const answerMsMin = 60_000;
const answerBytesPerMsMin = 64;
/** How long a request waits for a manager that leads. */
const leaderWaitMs = 10_000;
/** How long a request waits until this manager has seen what another one has answered, and how often it looks. */
const seenMsMax = 2_000;
const seenLookMs = 50;

export interface ApiServer {
  /** Listens on a unix socket (mode 0600); one that a dead process left is replaced. */
  listenLocal(socketPath: string): Promise<void>;
  /** Listens with TLS; gives the port, for one of 0 is chosen by the kernel. */
  listenSecure(host: string, port: number, tls: TlsMaterial): Promise<number>;
  /** Connections from now on get this certificate. */
  replaceCertificate(tls: TlsMaterial): void;
  stop(): Promise<void>;
}

export interface ServerParts {
  site: Site;
  database: Pick<Database, 'view' | 'onChange' | 'problem'>;
  clock: Clock;
  audit: Audit;
  log: Logger;
  /** Passes on to the manager that leads. @default there is no other manager */
  piper?: Piper;
}

/** The manager's HTTP server, on a local socket and over TLS, with the same routes on both. */
export function createApiServer(parts: ServerParts): ApiServer {
  return new Server(parts);
}

class Server implements ApiServer {
  readonly #site: Site;
  readonly #database: ServerParts['database'];
  readonly #callers: Callers;
  readonly #audit: Audit;
  readonly #unsubscribe: () => void;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #listeners: Listener[] = [];
  readonly #clock: Clock;
  readonly #piper: Piper | undefined;
  readonly #managers: ManagerAddresses;
  readonly #admission: Admission;
  readonly #bodies = new Bodies();
  readonly #rates: RequestRates;
  readonly #counted = new WeakSet<Socket>();
  readonly #sockets = {
    session: new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: agentMessageBytesMax,
    }),
    frame: new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: frameBytesMax }),
  };
  #secure: https.Server | undefined;

  constructor({ site, database, clock, audit, log, piper }: ServerParts) {
    this.#site = site;
    this.#database = database;
    this.#callers = new Callers(database.view, clock);
    this.#audit = audit;
    this.#log = log;
    this.#clock = clock;
    this.#piper = piper;
    this.#managers = new ManagerAddresses(database.view);
    this.#admission = new Admission(clock, log, (address) => this.#managers.has(address));
    this.#rates = new RequestRates(clock);
    this.#unsubscribe = database.onChange(({ kinds }) => {
      if (kinds.has('node')) this.#managers.renew();
      if (kinds.has('administrator') || kinds.has('node')) this.#callers.enforce();
    });
  }

  async listenLocal(socketPath: string): Promise<void> {
    this.#serve(await listenOnSocket(socketPath));
  }

  async listenSecure(host: string, port: number, tls: TlsMaterial): Promise<number> {
    const listener = await listenWithTls({ host, port }, tls, this.#admission, this.#log);
    this.#secure = listener.server;
    this.#serve(listener);
    // A certificate that counts lifts the connection out of the crowd before its first request.
    listener.server.on('secureConnection', (socket: TLSSocket) => this.#admit(socket));
    return listener.port;
  }

  replaceCertificate(tls: TlsMaterial): void {
    this.#secure?.setSecureContext(secureContext(tls));
  }

  async stop(): Promise<void> {
    this.#stop.abort(new ShoalError('unavailable', 'The manager stops'));
    this.#unsubscribe();
    for (const { clients } of Object.values(this.#sockets)) for (const client of clients) client.terminate();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  #serve(listener: Listener): void {
    const { server } = listener;
    const take = (request: http.IncomingMessage, response: http.ServerResponse, isBodyWithheld = false) => {
      if (!this.#rates.begin(request, response)) {
        this.#admission.misused(request.socket.remoteAddress ?? '');
        request.socket.destroy();
        return;
      }
      this.#handle(request, response, isBodyWithheld).catch((error: unknown) =>
        this.#fail(request, response, error),
      );
    };
    server.on('request', take);
    // The other side sends the body once it is told to: before that, nothing of it is lost when another manager leads.
    server.on('checkContinue', (request, response) => take(request, response, true));
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', (error) => this.#log.debug('connection failed', { error: error.message }));
      this.#upgrade(request, socket, head).catch((error: unknown) => this.#refuse(socket, error));
    });
    this.#listeners.push(listener);
  }

  /** Whoever is known has connections of its own, and only so many. */
  #admit(socket: Socket): void {
    const peer = this.#callers.peer(socket);
    const caller = callerKey(peer);
    if (caller === undefined || this.#counted.has(socket)) return;
    this.#counted.add(socket);
    const max =
      peer.kind === 'node' && isManager(peer.node) ? connectionsOfManagerMax : connectionsOfCallerMax;
    if (this.#admission.recognise(connectionKey(socket), caller, max)) {
      socket.once('close', () => this.#admission.release(caller));
    } else {
      this.#log.warn('a connection is refused: the caller has too many', { caller });
      socket.destroy();
    }
  }

  async #handle(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    isBodyWithheld: boolean,
  ): Promise<void> {
    refusePages(request.headers);
    const url = urlOf(request);
    const { own, following } = this.#site;
    const found = findRoute((own ?? following).routes, request.method ?? 'GET', url.pathname);
    const attempt = this.#attempt(request, url);
    const { caller } = attempt;
    this.#checkRate(request, response, caller);
    this.#callers.follow(request.socket, caller, response);
    const signal = AbortSignal.any([goneWith(response), this.#stop.signal]);
    const exchange = { request, response, isBodyWithheld, url, attempt, signal };
    if (own === undefined && readsView(found.route, url.searchParams) && !isUnknown(caller)) {
      return await this.#answerFrom(exchange, found);
    }
    const pipe = async (seat: OtherSeat) => await this.#pipe(exchange, seat);
    const seat = await this.#seated(attempt, found.route, signal, pipe);
    if (seat === undefined) return;
    const leading = { ...exchange, signal: AbortSignal.any([signal, seat.over]) };
    await this.#answerFrom(leading, findRoute(seat.routes, attempt.method, url.pathname));
  }

  /** The table of this manager's own term, or undefined once another manager has answered. */
  async #seated(
    attempt: Attempt,
    { access, audited = attempt.method !== 'GET' }: { access: Access; audited?: boolean },
    signal: AbortSignal,
    pipe: (seat: OtherSeat) => Promise<PipeOutcome>,
  ): Promise<OwnSeat | undefined> {
    const { own } = this.#site;
    if (own !== undefined) return own;
    const untilMs = this.#clock.monotonic() + leaderWaitMs;
    const { identity, claim, isForwarded } = attempt.caller;
    try {
      // Who proves nothing is nobody to any manager.
      if (claim.kind === 'anonymous') checkAccess(identity, access);
      for (let refused: Seat | undefined; ;) {
        // Whoever passed it on looks again who leads.
        if (isForwarded) throw notLeading();
        const seat = await this.#site.seat({ untilMs, refused, signal });
        if (seat.kind === 'own') return seat;
        if ((await pipe(seat)) === 'answered') return undefined;
        refused = seat;
      }
    } catch (error) {
      const isTold = audited || codeOf(error) === 'unauthenticated';
      if (isTold && !isForwarded) recordAttempt(this.#audit, attempt, { error });
      throw error;
    }
  }

  async #pipe({ request, response, isBodyWithheld, attempt, signal }: Exchange, seat: OtherSeat) {
    if (this.#piper === undefined) throw notLeading();
    const seen = (revision: number) => this.#seen(revision, signal).catch(() => undefined); // the change was made
    return await this.#piper.request(
      { request, response, isBodyWithheld, caller: attempt.caller, seen },
      seat,
    );
  }

  async #answerFrom(exchange: Exchange, { route, parameters }: ReturnType<typeof findRoute>): Promise<void> {
    const { request, response, url, attempt, signal } = exchange;
    if (this.#database.problem !== undefined) {
      response.setHeader(warningHeader, encodeURIComponent(messageOf(this.#database.problem)));
    }
    const { audited = route.method !== 'GET', status = 200 } = route;
    const body = async () => {
      if (exchange.isBodyWithheld) response.writeContinue();
      return await this.#bodies.read(request, route.bodyBytesMax ?? bodyBytesMax);
    };
    const query = url.searchParams;
    const { objects } = attempt;
    const { identity, from } = attempt.caller;
    const call: Call = { request, response, identity, from, parameters, query, objects, signal, body };
    const value = await this.#audited(attempt, { ...route, audited, status }, async () => {
      const wanted = wantedRevision(request, query);
      if (wanted !== undefined) await this.#seen(wanted, signal);
      response.setHeader(revisionHeader, this.#database.view.revision);
      return await route.handle(call);
    });
    if (value === streamed) response.end();
    else this.#answer(response, status, value);
  }

  /** Resolves when the view has come to the revision. Throws `unavailable` when it has not in good time. */
  async #seen(revision: number, signal: AbortSignal): Promise<void> {
    const { view } = this.#database;
    const untilMs = this.#clock.monotonic() + seenMsMax;
    while (view.revision < revision) {
      if (this.#clock.monotonic() >= untilMs) throw behind(view.revision, revision);
      const look = { revision: view.revision, waitMs: seenLookMs, signal };
      await changeAfter(this.#database, this.#clock, look);
    }
  }

  #checkRate(request: http.IncomingMessage, response: http.ServerResponse, caller: Caller): void {
    if (caller.isForwarded) return;
    try {
      this.#rates.check(callerOf(caller.identity), response);
    } catch (error) {
      this.#admission.misused(request.socket.remoteAddress ?? '');
      throw error;
    }
  }

  /** Whoever does not read the answer in good time does not get the rest of it. */
  #answer(response: http.ServerResponse, status: number, value: unknown): void {
    response.setHeader(revisionHeader, this.#database.view.revision);
    const bytes = sendJson(response, status, value);
    const cancel = this.#clock.after(answerMsMin + bytes / answerBytesPerMsMin, () => response.destroy());
    response.once('close', cancel);
  }

  #attempt(request: http.IncomingMessage, url: URL): Attempt {
    this.#admit(request.socket);
    const caller = this.#callers.caller(request);
    return { caller, method: request.method ?? 'GET', path: url.pathname, objects: [] };
  }

  /** Does the work if the caller may have it done. How it ends goes into the audit log before the caller is told. */
  async #audited<T>(
    attempt: Attempt,
    { access, audited, status }: { access: Access; audited: boolean; status: number },
    work: () => Promise<T>,
  ): Promise<T> {
    let mayHave = false;
    try {
      checkAccess(attempt.caller.identity, access);
      mayHave = true;
      const value = await work();
      if (audited) recordAttempt(this.#audit, attempt, { status });
      return value;
    } catch (error) {
      if (audited || !mayHave) recordAttempt(this.#audit, attempt, { error });
      throw error;
    }
  }

  #fail(request: http.IncomingMessage, response: http.ServerResponse, error: unknown): void {
    if (response.destroyed) return;
    if (codeOf(error) === 'internal') {
      const stack = error instanceof Error ? error.stack : undefined;
      this.#log.error('request failed', { path: request.url?.split('?')[0], error: messageOf(error), stack });
    }
    if (!response.headersSent) {
      if (!request.complete) response.setHeader('connection', 'close');
      if (isNotLeading(error)) response.setHeader(notLeadingHeader, 'true');
    }
    sendError(response, error);
  }

  async #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    refusePages(request.headers);
    const url = urlOf(request);
    const { own, following } = this.#site;
    const here = findUpgrade((own ?? following).upgrades, url.pathname);
    const attempt = this.#attempt(request, url);
    const { caller } = attempt;
    this.#callers.follow(request.socket, caller, socket);
    const signal = AbortSignal.any([goneWith(socket), this.#stop.signal]);
    const how = { access: here.route.access, audited: here.route.audited ?? false };
    const seat = await this.#seated(attempt, how, signal, async (other) => {
      if (this.#piper === undefined) throw notLeading();
      endWith(this.#stop.signal, socket);
      return await this.#piper.upgrade({ request, socket, head, caller }, other);
    });
    if (seat === undefined) return;
    const { route, parameters } = findUpgrade(seat.upgrades, url.pathname);
    const { objects } = attempt;
    const call: UpgradeCall = {
      identity: caller.identity,
      remoteAddress: caller.from ?? '',
      transport: socket,
      parameters,
      query: url.searchParams,
      objects,
    };
    const { access, audited = false } = route;
    const status = switchingProtocols;
    const prepared = await this.#audited(attempt, { access, audited, status }, () => route.prepare(call));
    let accepted = false;
    this.#sockets[route.messageBytesMax].handleUpgrade(request, socket, head, (connection) => {
      accepted = true;
      endWith(seat.over, socket);
      prepared.accept(connection);
    });
    if (!accepted) prepared.abandon?.();
  }

  /** Answers an upgrade that is refused, and closes the connection whether the other side does or not. */
  #refuse(socket: Duplex, error: unknown): void {
    const body = JSON.stringify({ error: apiErrorOf(error) });
    const status = statusOf(error);
    const leading = isNotLeading(error) ? `${notLeadingHeader}: true\r\n` : '';
    socket.end(
      `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Error'}\r\ncontent-type: application/json\r\n${leading}` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
    socket.resume(); // what it still sends is of no use, and its end must be seen
    const cancel = this.#clock.after(refusedMsMax, () => socket.destroy());
    socket.once('close', cancel);
  }
}

/** A request that is being answered. */
interface Exchange {
  request: http.IncomingMessage;
  response: http.ServerResponse;
  isBodyWithheld: boolean;
  url: URL;
  attempt: Attempt;
  signal: AbortSignal;
}

/** Whether the caller has a certificate of the cluster that this manager does not know: one that leads may know more. */
function isUnknown({ identity }: Caller): boolean {
  return identity.kind === 'anonymous' && identity.revoked !== undefined;
}

/** Aborts when the caller has gone. */
function goneWith(connection: Duplex | http.ServerResponse): AbortSignal {
  const gone = new AbortController();
  connection.once('close', () => gone.abort(new ShoalError('unavailable', 'The caller has gone')));
  return gone.signal;
}

/** What was opened in a term, or by way of this manager, ends with it. */
function endWith(over: AbortSignal, connection: Duplex): void {
  const end = () => void connection.destroy();
  if (over.aborted) return end();
  over.addEventListener('abort', end, { once: true });
  connection.once('close', () => over.removeEventListener('abort', end));
}

/** Whose requests are counted together. */
function callerOf(identity: Identity): Parameters<RequestRates['check']>[0] {
  switch (identity.kind) {
    case 'node':
      return { kind: 'node', key: identity.node.id };
    case 'administrator':
      return { kind: 'administrator', key: identity.administrator.id };
    case 'local':
      return { kind: 'local' };
    case 'anonymous':
      return { kind: 'stranger' };
    default:
      return unreachable(identity);
  }
}

/** Whose connections are counted together; undefined for the local socket and for those who are not known. */
function callerKey(identity: Identity): string | undefined {
  const caller = callerOf(identity);
  return 'key' in caller ? `${caller.kind} ${caller.key}` : undefined;
}
