import { chmodSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { codeOf, messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { frameBytesMax } from '../../src/wire/frames.ts';
import { agentMessageBytesMax } from '../../src/wire/session.ts';
import type { Clock } from '../../src/util/clock.ts';
import type { Database } from '../store/objects.ts';
import { apiErrorOf } from '../../src/wire/api-error.ts';
import type { Audit } from '../audit/audit.ts';
import { recordAttempt, type Attempt } from './audit.ts';
import { readBody, sendError, sendJson, statusOf } from './http.ts';
import { Callers } from './callers.ts';
import { checkAccess, type Access, type Identity } from './identity.ts';
import { findRoute, matchPattern, streamed, type Call, type Route } from './router.ts';

const limits: http.ServerOptions = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 60_000,
  // A caller that vanished without a word is noticed by the kernel.
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  // The request of an exec travels in the query.
  maxHeaderSize: 64 * 1024,
};
const connectionsMax = 4_096;
const switchingProtocols = 101;

export interface UpgradeCall {
  /** As in `Call`. */
  objects: string[];
  identity: Identity;
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

export interface TlsMaterial {
  certificatePem: string;
  privateKeyPem: string;
  certificateAuthorityPem: string;
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
  database: Pick<Database, 'view' | 'onChange'>;
  clock: Clock;
  audit: Audit;
  log: Logger;
}): ApiServer {
  return new Server(options);
}

class Server implements ApiServer {
  readonly #routes: readonly Route[];
  readonly #upgrades: readonly UpgradeRoute[];
  readonly #callers: Callers;
  readonly #audit: Audit;
  readonly #unsubscribe: () => void;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  readonly #servers: http.Server[] = [];
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
    this.#callers = new Callers(database.view, clock);
    this.#audit = audit;
    this.#log = log;
    this.#unsubscribe = database.onChange(({ kinds }) => {
      if (kinds.has('administrator') || kinds.has('node')) this.#callers.enforce();
    });
  }

  async listenLocal(socketPath: string): Promise<void> {
    rmSync(socketPath, { force: true });
    const server = http.createServer(limits);
    this.#serve(server);
    // Made with mode 0600 from the first moment: nobody else can connect before the mode is set.
    const before = process.umask(0o177);
    try {
      await listen(server, { path: socketPath });
    } finally {
      process.umask(before);
    }
    chmodSync(socketPath, 0o600);
  }

  async listenSecure(host: string, port: number, tls: TlsMaterial): Promise<number> {
    const server = https.createServer({
      ...limits,
      ...secureContext(tls),
      minVersion: 'TLSv1.3',
      requestCert: true,
      // Joining works without a certificate; every other route checks who is there.
      rejectUnauthorized: false,
    });
    this.#secure = server;
    this.#serve(server);
    server.on('tlsClientError', (error) => this.#log.debug('TLS refused', { error: error.message }));
    await listen(server, { host, port });
    return (server.address() as AddressInfo).port;
  }

  replaceCertificate(tls: TlsMaterial): void {
    this.#secure?.setSecureContext(secureContext(tls));
  }

  async stop(): Promise<void> {
    this.#stop.abort(new ShoalError('unavailable', 'The manager stops'));
    this.#unsubscribe();
    const closed = this.#servers.map((server) => new Promise((resolve) => server.close(resolve)));
    for (const { clients } of Object.values(this.#sockets)) for (const client of clients) client.terminate();
    for (const server of this.#servers) server.closeAllConnections();
    await Promise.all(closed);
  }

  #serve(server: http.Server): void {
    server.maxConnections = connectionsMax;
    server.on('request', (request, response) => {
      this.#handle(request, response).catch((error: unknown) => this.#fail(request, response, error));
    });
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', (error) => this.#log.debug('connection failed', { error: error.message }));
      this.#upgrade(request, socket, head).catch((error: unknown) => refuseUpgrade(socket, error));
    });
    this.#servers.push(server);
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = urlOf(request);
    const { route, parameters } = findRoute(this.#routes, request.method ?? 'GET', url.pathname);
    const { audited = route.method !== 'GET' } = route;
    const attempt = this.#attempt(request, url);
    const { identity, objects } = attempt;
    const status = route.status ?? 200;
    const gone = new AbortController();
    response.on('close', () => gone.abort(new ShoalError('unavailable', 'The caller has gone')));
    const signal = AbortSignal.any([gone.signal, this.#stop.signal]);
    const body = () => readBody(request);
    const query = url.searchParams;
    const call: Call = { request, response, identity, parameters, query, objects, signal, body };
    const value = await this.#audited(
      attempt,
      { ...route, audited, status },
      async () => await route.handle(call),
    );
    if (value === streamed) response.end();
    else sendJson(response, status, value);
  }

  #attempt(request: http.IncomingMessage, url: URL): Attempt {
    const identity = this.#callers.identify(request);
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
      this.#log.error('request failed', { path: request.url, error: messageOf(error), stack });
    }
    if (!request.complete && !response.headersSent) response.setHeader('connection', 'close');
    sendError(response, error);
  }

  async #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const url = urlOf(request);
    for (const route of this.#upgrades) {
      const parameters = matchPattern(route.pattern, url.pathname);
      if (parameters === undefined) continue;
      const attempt = this.#attempt(request, url);
      const { identity, objects } = attempt;
      const call: UpgradeCall = { identity, parameters, query: url.searchParams, objects };
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
}

function secureContext(tls: TlsMaterial): { cert: string; key: string; ca: string } {
  return { cert: tls.certificatePem, key: tls.privateKeyPem, ca: tls.certificateAuthorityPem };
}

function urlOf(request: http.IncomingMessage): URL {
  try {
    return new URL(request.url ?? '/', 'http://shoal');
  } catch (cause) {
    throw new ShoalError('invalid_argument', 'Cannot read the request: its path is malformed', { cause });
  }
}

function refuseUpgrade(socket: Duplex, error: unknown): void {
  const body = JSON.stringify({ error: apiErrorOf(error) });
  const status = statusOf(error);
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Error'}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function listen(
  server: http.Server,
  where: { path: string } | { host: string; port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const place = 'path' in where ? where.path : `${where.host}:${where.port}`;
      const code = cause.code === 'EADDRINUSE' ? 'port_taken' : 'unavailable';
      reject(new ShoalError(code, `Cannot listen on ${place}`, { cause }));
    });
    server.listen(where, resolve);
  });
}
