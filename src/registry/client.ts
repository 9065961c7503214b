import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Clock } from '../util/clock.ts';
import { ShoalError } from '../util/errors.ts';
import { acceptedManifests, configBytesMax, digestOf, manifestBytesMax } from './content.ts';
import { canonicalReference, isLoopback, registryUrl, type Reference } from './reference.ts';

/** A connection on which nothing comes for this long is given up. */
const idleTimeoutMs = 30_000;
const redirectsMax = 5;
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
  constructor(status: number, message: string) {
    super(message);
    this.name = 'RegistryError';
    this.status = status;
  }
}

/** Whether another attempt may help: lost connections, overload and faults of the server. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof ShoalError) return error.code === 'unavailable';
  return (
    !(error instanceof RegistryError) || error.status >= 500 || error.status === 429 || error.status === 408
  );
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
  #token: Token | undefined;
  /** The registry wants the login itself with each request, not a token. */
  #isBasic = false;

  constructor(options: {
    reference: Reference;
    insecureRegistries: readonly string[];
    clock: Clock;
    login?: Login | undefined;
  }) {
    this.#reference = options.reference;
    this.#base = registryUrl(options.reference.registry, options.insecureRegistries);
    this.#clock = options.clock;
    this.#login = options.login;
  }

  /** A manifest by tag or digest, verified. */
  async manifest(
    tagOrDigest: string,
    signal: AbortSignal,
  ): Promise<{ bytes: Buffer; contentType: string; digest: string }> {
    const response = await this.#get(`manifests/${tagOrDigest}`, { accept: acceptedManifests }, signal);
    const bytes = await readAll(response, manifestBytesMax);
    const digest = digestOf(bytes);
    const promised = tagOrDigest.startsWith('sha256:')
      ? tagOrDigest
      : response.headers['docker-content-digest'];
    if (typeof promised === 'string' && promised.startsWith('sha256:') && promised !== digest) {
      throw new ShoalError(
        'image_invalid',
        `Cannot use the image: its manifest is ${digest} and should be ${promised}`,
      );
    }
    return { bytes, contentType: response.headers['content-type'] ?? '', digest };
  }

  /** A small blob whole, verified. */
  async blob(digest: string, signal: AbortSignal): Promise<Buffer> {
    const response = await this.#get(`blobs/${digest}`, {}, signal);
    const bytes = await readAll(response, configBytesMax);
    if (digestOf(bytes) === digest) return bytes;
    throw new ShoalError(
      'image_invalid',
      `Cannot use the image: ${digest} has another content than its digest says`,
    );
  }

  /** A blob from `offset` on. `offset` in the answer is where it really starts: 0 when the registry knows no ranges. */
  async openBlob(
    digest: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<{ stream: IncomingMessage; offset: number }> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const stream = await this.#get(`blobs/${digest}`, headers, signal);
    return { stream, offset: stream.statusCode === 206 ? offset : 0 };
  }

  async #get(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    const url = new URL(`/v2/${this.#reference.repository}/${path}`, this.#base);
    const authorized = () => ({ ...headers, ...this.#authorization() });
    const response = await getFollowing(url, authorized(), signal);
    if (response.statusCode !== 401) return checked(response);
    response.resume();
    await this.#authenticate(response.headers['www-authenticate'] ?? '', signal);
    return checked(await getFollowing(url, authorized(), signal));
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
    const response = checked(await getFollowing(url, this.#loginFor(url), signal));
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

function checked(response: IncomingMessage): IncomingMessage {
  const code = response.statusCode ?? 0;
  if (code === 200 || code === 206) return response;
  response.resume();
  throw new RegistryError(code, `the registry answered ${code} ${response.statusMessage ?? ''}`.trim());
}

/** A GET that follows redirects. Credentials stay with the origin they were meant for, and TLS is never left. */
async function getFollowing(
  start: URL,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let url = start;
  for (let redirects = 0; ; redirects++) {
    const { authorization, ...others } = headers;
    const own = url.origin === start.origin && authorization !== undefined;
    const response = await get(url, own ? { ...others, authorization } : others, signal);
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined)
      return response;
    response.resume();
    if (redirects >= redirectsMax) throw new RegistryError(502, 'the registry redirects without end');
    const next = new URL(location, url);
    if (url.protocol === 'https:' && next.protocol !== 'https:') {
      throw new RegistryError(400, `the registry redirects to ${next.host} without TLS`);
    }
    url = next;
  }
}

function get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(
      url,
      { headers: { 'user-agent': 'shoal', ...headers }, signal, timeout: idleTimeoutMs },
      resolve,
    );
    request.on('timeout', () => request.destroy(new Error(`${url.host} was silent for ${idleTimeoutMs} ms`)));
    request.on('error', reject);
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
