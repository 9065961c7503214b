import http from 'node:http';
import type https from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer, type WebSocket } from 'ws';
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
import { Admission } from './admission.ts';
import { recordAttempt, type Attempt } from './audit.ts';
import { Bodies, bodyBytesMax } from './bodies.ts';
import { Callers } from './callers.ts';
import { sendError, sendJson, statusOf } from './http.ts';
import { checkAccess, type Access, type Identity } from './identity.ts';
import { connectionKey, listenOnSocket, listenWithTls, secureContext } from './listeners.ts';
import type { Listener, TlsMaterial } from './listeners.ts';
import { RequestRates } from './request-rates.ts';
import { findRoute, matchPattern, streamed, type Call, type Route } from './router.ts';

const switchingProtocols = 101;
/** A refused upgrade is closed this much later at the latest. */
const refusedMsMax = 1_000;
/** An answer that has not been read this long after it was given, and what its size adds, is cut off. */
const answerMsMin = 60_000;
const answerBytesPerMsMin = 64;

export interface UpgradeCall {
  /** As in `Call`. */
  objects: string[];
  identity: Identity;
  /** Empty on the local socket. */
  remoteAddress: string;
  /** The connection beneath. */
  transport: Duplex;
  parameters: Record<string, string>;
  query: URLSearchParams;
}

/** A path that is opened as a WebSocket. */
export interface UpgradeRoute {
  pattern: string;
  access: Access;
  /** Whether attempts go into the audit log; refused ones always do. @default false */
  audited?: boolean;
  /** Larger messages end the connection. */
  messageBytesMax: 'session' | 'frame';
  /** Everything that may fail, before the connection is accepted. */
  prepare: (call: UpgradeCall) => Promise<PreparedUpgrade>;
}

export interface PreparedUpgrade {
  accept: (socket: WebSocket) => void;
  /** Called instead of `accept` when the caller has gone in the meantime. */
  abandon?: () => void;
}

export interface ApiServer {
  /** Listens on a unix socket (mode 0600); one that a dead process left is replaced. */
  listenLocal(socketPath: string): Promise<void>;
  /** Listens with TLS; gives the port, for one of 0 is chosen by the kernel. */
  listenSecure(host: string, port: number, tls: TlsMaterial): Promise<number>;
  /** Connections from now on get this certificate. */
  replaceCertificate(tls: TlsMaterial): void;
  stop(): Promise<void>;
}

/** The manager's HTTP server, on a local socket and over TLS, with the same routes on both. */
export function createApiServer(options: {
  routes: readonly Route[];
  upgrades: readonly UpgradeRoute[];
  database: Pick<Database, 'view' | 'onChange' | 'problem'>;
  clock: Clock;
  audit: Audit;
  log: Logger;
}): ApiServer {
  return new Server(options);
}

class Server implements ApiServer {
  readonly #routes: readonly Route[];
  readonly #upgrades: readonly UpgradeRoute[];
  readonly #database: Pick<Database, 'problem'>;
  readonly #callers: Callers;
  readonly #audit: Audit;
  readonly #unsubscribe: () => void;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #listeners: Listener[] = [];
  readonly #clock: Clock;
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

  constructor({ routes, upgrades, database, clock, audit, log }: Parameters<typeof createApiServer>[0]) {
    this.#routes = routes;
    this.#upgrades = upgrades;
    this.#database = database;
    this.#callers = new Callers(database.view, clock);
    this.#audit = audit;
    this.#log = log;
    this.#clock = clock;
    this.#admission = new Admission(clock, log);
    this.#rates = new RequestRates(clock);
    this.#unsubscribe = database.onChange(({ kinds }) => {
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
    listener.server.on('secureConnection', (socket: TLSSocket) => {
      this.#admit({ socket } as unknown as http.IncomingMessage);
    });
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
    server.on('request', (request, response) => {
      if (!this.#rates.begin(request, response)) {
        this.#admission.misused(request.socket.remoteAddress ?? '');
        request.socket.destroy();
        return;
      }
      this.#handle(request, response).catch((error: unknown) => this.#fail(request, response, error));
    });
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', (error) => this.#log.debug('connection failed', { error: error.message }));
      this.#upgrade(request, socket, head).catch((error: unknown) => this.#refuse(socket, error));
    });
    this.#listeners.push(listener);
  }

  /** Who sent the request. Whoever is known has connections of its own, and only so many. */
  #admit(request: http.IncomingMessage): Identity {
    const identity = this.#callers.identify(request);
    const caller = callerKey(identity);
    const { socket } = request;
    if (caller === undefined || this.#counted.has(socket)) return identity;
    this.#counted.add(socket);
    if (this.#admission.recognise(connectionKey(socket), caller)) {
      socket.once('close', () => this.#admission.release(caller));
    } else {
      this.#log.warn('a connection is refused: the caller has too many', { caller });
      socket.destroy();
    }
    return identity;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    refusePages(request.headers);
    const url = urlOf(request);
    const { route, parameters } = findRoute(this.#routes, request.method ?? 'GET', url.pathname);
    if (this.#database.problem !== undefined) {
      response.setHeader(warningHeader, encodeURIComponent(messageOf(this.#database.problem)));
    }
    const { audited = route.method !== 'GET' } = route;
    const attempt = this.#attempt(request, url);
    const { identity, objects } = attempt;
    this.#checkRate(request, response, identity);
    const status = route.status ?? 200;
    const gone = new AbortController();
    response.on('close', () => gone.abort(new ShoalError('unavailable', 'The caller has gone')));
    const signal = AbortSignal.any([gone.signal, this.#stop.signal]);
    const body = () => this.#bodies.read(request, route.bodyBytesMax ?? bodyBytesMax);
    const query = url.searchParams;
    const call: Call = { request, response, identity, parameters, query, objects, signal, body };
    const value = await this.#audited(
      attempt,
      { ...route, audited, status },
      async () => await route.handle(call),
    );
    if (value === streamed) response.end();
    else this.#answer(response, status, value);
  }

  #checkRate(request: http.IncomingMessage, response: http.ServerResponse, identity: Identity): void {
    try {
      this.#rates.check(callerOf(identity), response);
    } catch (error) {
      this.#admission.misused(request.socket.remoteAddress ?? '');
      throw error;
    }
  }

  /** Whoever does not read the answer in good time does not get the rest of it. */
  #answer(response: http.ServerResponse, status: number, value: unknown): void {
    const bytes = sendJson(response, status, value);
    const cancel = this.#clock.after(answerMsMin + bytes / answerBytesPerMsMin, () => response.destroy());
    response.once('close', cancel);
  }

  #attempt(request: http.IncomingMessage, url: URL): Attempt {
    const identity = this.#admit(request);
    return { identity, request, method: request.method ?? 'GET', path: url.pathname, objects: [] };
  }

  /** Does the work if the caller may have it done. How it ends goes into the audit log before the caller is told. */
  async #audited<T>(
    attempt: Attempt,
    { access, audited, status }: { access: Access; audited: boolean; status: number },
    work: () => Promise<T>,
  ): Promise<T> {
    let mayHave = false;
    try {
      checkAccess(attempt.identity, access);
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
    if (!request.complete && !response.headersSent) response.setHeader('connection', 'close');
    sendError(response, error);
  }

  async #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    refusePages(request.headers);
    const url = urlOf(request);
    for (const route of this.#upgrades) {
      const parameters = matchPattern(route.pattern, url.pathname);
      if (parameters === undefined) continue;
      const attempt = this.#attempt(request, url);
      const { identity, objects } = attempt;
      const remoteAddress = request.socket.remoteAddress ?? '';
      const call: UpgradeCall = {
        identity,
        remoteAddress,
        transport: socket,
        parameters,
        query: url.searchParams,
        objects,
      };
      const { access, audited = false } = route;
      const how = { access, audited, status: switchingProtocols };
      const prepared = await this.#audited(attempt, how, () => route.prepare(call));
      let accepted = false;
      this.#sockets[route.messageBytesMax].handleUpgrade(request, socket, head, (connection) => {
        accepted = true;
        prepared.accept(connection);
      });
      if (!accepted) prepared.abandon?.();
      return;
    }
    throw new ShoalError('not_found', `Cannot open ${url.pathname}: there is no such path`);
  }

  /** Answers an upgrade that is refused, and closes the connection whether the other side does or not. */
  #refuse(socket: Duplex, error: unknown): void {
    const body = JSON.stringify({ error: apiErrorOf(error) });
    const status = statusOf(error);
    socket.end(
      `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Error'}\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
    socket.resume(); // what it still sends is of no use, and its end must be seen
    const cancel = this.#clock.after(refusedMsMax, () => socket.destroy());
    socket.once('close', cancel);
  }
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
