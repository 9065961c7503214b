/** Questions about the outside world go to the host's resolvers, or to those of the task. */
import { createSocket } from 'node:dgram';
import { readFile, stat } from 'node:fs/promises';
import { connect, isIP } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { systemRandom } from '../../src/util/random.ts';
import { ResolverMemory, Shares } from './resolvers.ts';

/** How long one resolver is waited for, at most this many of them are asked, and this many questions run at once: Docker's figures. */
export const resolverTimeoutMs = 4_000;
export const resolversMax = 3;
export const questionsMax = 1_024;
/** After this long without an answer the next resolver is asked as well. */
export const headStartMs = 1_000;
/** Of those questions so many of one task, and so many at one resolver; less when others leave less (`Shares`). */
export const clientQuestionsMax = 64;
export const resolverQuestionsMax = 256;

const dnsPort = 53;
/** Codes with which a resolver says that it will not do, and another one might (RFC 1035, 4.1.1). */
const serverFailure = 2;
const refused = 5;

/** `nameserver` lines of resolv.conf(5); the first three that are addresses. */
export function parseResolvers(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((address) => address !== undefined && isIP(address.split('%')[0]!) !== 0)
    .slice(0, resolversMax) as string[];
}

export interface ForwardedQuestion {
  bytes: Buffer;
  protocol: 'udp' | 'tcp';
  /** Who asks: it has a share of its own. */
  client: string;
  /** Absent: the host's resolvers. */
  resolvers?: readonly string[] | undefined;
}

export interface ForwarderOptions {
  clock: Clock;
  resolverFile: string;
  /** Of resolvers. @default 53 */
  port?: number;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #memory = new ResolverMemory();
  readonly #clients = new Shares(questionsMax, clientQuestionsMax);
  /** Of each resolver that is being asked. */
  readonly #atResolvers = new Map<string, Shares>();
  #cached: { resolvers: string[]; changedAt: number } | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /**
   * An answer of the first resolver that has one; nothing when all are silent, there are none, or too many questions of this
   * client, or altogether, run already. What a resolver says of its own failure counts only when nobody knows better.
   */
  async ask(question: ForwardedQuestion, signal: AbortSignal): Promise<Buffer | undefined> {
    const { client } = question;
    if (!this.#clients.take(client)) return undefined;
    // What still runs when there is an answer is given up.
    const over = new AbortController();
    try {
      const resolvers = question.resolvers?.slice(0, resolversMax) ?? (await this.#resolvers());
      return await this.#askInTurn(question, resolvers, AbortSignal.any([signal, over.signal]));
    } finally {
      over.abort();
      this.#clients.giveBack(client);
    }
  }

  /** One after another, each with a head start; a failure hands on at once. */
  async #askInTurn(
    question: ForwardedQuestion,
    resolvers: readonly string[],
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { clock } = this.#options;
    const failures: Buffer[] = [];
    const attempts: Promise<Buffer>[] = [];
    for (const resolver of this.#memory.order(resolvers, clock.monotonic())) {
      const attempt = this.#attempt(question, resolver, signal).then((answer) => {
        if (answer && !isFailure(answer)) return answer;
        if (answer) failures.push(answer);
        throw new Error(`${resolver} has no answer`);
      });
      attempts.push(attempt);
      const early = new AbortController();
      const answer = await Promise.race([
        Promise.any(attempts).catch(() => undefined), // all that were asked so far have failed
        clock.sleep(headStartMs, early.signal).catch(() => undefined), // ends early with the race
      ]);
      early.abort();
      if (answer) return answer;
      if (signal.aborted) return undefined;
    }
    return await Promise.any(attempts).catch(() => failures[0]);
  }

  /** Nothing when the resolver does not answer in time, or has the client's share of questions already. */
  async #attempt(
    { bytes, protocol, client }: ForwardedQuestion,
    resolver: string,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { clock } = this.#options;
    const places = this.#atResolvers.get(resolver) ?? new Shares(resolverQuestionsMax, clientQuestionsMax);
    if (!places.take(client)) return undefined;
    this.#atResolvers.set(resolver, places);
    const askedAt = clock.monotonic();
    try {
      const answer =
        protocol === 'udp'
          ? await this.#askUdp(bytes, resolver, signal)
          : await this.#askTcp(bytes, resolver, signal);
      const now = clock.monotonic();
      if (answer) this.#memory.answered(resolver, now);
      // One that was given up within its head start was not waited for; one that refuses is told at once.
      else if (!signal.aborted || now - askedAt >= headStartMs) this.#memory.missed(resolver, askedAt, now);
      return answer;
    } finally {
      places.giveBack(client);
      if (places.isUnused) this.#atResolvers.delete(resolver);
    }
  }

  /** Read again when the file has changed: hosts move between networks. */
  async #resolvers(): Promise<string[]> {
    try {
      const { resolverFile } = this.#options;
      const { mtimeMs } = await stat(resolverFile);
      if (this.#cached?.changedAt !== mtimeMs) {
        this.#cached = {
          resolvers: parseResolvers(await readFile(resolverFile, 'utf8')),
          changedAt: mtimeMs,
        };
      }
      return this.#cached.resolvers;
    } catch {
      return []; // a host without the file has no resolvers; the client is told that the server failed
    }
  }

  #askUdp(query: Buffer, resolver: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const socket = createSocket(isIP(resolver) === 6 ? 'udp6' : 'udp4');
    // An identifier of our own, and a fresh port: what a client chose is no protection against forged answers.
    const id = Math.floor(systemRandom.next() * 65_536);
    const question = Buffer.from(query);
    question.writeUInt16BE(id, 0);
    return new Promise((resolve) => {
      const finish = this.#once(signal, (answer) => {
        socket.close();
        resolve(answer);
      });
      socket.on('error', () => finish(undefined)); // the next resolver is asked
      socket.on('message', (bytes) => {
        if (bytes.length < 12 || bytes.readUInt16BE(0) !== id || (bytes[2]! & 0x80) === 0) return;
        query.copy(bytes, 0, 0, 2);
        finish(bytes);
      });
      // Connected, so that only the resolver is heard and its refusal is known at once.
      // The callback is told of a failure too, such as a network without a route to the resolver.
      socket.connect(this.#options.port ?? dnsPort, resolver, (error?: Error) =>
        error ? finish(undefined) : socket.send(question),
      );
    });
  }

  #askTcp(query: Buffer, resolver: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const socket = connect(this.#options.port ?? dnsPort, resolver);
    return new Promise((resolve) => {
      let received = Buffer.alloc(0);
      const finish = this.#once(signal, (answer) => {
        socket.destroy();
        resolve(answer);
      });
      socket.on('error', () => finish(undefined)); // the next resolver is asked
      socket.on('close', () => finish(undefined));
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (received.length < 2) return;
        const length = received.readUInt16BE(0);
        if (received.length >= length + 2) finish(received.subarray(2, length + 2));
      });
      socket.write(framed(query));
    });
  }

  /** Calls `done` once: with the answer, or with nothing after the time limit or when the signal aborts. */
  #once(
    signal: AbortSignal,
    done: (answer: Buffer | undefined) => void,
  ): (answer: Buffer | undefined) => void {
    let finished = false;
    const finish = (answer: Buffer | undefined) => {
      if (finished) return;
      finished = true;
      cancel();
      signal.removeEventListener('abort', onAbort);
      done(answer);
    };
    const onAbort = () => finish(undefined);
    const cancel = this.#options.clock.after(resolverTimeoutMs, onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    return finish;
  }
}

function isFailure(answer: Buffer): boolean {
  const code = answer[3]! & 0xf;
  return code === serverFailure || code === refused;
}

/** DNS over TCP puts a two-byte length before each message (RFC 1035, 4.2.2). */
export function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
