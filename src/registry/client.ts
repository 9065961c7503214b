import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { systemClock, withDeadline, type Clock } from '../util/clock.ts';
import { ShoalError } from '../util/errors.ts';
import { acceptedManifests, configBytesMax, digestOf, manifestBytesMax } from './content.ts';
import { registryLimits, type RegistryLimits } from './limits.ts';
import { canonicalReference, isLoopback, registryUrl, type Reference } from './reference.ts';
import { withLeastThroughput } from './throughput.ts';

const redirectsMax = 5;
/** What a redirect or a refusal says beside its headers: longer or later ones cost their connection. */
const passOverMs = 1_000;
const passOverBytesMax = 64 * 1024;
const tokenBytesMax = 1024 * 1024;
/** A token without a lifetime lives this long (Docker registry token authentication: at least 60 s). */
const tokenLifetimeDefaultS = 60;

/** Who asks a registry. */
export interface Login {
  user: string;
  password: string;
}

interface Token {
  value: string;
  expiresAtMs: number;
}

/** A registry answered, but not with what was asked for. */
export class RegistryError extends Error {
  readonly status: number;
  /** How long the registry asks to be left alone, in ms. */
  readonly retryAfterMs: number | undefined;
  constructor(status: number, message: string, retryAfterMs?: number) {
    super(message);
    this.name = 'RegistryError';
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Whether another attempt may help: lost connections, overload and faults of the server. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof ShoalError) return error.code === 'unavailable';
  return (
    !(error instanceof RegistryError) || error.status >= 500 || error.status === 429 || error.status === 408
  );
}

/** For `retry`: how long to leave the registry alone after this error, in ms. */
export function pauseAfter(error: unknown): number | undefined {
  return error instanceof RegistryError ? error.retryAfterMs : undefined;
}

/**
 * A `Retry-After` header in ms: seconds or a date (RFC 9110, section 10.2.3), at most `max`. Undefined when it is absent or
 * means nothing.
 */
export function retryAfterMs(header: string | undefined, now: number, max: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.min(max, Math.max(0, ms));
}

/** A registry's error in the words that a person gets; `doing` is what was tried, in words that follow "Cannot". */
export function pullError(reference: Reference, error: unknown, doing = 'pull'): Error {
  if (error instanceof ShoalError) return error;
  const name = canonicalReference(reference);
  const cannot = `Cannot ${doing} ${name}`;
  if (!(error instanceof RegistryError)) {
    return new ShoalError('unavailable', `${cannot}: the registry ${reference.registry} cannot be reached`, {
      cause: error,
    });
  }
  if (error.status === 401 || error.status === 403) {
    return new ShoalError(
      'image_not_found',
      `${cannot}: access denied; the repository does not exist or may need a login`,
      { cause: error, next: 'Check the spelling of the image.' },
    );
  }
  if (error.status === 404) {
    return new ShoalError('image_not_found', `${cannot}: the registry does not have it`, {
      next: 'Check the spelling of the image and its tag.',
    });
  }
  const code = isRetryable(error) ? 'unavailable' : 'image_invalid';
  return new ShoalError(code, `${cannot}: ${error.message}`, { cause: error });
}

/** Reads one repository of one registry (OCI distribution specification 1.1, "Pull"), without a login unless one is given. */
export class RepositoryClient {
  readonly #reference: Reference;
  readonly #base: URL;
  readonly #clock: Clock;
  readonly #login: Login | undefined;
  readonly #limits: RegistryLimits;
  #token: Token | undefined;
  /** The registry wants the login itself with each request, not a token. */
  #isBasic = false;

  constructor(options: {
    reference: Reference;
    insecureRegistries: readonly string[];
    clock: Clock;
    login?: Login | undefined;
    /** @default registryLimits */
    limits?: RegistryLimits;
  }) {
    this.#reference = options.reference;
    this.#base = registryUrl(options.reference.registry, options.insecureRegistries);
    this.#clock = options.clock;
    this.#login = options.login;
    this.#limits = options.limits ?? registryLimits;
  }

  /** A manifest by tag or digest, verified. */
  async manifest(
    tagOrDigest: string,
    signal: AbortSignal,
  ): Promise<{ bytes: Buffer; contentType: string; digest: string }> {
    const path = `manifests/${tagOrDigest}`;
    const { bytes, headers } = await this.#small(
      path,
      { accept: acceptedManifests },
      manifestBytesMax,
      signal,
    );
    const digest = digestOf(bytes);
    const promised = tagOrDigest.startsWith('sha256:') ? tagOrDigest : headers['docker-content-digest'];
    if (typeof promised === 'string' && promised.startsWith('sha256:') && promised !== digest) {
      throw new ShoalError(
        'image_invalid',
        `Cannot use the image: its manifest is ${digest} and should be ${promised}`,
      );
    }
    return { bytes, contentType: headers['content-type'] ?? '', digest };
  }

  /** A small blob whole, verified. */
  async blob(digest: string, signal: AbortSignal): Promise<Buffer> {
    const { bytes } = await this.#small(`blobs/${digest}`, {}, configBytesMax, signal);
    if (digestOf(bytes) === digest) return bytes;
    throw new ShoalError(
      'image_invalid',
      `Cannot use the image: ${digest} has another content than its digest says`,
    );
  }

  /**
   * A blob from `offset` on. `offset` in the answer is where it really starts: 0 when the registry knows no ranges. What
   * comes too slowly ends with `unavailable`.
   */
  async openBlob(
    digest: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<{ chunks: AsyncGenerator<Buffer>; offset: number; close: () => void }> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const { firstByteMs, throughput } = this.#limits;
    const stream = await this.#within(firstByteMs, signal, (limited) =>
      this.#get(`blobs/${digest}`, headers, limited),
    );
    return {
      chunks: withLeastThroughput(stream, throughput, this.#clock),
      offset: stream.statusCode === 206 ? offset : 0,
      close: () => void stream.destroy(),
    };
  }

  /** An answer that is small enough to be had whole. */
  async #small(
    path: string,
    headers: Record<string, string>,
    bytesMax: number,
    signal: AbortSignal,
  ): Promise<{ bytes: Buffer; headers: IncomingMessage['headers'] }> {
    return await this.#within(this.#limits.smallAnswerMs, signal, async (limited) => {
      const response = await this.#get(path, headers, limited);
      return { bytes: await readAll(response, bytesMax), headers: response.headers };
    });
  }

  /** Like `withDeadline`, with a fault of the registry's at its end. */
  async #within<T>(ms: number, signal: AbortSignal, work: (limited: AbortSignal) => Promise<T>): Promise<T> {
    const { registry } = this.#reference;
    let limit: AbortSignal | undefined;
    try {
      return await withDeadline(ms, registry, (limited) => work((limit = limited)), signal);
    } catch (error) {
      if (signal.aborted || limit?.aborted !== true) throw error;
      throw new ShoalError(
        'unavailable',
        `Cannot read from ${registry}: no whole answer within ${ms / 1000} s`,
      );
    }
  }

  async #get(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    const url = new URL(`/v2/${this.#reference.repository}/${path}`, this.#base);
    const authorized = () => ({ ...headers, ...this.#authorization() });
    const response = await getFollowing(url, authorized(), this.#limits, signal);
    if (response.statusCode !== 401) return this.#checked(response);
    passOver(response);
    await this.#authenticate(response.headers['www-authenticate'] ?? '', signal);
    return this.#checked(await getFollowing(url, authorized(), this.#limits, signal));
  }

  #checked(response: IncomingMessage): IncomingMessage {
    const { statusCode = 0, statusMessage = '', headers } = response;
    if (statusCode === 200 || statusCode === 206) return response;
    response.destroy(); // what a server has to say on an error is not worth waiting for
    const pause = retryAfterMs(headers['retry-after'], this.#clock.now(), this.#limits.retryAfterMsMax);
    throw new RegistryError(statusCode, `the registry answered ${statusCode} ${statusMessage}`.trim(), pause);
  }

  #authorization(): Record<string, string> {
    if (this.#isBasic) return this.#loginFor(this.#base);
    if (!this.#token || this.#token.expiresAtMs <= this.#clock.now()) return {};
    return { authorization: `Bearer ${this.#token.value}` };
  }

  /** The login as a header (RFC 7617), for a server that it may be told: over TLS, or on this machine. */
  #loginFor(url: URL): Record<string, string> {
    const isSafe = url.protocol === 'https:' || isLoopback(url.hostname);
    if (this.#login === undefined || !isSafe) return {};
    const { user, password } = this.#login;
    return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
  }

  /** Fetches a token, an anonymous one without a login (Docker registry: "Token authentication specification"). */
  async #authenticate(challenge: string, signal: AbortSignal): Promise<void> {
    if (/^basic\b/i.test(challenge) && this.#login !== undefined) {
      this.#isBasic = true;
      return;
    }
    const parameters = parseChallenge(challenge);
    if (!parameters?.['realm']) throw new RegistryError(401, 'the registry wants a login');
    const url = new URL(parameters['realm']);
    if (url.protocol !== 'https:' && url.origin !== this.#base.origin && this.#base.protocol === 'https:') {
      throw new RegistryError(401, 'the registry names a token server without TLS');
    }
    if (parameters['service']) url.searchParams.set('service', parameters['service']);
    url.searchParams.set('scope', parameters['scope'] ?? `repository:${this.#reference.repository}:pull`);
    const response = this.#checked(await getFollowing(url, this.#loginFor(url), this.#limits, signal));
    const answer = parseToken(await readAll(response, tokenBytesMax));
    if (!answer) throw new RegistryError(401, 'the token server gave no token');
    this.#token = { value: answer.token, expiresAtMs: this.#clock.now() + answer.lifetimeS * 1000 };
  }
}

/** The parameters of a `Bearer` challenge (RFC 6750, section 3), or nothing when it is another scheme. */
export function parseChallenge(challenge: string): Record<string, string> | undefined {
  if (!/^bearer\s/i.test(challenge)) return undefined;
  const pairs = challenge.matchAll(/([a-z_]+)=(?:"([^"]*)"|([^\s,"]+))/gi);
  return Object.fromEntries(
    Array.from(pairs, ([, name, quoted, bare]) => [name!.toLowerCase(), quoted ?? bare!]),
  );
}

function parseToken(bytes: Buffer): { token: string; lifetimeS: number } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new ShoalError('unavailable', 'Cannot read the answer of the token server', { cause });
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { token, access_token: accessToken, expires_in: expires } = value as Record<string, unknown>;
  const text = typeof token === 'string' ? token : accessToken;
  if (typeof text !== 'string' || text === '') return undefined;
  return { token: text, lifetimeS: typeof expires === 'number' ? expires : tokenLifetimeDefaultS };
}

/** A GET that follows redirects. Credentials stay with the origin they were meant for, and TLS is never left. */
async function getFollowing(
  start: URL,
  headers: Record<string, string>,
  limits: RegistryLimits,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let url = start;
  for (let redirects = 0; ; redirects++) {
    const { authorization, ...others } = headers;
    const own = url.origin === start.origin && authorization !== undefined;
    const response = await get(url, own ? { ...others, authorization } : others, limits, signal);
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined)
      return response;
    passOver(response);
    if (redirects >= redirectsMax) throw new RegistryError(502, 'the registry redirects without end');
    const next = new URL(location, url);
    if (url.protocol === 'https:' && next.protocol !== 'https:') {
      throw new RegistryError(400, `the registry redirects to ${next.host} without TLS`);
    }
    url = next;
  }
}

/** Reads past a body that nobody wants, so that its connection can be used again, unless it is long or drips. */
function passOver(response: IncomingMessage): void {
  let bytes = 0;
  const cancel = systemClock.after(passOverMs, () => response.destroy());
  response.once('close', cancel);
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > passOverBytesMax) response.destroy();
  });
}

function get(
  url: URL,
  headers: Record<string, string>,
  { connectMs, idleMs }: RegistryLimits,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(
      url,
      { headers: { 'user-agent': 'shoal', ...headers }, signal, timeout: idleMs },
      resolve,
    );
    request.on('timeout', () => request.destroy(new Error(`${url.host} was silent for ${idleMs} ms`)));
    request.on('error', reject);
    request.once('socket', (socket) => {
      if (!socket.connecting) return; // it is of an earlier request
      const fail = () => request.destroy(new Error(`${url.host} did not connect within ${connectMs} ms`));
      const cancel = systemClock.after(connectMs, fail);
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', cancel);
      socket.once('close', cancel);
    });
    request.end();
  });
}

/** Collects a response; more than `bytesMax` is refused. */
async function readAll(response: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new RegistryError(413, `the registry sent more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
