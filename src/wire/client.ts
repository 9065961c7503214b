import http from 'node:http';
import type { Duplex } from 'node:stream';
import { managerPort } from '../spec/defaults.ts';
import { errorCodes, ShoalError, type ErrorCode } from '../util/errors.ts';
import {
  apiBodyBytesMax,
  apiPrefix,
  continueHeader,
  localPrefix,
  warningHeader,
  type ApiError,
} from './api.ts';
import { managerServerName } from './certificates.ts';
import { decodeFrame, encodeFrame, frameBytesMax, type Frame, type FrameType } from './frames.ts';
import type { StreamRequest } from './session.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type ExecRequest = Omit<Extract<StreamRequest, { kind: 'exec' }>, 'kind' | 'taskId'>;

export interface RequestSettings {
  signal?: AbortSignal;
  /** No answer for this long is `deadline_exceeded`. @default 30000 */
  timeoutMs?: number;
}

/** A command that runs in a container, as frames both ways. */
export interface ExecConnection {
  /** What comes back: `stdout`, `stderr`, and last `exit` or `error`. Read slowly, and the other side is slowed down. */
  frames: AsyncIterable<Frame>;
  /** Resolves when the frame has been handed to the connection. `stdin`, `resize` and `end` are what the other side understands. */
  send(type: FrameType, payload?: Uint8Array | string): Promise<void>;
  close(): void;
}

/**
 * The API's client. Paths begin with `/` and are relative to `apiPrefix`; those that begin with `localPrefix` are the
 * daemon's own and go as they are. Every error is a `ShoalError` with the code the other side gave, or `unavailable`.
 */
export interface Client {
  /** What it was told to connect to. */
  readonly host: string;
  /** What the manager said is wrong with itself, in its last answer. */
  readonly warning: string | undefined;
  /** One request, one JSON answer (undefined when there is no body). Of a list it asks for all pages and gives them joined. */
  request<T>(method: Method, path: string, body?: unknown, settings?: RequestSettings): Promise<T>;
  /** A GET whose answer is one JSON value a line. Ends with the answer, or quietly when the signal aborts. */
  stream<T>(path: string, signal?: AbortSignal): AsyncGenerator<T, void, undefined>;
  /** Runs a command in a task's container. */
  exec(task: string, request: ExecRequest): Promise<ExecConnection>;
  /** A volume as a tar stream, or what it is made of again. `query` may name a node. */
  volumeStream(volume: string, what: 'backup' | 'restore', query: string): Promise<ExecConnection>;
  close(): void;
}

export interface ConnectOptions {
  /** For `tcp://`: the cluster's CA, and the caller's certificate and key, in PEM. */
  credentials?: { ca: string; cert: string; key: string };
}

const requestTimeoutMs = 30_000;
/** All pages of a list together. */
const listCharactersMax = 256 * 1024 * 1024;
const answerNext =
  'The manager is busy or stands still; what was asked may still be done. See `shoal doctor` and the log of the daemon on its host.';

interface Target {
  host: string;
  /** Absent on a unix socket. */
  secure?: { ca: string; cert: string; key: string; servername: string };
  options: http.RequestOptions;
  agent?: http.Agent;
  warning?: string;
  /** What a WebSocket to the path is opened with. */
  socketUrl: (path: string) => string;
}

/**
 * A client for `unix:///path/to/socket` or `tcp://HOST:PORT` (TLS; `https://` is the same). Nothing is connected before the
 * first request. Throws `invalid_argument` for any other host, and over TCP without credentials.
 */
export function connect(host: string, options: ConnectOptions = {}): Client {
  const target = targetOf(host, options);
  return {
    host,
    get warning() {
      return target.warning;
    },
    request: (method, path, body, settings) => requestOnce(target, method, path, body, settings),
    stream: (path, signal) => streamLines(target, path, signal),
    exec: (task, request) => {
      const query = `?request=${encodeURIComponent(JSON.stringify(request))}`;
      return openFrames(target, `/tasks/${encodeURIComponent(task)}/exec${query}`);
    },
    volumeStream: (volume, what, query) =>
      openFrames(target, `/volumes/${encodeURIComponent(volume)}/${what}${query}`),
    close: () => target.agent?.destroy(),
  };
}

function targetOf(host: string, options: ConnectOptions): Target {
  if (host.startsWith('unix:///')) {
    const socketPath = host.slice('unix://'.length);
    return { host, options: { socketPath }, socketUrl: (path) => `ws+unix:${socketPath}:${path}` };
  }
  const given = host.replace(/^tcp:/, 'https:');
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url?.protocol !== 'https:' || url.pathname !== '/') {
    throw new ShoalError('invalid_argument', `Cannot connect to ${JSON.stringify(host)}`, {
      next: 'Give unix:///path/to/shoal.sock or tcp://HOST:PORT.',
    });
  }
  if (options.credentials === undefined) {
    throw new ShoalError('invalid_argument', `Cannot connect to ${host} without a client certificate`, {
      next: 'Name the context of an administrator with --context or SHOAL_CONTEXT.',
    });
  }
  const port = url.port === '' ? String(managerPort) : url.port;
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    host,
    secure: { ...options.credentials, servername: managerServerName },
    options: { hostname, port },
    socketUrl: (path) => `wss://${url.hostname}:${port}${path}`,
  };
}

function fullPath(path: string): string {
  return path.startsWith(`${localPrefix}/`) ? path : `${apiPrefix}${path}`;
}

/** Sends a request and gives its answer once the headers are there and say that it worked. */
async function open(
  target: Target,
  method: Method,
  path: string,
  body: unknown,
  settings: RequestSettings,
): Promise<http.IncomingMessage> {
  // TLS is loaded for those who use it: most commands talk to a local socket and are to start at once.
  const transport = target.secure ? (await import('node:https')).default : http;
  target.agent ??= new transport.Agent({ keepAlive: true });
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const { signal, timeoutMs } = settings;
  const headers =
    payload === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
  // The other side may close a kept connection just when it is used again. A question is then asked again; of a change nobody
  // could tell whether it was made, so that each has a connection of its own.
  const isQuestion = method === 'GET';
  const answer = await new Promise<http.IncomingMessage | 'stale'>((resolve, reject) => {
    const request = transport.request(
      {
        ...target.options,
        ...target.secure,
        agent: isQuestion ? target.agent : false,
        method,
        path: fullPath(path),
        headers,
        signal,
        timeout: timeoutMs,
      },
      resolve,
    );
    request.on('error', (cause: NodeJS.ErrnoException) => {
      if (request.reusedSocket && isClosed(cause)) resolve('stale');
      else reject(signal?.aborted ? cause : connectionError(target, cause));
    });
    request.on('timeout', () =>
      request.destroy(
        new ShoalError(
          'deadline_exceeded',
          `Cannot get an answer from ${target.host} within ${(timeoutMs ?? 0) / 1_000} s`,
          { next: answerNext },
        ),
      ),
    );
    request.end(payload);
  });
  if (answer === 'stale') return await open(target, method, path, body, settings);
  target.warning = warningOf(answer);
  if ((answer.statusCode ?? 500) < 400) return answer;
  throw errorOfAnswer(answer.statusCode ?? 500, await readText(target, answer));
}

/** Each of those that were kept is used up by it, so that asking again ends. */
function isClosed({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function warningOf({ headers }: http.IncomingMessage): string | undefined {
  const text = headers[warningHeader];
  try {
    return typeof text === 'string' ? decodeURIComponent(text) : undefined;
  } catch {
    return undefined; // not a header of ours
  }
}

async function requestOnce<T>(
  target: Target,
  method: Method,
  path: string,
  body?: unknown,
  settings: RequestSettings = {},
): Promise<T> {
  const joined: unknown[] = [];
  let characters = 0;
  for (let next: string | undefined = path; ;) {
    const answer = await open(target, method, next, body, { timeoutMs: requestTimeoutMs, ...settings });
    const text = await readText(target, answer);
    const value = text === '' ? undefined : parseJson(target, text);
    next = method === 'GET' && Array.isArray(value) ? nextPage(path, answer) : undefined;
    if (next === undefined && joined.length === 0) return value as T;
    characters += text.length;
    if (characters > listCharactersMax) throw tooLong(target, listCharactersMax);
    for (const item of value as unknown[]) joined.push(item);
    if (next === undefined) return joined as T;
  }
}

/** The path of the page after this one; undefined when it is the last. */
function nextPage(path: string, { headers }: http.IncomingMessage): string | undefined {
  const token = headers[continueHeader];
  if (typeof token !== 'string' || token === '') return undefined;
  return `${path}${path.includes('?') ? '&' : '?'}continue=${encodeURIComponent(token)}`;
}

async function* streamLines<T>(
  target: Target,
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  try {
    const answer = await open(target, 'GET', path, undefined, { signal });
    for await (const line of linesOf(target, answer)) {
      const value = parseJson(target, line) as { error?: ApiError };
      if (value.error !== undefined) throw errorOf(value.error);
      yield value as T;
    }
  } catch (error) {
    if (signal?.aborted) return;
    throw error;
  }
}

/** Lines of an answer without their line feeds; empty ones, which only keep the connection alive, are left out. */
async function* linesOf(target: Target, answer: http.IncomingMessage): AsyncGenerator<string> {
  answer.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of answer as AsyncIterable<string>) {
      // Only what is new is looked through: a long line comes in many pieces.
      const [first = '', ...others] = chunk.split('\n');
      const lines = [rest + first, ...others];
      rest = lines.pop() ?? '';
      if (rest.length > apiBodyBytesMax) throw tooLong(target);
      yield* lines.filter((line) => line !== '');
    }
  } catch (error) {
    throw error instanceof ShoalError ? error : connectionError(target, error);
  }
  if (rest !== '') yield rest;
}

async function readText(target: Target, answer: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > apiBodyBytesMax) throw tooLong(target);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof ShoalError ? error : connectionError(target, error);
  }
  return Buffer.concat(chunks).toString();
}

function tooLong(target: Target, max = apiBodyBytesMax): ShoalError {
  return new ShoalError(
    'resource_exhausted',
    `Cannot read the answer of ${target.host}: it is over ${max} bytes`,
  );
}

function parseJson(target: Target, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ShoalError('unavailable', `Cannot read the answer of ${target.host}: it is not JSON`, {
      cause,
    });
  }
}

/** The error that an answer with this status and body stands for. Throws never. */
export function errorOfAnswer(status: number, text: string): ShoalError {
  try {
    const body = JSON.parse(text) as { error?: ApiError };
    if (typeof body.error?.message === 'string') return errorOf(body.error);
  } catch {
    // Not from Shoal, then; what it says is in the message below.
  }
  const said = text.trim().slice(0, 200);
  return new ShoalError(
    'unavailable',
    `Cannot do this: the other side answered ${status}${said === '' ? '' : `: ${said}`}`,
  );
}

/** An `ApiError` as an error to throw. */
export function errorOf(error: ApiError): ShoalError {
  // It may come from an agent, and an agent may say anything.
  const { code, message, next, details } = error as Partial<Record<keyof ApiError, unknown>>;
  const isKnown = typeof code === 'string' && Object.hasOwn(errorCodes, code);
  return new ShoalError(
    isKnown ? (code as ErrorCode) : 'internal',
    typeof message === 'string' ? message : 'The other side gave no reason',
    { next: typeof next === 'string' ? next : undefined, details },
  );
}

function connectionError(target: Target, cause: unknown): ShoalError {
  if (cause instanceof ShoalError) return cause;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'EACCES' || code === 'EPERM') {
    return new ShoalError('permission_denied', `Cannot open ${target.host}: permission denied`, {
      cause,
      next: 'Run the command as root, or as a member of the group that owns the socket.',
    });
  }
  const gone = code === 'ENOENT' || code === 'ECONNREFUSED';
  const why = gone ? 'nothing listens there' : cause instanceof Error ? cause.message : String(cause);
  return new ShoalError('unavailable', `Cannot reach Shoal at ${target.host}: ${why}`, {
    cause,
    next: 'Start the daemon with `shoal daemon`, or name another one with --host or SHOAL_HOST.',
  });
}

async function openFrames(target: Target, path: string): Promise<ExecConnection> {
  const { createWebSocketStream, WebSocket } = await import('ws');
  const socket = new WebSocket(target.socketUrl(fullPath(path)), {
    ...target.secure,
    perMessageDeflate: false,
    maxPayload: frameBytesMax,
    handshakeTimeout: requestTimeoutMs,
  });
  const duplex = createWebSocketStream(socket, { readableObjectMode: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('unexpected-response', (_request, answer: http.IncomingMessage) => {
      readText(target, answer).then((text) => reject(errorOfAnswer(answer.statusCode ?? 500, text)), reject);
    });
    duplex.once('error', (cause) => reject(connectionError(target, cause)));
  });
  return {
    frames: framesOf(target, duplex),
    send: (type, payload) =>
      new Promise((resolve, reject) =>
        duplex.write(encodeFrame(type, payload), (cause) =>
          cause ? reject(connectionError(target, cause)) : resolve(),
        ),
      ),
    close: () => void duplex.destroy(),
  };
}

async function* framesOf(target: Target, duplex: Duplex): AsyncGenerator<Frame> {
  try {
    for await (const message of duplex as AsyncIterable<Buffer>) yield decodeFrame(message);
  } catch (cause) {
    throw connectionError(target, cause);
  }
}
