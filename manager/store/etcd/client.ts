import { Client, credentials, Metadata, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import type { Clock } from '../../../src/util/clock.ts';
import { assert, ShoalError } from '../../../src/util/errors.ts';
import { storeServerName } from '../../../src/wire/certificates.ts';
import { methods, type Calls, type WatchAnswer } from './protocol.ts';

/** Ours for an answer of etcd: a page of objects, and the largest transaction. */
const messageBytesMax = 64 * 1024 * 1024;
/** A connection on which nothing comes for this long, though it was asked, is dead. etcd is told to bear with it. */
const keepaliveMs = 1_000;
const statusMs = 300;
/** How often a member is asked for its status while calls to it are under way. */
const statusEveryMs = 250;
/** A member that has answered nothing at all, and not this many questions in a row, stands still. */
const missesMax = 2;
/** A member that has been left is asked again, with the others, before all others have been. */
const roundPauseMs = 50;
/** The own member that was left is asked this often whether it serves again; seldom when it has not done so for long before. */
const returnMs = { first: 250, max: 10_000 };

/** Status codes (gRPC core, statuscodes.md). */
const grpcCodes = { cancelled: 1, deadlineExceeded: 4, resourceExhausted: 8, unavailable: 14 } as const;

export interface EtcdTls {
  authorityPem: string;
  certificatePem: string;
  privateKeyPem: string;
}

export interface EtcdClientOptions {
  /** `HOST:PORT` of every member; the first is asked as long as it answers. */
  endpoints: readonly string[];
  tls: EtcdTls;
  clock: Clock;
}

/** An error of a call, as etcd said it. */
export function etcdDetails(error: unknown): string {
  return error instanceof Error && 'details' in error ? String(error.details) : String(error);
}

function codeOfCall(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

/** Whether another member may do better. What was asked may have been done all the same. */
export function isAway(error: unknown): boolean {
  const code = codeOfCall(error);
  if (code === grpcCodes.unavailable || code === grpcCodes.deadlineExceeded) return true;
  if (code === grpcCodes.cancelled) return true;
  // a member that stops, changes its leader, or is not part of the cluster's votes
  return /leader changed|request timed out|no leader|server stopped|rpc not supported for learner/.test(
    etcdDetails(error),
  );
}

/** Whether etcd refuses because its quota of space is used up. */
export function isNoSpace(error: unknown): boolean {
  return (
    codeOfCall(error) === grpcCodes.resourceExhausted && /database space exceeded/.test(etcdDetails(error))
  );
}

/** One member of etcd, over a channel of its own. Errors are gRPC's. */
export class EtcdMember {
  readonly endpoint: string;
  readonly #client: Client;
  readonly #clock: Clock;
  /** Calls under way, to be given up together once the member does not answer a small question. */
  readonly #calls = new Set<{ cancel(): void }>();
  readonly #watches = new Set<{ cancel(): void }>();
  #isAsked = false;
  /** Counts whatever it has answered. */
  #answers = 0;

  constructor(endpoint: string, { tls, clock }: EtcdClientOptions) {
    this.endpoint = endpoint;
    this.#clock = clock;
    const pem = (text: string) => Buffer.from(text);
    const secure = credentials.createSsl(
      pem(tls.authorityPem),
      pem(tls.privateKeyPem),
      pem(tls.certificatePem),
    );
    this.#client = new Client(endpoint, secure, {
      'grpc.ssl_target_name_override': storeServerName,
      'grpc.default_authority': storeServerName,
      'grpc.max_receive_message_length': messageBytesMax,
      'grpc.max_send_message_length': messageBytesMax,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveMs,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
  }

  /** Ends early, as away, when the member stands still. */
  async call<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
    timeoutMs: number,
  ): Promise<Calls[Name][1]> {
    void this.#watchOver();
    return await this.#unary(name, request, timeoutMs, true);
  }

  /** The same for what keeps the member from answering anything else meanwhile. */
  async callPatiently<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
    timeoutMs: number,
  ): Promise<Calls[Name][1]> {
    return await this.#unary(name, request, timeoutMs, false);
  }

  watch(): ClientDuplexStream<object, WatchAnswer> {
    const { path, requestSerialize, responseDeserialize } = methods.get('Watch.Watch')!;
    const metadata = new Metadata();
    metadata.set('hasleader', 'true'); // a member that lost its leader says so instead of nothing
    const stream = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => WatchAnswer,
      metadata,
    );
    this.#watches.add(stream);
    stream.once('close', () => this.#watches.delete(stream));
    return stream;
  }

  /** They are taken up elsewhere, as if the member were away. */
  endWatches(): void {
    for (const watch of this.#watches) watch.cancel();
  }

  /** What is under way ends, as if the member were away. */
  close(): void {
    for (const call of this.#calls) call.cancel();
    this.endWatches();
    this.#client.close();
  }

  #unary<Name extends keyof Calls>(
    name: Name,
    request: Calls[Name][0],
    timeoutMs: number,
    isGivenUp: boolean,
  ): Promise<Calls[Name][1]> {
    const { path, requestSerialize, responseDeserialize } = methods.get(name)!;
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        { deadline: this.#clock.now() + timeoutMs },
        (error: ServiceError | null, answer?: object) => {
          this.#calls.delete(call);
          if (error) return reject(error);
          this.#answers++;
          resolve(answer as Calls[Name][1]);
        },
      );
      if (isGivenUp) this.#calls.add(call);
    });
  }

  /** While calls are under way, asks for what a healthy member answers at once; a busy one answers something at least. */
  async #watchOver(): Promise<void> {
    if (this.#isAsked) return;
    this.#isAsked = true;
    let misses = 0;
    await this.#clock.sleep(statusEveryMs);
    while (this.#calls.size > 0 && misses < missesMax) {
      const before = this.#answers;
      await this.#unary('Maintenance.Status', {}, statusMs, false).catch(() => undefined); // counted below
      misses = this.#answers === before ? misses + 1 : 0;
      if (misses < missesMax) await this.#clock.sleep(statusEveryMs);
    }
    if (misses >= missesMax) for (const call of this.#calls) call.cancel(); // each says so to whoever made it
    this.#isAsked = false;
  }
}

/**
 * All members of one etcd: asks the own one, and others while that is away. It goes back as soon as it can: what is left at the member of
 * another manager stands still for seconds when that one's host is lost, and whoever has to take over needs it just then.
 */
export class EtcdClient {
  readonly #options: EtcdClientOptions;
  readonly #clock: Clock;
  #members: readonly EtcdMember[];
  #current: EtcdMember;
  readonly #closed = new AbortController();
  #isReturning = false;
  #returnMs = returnMs.first;
  #returnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#members = membersOf(options, []);
    this.#current = this.#members[0]!;
  }

  get members(): readonly EtcdMember[] {
    return this.#members;
  }

  get current(): EtcdMember {
    return this.#current;
  }

  /** From now on these are the members. What is under way at one that is none any more goes on at another. */
  setEndpoints(endpoints: readonly string[]): void {
    if (this.#closed.signal.aborted) return;
    const before = this.#members;
    this.#members = membersOf({ ...this.#options, endpoints }, before);
    if (!this.#members.includes(this.#current)) this.#current = this.#members[0]!;
    for (const member of before) if (!this.#members.includes(member)) member.close();
  }

  /** Another member is asked from now on, unless that has been settled meanwhile. */
  leave(member: EtcdMember): void {
    if (member !== this.#current) return;
    this.#current = this.#members[(this.#members.indexOf(member) + 1) % this.#members.length]!;
    if (!this.#isReturning) void this.#return();
  }

  /** Waits until the own member serves, and takes everything back to it. Never throws. */
  async #return(): Promise<void> {
    this.#isReturning = true;
    const stayedMs = this.#clock.monotonic() - this.#returnedAt;
    this.#returnMs = stayedMs > returnMs.max ? returnMs.first : Math.min(2 * this.#returnMs, returnMs.max);
    for (;;) {
      await this.#clock.sleep(this.#returnMs, this.#closed.signal).catch(() => undefined); // seen below
      const own = this.#members[0]!;
      if (this.#closed.signal.aborted || this.#current === own) break;
      if (!(await serves(own))) continue;
      this.#current = own;
      this.#returnedAt = this.#clock.monotonic();
      for (const member of this.#members) if (member !== own) member.endWatches();
      break;
    }
    this.#isReturning = false;
  }

  /**
   * Asks until a member answers. `attempt` is told how many attempts there were before. Throws gRPC's error for what etcd
   * refuses, and `unavailable` when none has answered within `totalMs`.
   */
  async ask<T>(totalMs: number, attempt: (member: EtcdMember, attempts: number) => Promise<T>): Promise<T> {
    const until = this.#clock.monotonic() + totalMs;
    for (let attempts = 0; ; attempts++) {
      if (this.#closed.signal.aborted)
        throw new ShoalError('unavailable', 'Cannot use the store: it was closed');
      const member = this.current;
      try {
        return await attempt(member, attempts);
      } catch (error) {
        if (!isAway(error)) throw error;
        this.leave(member);
        if (this.#clock.monotonic() >= until) throw noAnswer(this.members, error);
        if (attempts % this.members.length === this.members.length - 1) await this.#clock.sleep(roundPauseMs);
      }
    }
  }

  close(): void {
    this.#closed.abort();
    for (const member of this.members) member.close();
  }
}

/** Whether the member answers what only one answers that has a vote and all that was agreed on. */
async function serves(member: EtcdMember): Promise<boolean> {
  const nothing = { key: Buffer.from([0]), keysOnly: true };
  return await member.callPatiently('KV.Range', nothing, statusMs).then(
    () => true,
    () => false,
  );
}

/** Those that are known already stay what they are. */
function membersOf(options: EtcdClientOptions, known: readonly EtcdMember[]): EtcdMember[] {
  assert(options.endpoints.length > 0, 'a store on etcd has a member');
  return options.endpoints.map(
    (endpoint) => known.find((member) => member.endpoint === endpoint) ?? new EtcdMember(endpoint, options),
  );
}

function noAnswer(members: readonly EtcdMember[], cause: unknown): ShoalError {
  const names = members.map(({ endpoint }) => endpoint).join(', ');
  return new ShoalError(
    'unavailable',
    `Cannot reach the store: no member of etcd (${names}) has taken the request: ${etcdDetails(cause)}`,
    { cause, next: 'More than half of the managers must be up and reach each other.' },
  );
}
