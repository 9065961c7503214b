/** Questions about the outside world go to the host's resolvers. */
import { createSocket } from 'node:dgram';
import { readFile, stat } from 'node:fs/promises';
import { connect, isIP } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { systemRandom } from '../../src/util/random.ts';

/** How long one resolver is waited for, at most this many of them are asked, and this many questions run at once: Docker's figures. */
export const resolverTimeoutMs = 4_000;
export const resolversMax = 3;
export const questionsMax = 1_024;

/** `nameserver` lines of resolv.conf(5); the first three that are addresses. */
export function parseResolvers(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((address) => address !== undefined && isIP(address.split('%')[0]!) !== 0)
    .slice(0, resolversMax) as string[];
}

export class Forwarder {
  readonly #clock: Clock;
  readonly #file: string;
  #running = 0;
  #cached: { resolvers: string[]; changedAt: number } | undefined;

  constructor(clock: Clock, resolverFile: string) {
    this.#clock = clock;
    this.#file = resolverFile;
  }

  /**
   * The first resolver's answer; nothing when all are silent, there are none, or too many questions run already. Without
   * `own` the host's resolvers are asked.
   */
  async ask(
    query: Buffer,
    protocol: 'udp' | 'tcp',
    signal: AbortSignal,
    own?: readonly string[],
  ): Promise<Buffer | undefined> {
    if (this.#running >= questionsMax) return undefined;
    this.#running++;
    try {
      for (const resolver of own?.slice(0, resolversMax) ?? (await this.#resolvers())) {
        if (signal.aborted) return undefined;
        const answer =
          protocol === 'udp'
            ? await this.#askUdp(query, resolver, signal)
            : await this.#askTcp(query, resolver, signal);
        if (answer) return answer;
      }
      return undefined;
    } finally {
      this.#running--;
    }
  }

  /** Read again when the file has changed: hosts move between networks. */
  async #resolvers(): Promise<string[]> {
    try {
      const { mtimeMs } = await stat(this.#file);
      if (this.#cached?.changedAt !== mtimeMs) {
        this.#cached = { resolvers: parseResolvers(await readFile(this.#file, 'utf8')), changedAt: mtimeMs };
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
      socket.connect(53, resolver, (error?: Error) => (error ? finish(undefined) : socket.send(question)));
    });
  }

  #askTcp(query: Buffer, resolver: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const socket = connect(53, resolver);
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
    const cancel = this.#clock.after(resolverTimeoutMs, onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    return finish;
  }
}

/** DNS over TCP puts a two-byte length before each message (RFC 1035, 4.2.2). */
export function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
