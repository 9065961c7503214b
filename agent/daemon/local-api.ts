import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { apiErrorOf, httpStatusOf } from '../../src/wire/api-error.ts';
import type { Logger } from '../../src/util/log.ts';
import { refusePages } from '../../src/wire/origin.ts';
import { urlOf } from '../../src/wire/request-url.ts';
import {
  localPrefix,
  type InitRequest,
  type JoinRequest,
  type JoinTokens,
  type LeaveRequest,
  type LocalInfo,
} from '../../src/wire/api.ts';

/** Bodies of the local API are a few lines. */
const bodyBytesMax = 64 * 1024;

/** What the local API asks of the daemon. */
export interface LocalControl {
  info(): Promise<LocalInfo>;
  init(request: InitRequest): Promise<LocalInfo & { tokens: JoinTokens }>;
  join(request: JoinRequest): Promise<LocalInfo>;
  leave(request: LeaveRequest): Promise<LocalInfo>;
  /** The socket of the manager on this host. Throws `failed_precondition`, naming the managers, when there is none here. */
  managerSocket(): string;
}

/**
 * Serves the daemon's socket (mode 0600): its own API under `localPrefix`, and everything else by passing it on to the
 * manager on this host, streams and upgrades included. Resolves when it listens, with how to stop.
 */
export async function serveLocalApi(
  socketPath: string,
  control: LocalControl,
  log: Logger,
): Promise<() => Promise<void>> {
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  rmSync(socketPath, { force: true }); // left by a daemon that was killed; the lock on the state says that none runs
  // Whatever a request says, what goes wrong with it is its own answer: nothing may be thrown out of these two.
  const server = http.createServer((request, response) => {
    serve(control, request, response).catch((error: unknown) => {
      log.warn('a local request failed', { path: request.url?.split('?')[0], error: messageOf(error) });
      sendError(response, error);
    });
  });
  const sockets = new Set<Duplex>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    try {
      passUpgrade(control, request, socket, head);
    } catch (error) {
      refuseUpgrade(socket, error);
    }
  });
  server.requestTimeout = 0; // an upload or a stream may take as long as it moves
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, resolve);
    });
  } finally {
    process.umask(before);
  }
  chmodSync(socketPath, 0o600);
  return async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
}

async function serve(
  control: LocalControl,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const { pathname } = urlOf(request);
  if (!pathname.startsWith(`${localPrefix}/`)) return passOn(control, request, response);
  sendJson(response, 200, await answer(control, request, pathname.slice(localPrefix.length)));
}

async function answer(control: LocalControl, request: http.IncomingMessage, path: string): Promise<unknown> {
  refusePages(request.headers);
  switch (`${request.method} ${path}`) {
    case 'GET /info':
      return await control.info();
    case 'POST /init':
      return await control.init(await readBody(request));
    case 'POST /join':
      return await control.join((await readBody(request)) as JoinRequest);
    case 'POST /leave':
      return await control.leave(await readBody(request));
    default:
      throw new ShoalError('not_found', `Cannot ${request.method} ${localPrefix}${path}: no such path`);
  }
}

async function readBody(request: http.IncomingMessage): Promise<object> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) {
      throw new ShoalError('invalid_argument', `Cannot take a request of more than ${bodyBytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  try {
    const value: unknown = text === '' ? {} : JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    throw new ShoalError('invalid_argument', 'Cannot read the request: it is not JSON', { cause });
  }
  throw new ShoalError('invalid_argument', 'Cannot read the request: it is not an object');
}

function passOn(control: LocalControl, request: http.IncomingMessage, response: http.ServerResponse): void {
  const socketPath = control.managerSocket();
  const { method, url: path } = request;
  const headers = endToEnd(request.headers);
  // A connection of its own: one that was kept may just be closing, and a change must not be sent twice.
  const onward = http.request({ socketPath, method, path, headers, agent: false }, (answered) => {
    response.writeHead(answered.statusCode ?? 502, answered.statusMessage, endToEnd(answered.headers));
    response.flushHeaders();
    answered.pipe(response);
    answered.on('error', () => response.destroy());
  });
  onward.on('error', (cause) =>
    response.headersSent ? response.destroy() : sendError(response, noManager(cause)),
  );
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

/** Headers that are about more than one connection (RFC 9110, section 7.6.1). */
function endToEnd(headers: http.IncomingHttpHeaders): http.IncomingHttpHeaders {
  const { connection: _, 'keep-alive': __, ...rest } = headers;
  return rest;
}

/** An upgrade is passed on byte by byte: its head as it came, and then both directions. */
function passUpgrade(
  control: LocalControl,
  request: http.IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const path = control.managerSocket();
  const onward = net.connect({ path });
  let connected = false;
  onward.on('connect', () => {
    connected = true;
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
    }
    onward.write(`${lines.join('\r\n')}\r\n\r\n`);
    onward.write(head);
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', (cause) => (connected ? socket.destroy() : refuseUpgrade(socket, noManager(cause))));
  onward.on('close', () => socket.destroy());
  socket.on('close', () => onward.destroy());
}

function noManager(cause: unknown): ShoalError {
  return new ShoalError('unavailable', 'Cannot reach the manager on this host', {
    cause,
    next: 'It is started again by itself; try again in a moment.',
  });
}

function refuseUpgrade(socket: Duplex, error: unknown): void {
  const body = JSON.stringify({ error: apiErrorOf(error) });
  const status = httpStatusOf(error);
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function sendError(response: http.ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  sendJson(response, httpStatusOf(error), { error: apiErrorOf(error) });
}

function sendJson(response: http.ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
