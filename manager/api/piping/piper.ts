import http from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../../src/util/clock.ts';
import { messageOf, ShoalError } from '../../../src/util/errors.ts';
import type { Logger } from '../../../src/util/log.ts';
import { plainAddress } from '../../ca/addresses.ts';
import type { Caller } from '../callers.ts';
import { forwardedHeader, formatForwarded, notLeadingHeader } from '../forwarded.ts';
import { revisionHeader } from '../revision.ts';
import type { OtherSeat } from '../site.ts';
import { dial, type Credentials } from './dial.ts';
import { hasBody, headOf, passedOn } from './headers.ts';

/** Of the answer that refuses a WebSocket; more of it is not passed on. */
const refusalBytesMax = 64 * 1024;

/** `refused`: nothing was done, and another manager may be asked. */
export type PipeOutcome = 'answered' | 'refused';

export interface PiperParts {
  clock: Clock;
  log: Logger;
  /** The certificate of the node that this manager runs on. Throws while there is none. */
  credentials: () => Promise<Credentials>;
  /** What the other managers know this host by: what comes from its loopback address comes from there. */
  ownAddress: string;
}

interface Passed {
  request: IncomingMessage;
  caller: Caller;
}

export interface PassedRequest extends Passed {
  response: ServerResponse;
  /** The caller sends the body when it is told to. */
  isBodyWithheld: boolean;
  /** Called with the revision of a change, before the caller is told of it: who asks this manager next is to find it. */
  seen: (revision: number) => Promise<void>;
}

export interface PassedUpgrade extends Passed {
  socket: Duplex;
  head: Buffer;
}

/**
 * Passes on to the manager that leads what only that one answers, with the caller's identity. Each request has a connection of its
 * own: of a change nobody could tell whether it was made if one that is kept closed just then.
 */
export class Piper {
  readonly #parts: PiperParts;

  constructor(parts: PiperParts) {
    this.#parts = parts;
  }

  /** Has a request answered. Throws `unavailable` when the answer to a change was lost. */
  async request(passed: PassedRequest, seat: OtherSeat): Promise<PipeOutcome> {
    const { request, response, isBodyWithheld, seen } = passed;
    const far = await this.#dial(seat);
    if (far === undefined) return 'refused';
    const end = () => void far.destroy();
    const refused = () => {
      response.off('close', end);
      end();
      return 'refused' as const;
    };
    response.once('close', end);
    // Its body is sent once the other side says that it leads: so nothing of it is lost when it does not.
    const upstream = this.#ask(passed, far, hasBody(request) ? bodyFollows(request) : {});
    if (!hasBody(request)) upstream.end();
    else {
      upstream.flushHeaders();
      upstream.once('continue', () => {
        if (isBodyWithheld) response.writeContinue();
        request.once('error', end).pipe(upstream);
      });
    }
    const answer = await answerTo(upstream);
    if (answer === undefined) {
      if (request.method === 'GET') return refused();
      throw lost();
    }
    if (answer.headers[notLeadingHeader] !== undefined) return refused();
    if (request.method !== 'GET') await seen(Number(answer.headers[revisionHeader] ?? 0));
    response.writeHead(answer.statusCode ?? 502, {
      ...passedOn(answer),
      ...(!request.complete && { connection: 'close' }),
    });
    response.flushHeaders();
    response.off('close', end); // from here on, what breaks on one side ends the other
    await pipeline(answer, response).catch((error: unknown) => {
      this.#parts.log.debug('a request that was passed on broke off', { error: messageOf(error) });
      response.destroy();
    });
    return 'answered';
  }

  /** Joins the caller's connection with one to the leader once that has accepted it. Throws as `request` does. */
  async upgrade(passed: PassedUpgrade, seat: OtherSeat): Promise<PipeOutcome> {
    const { request, socket, head } = passed;
    const far = await this.#dial(seat);
    if (far === undefined) return 'refused';
    const end = () => void far.destroy();
    socket.once('close', end);
    const upstream = this.#ask(passed, far, { connection: 'upgrade', upgrade: request.headers.upgrade });
    const accepted = Promise.withResolvers<{ answer: IncomingMessage; farHead: Buffer }>();
    upstream.once('upgrade', (answer, _, farHead) => accepted.resolve({ answer, farHead }));
    const answered = answerTo(upstream).then((answer) => ({ answer, farHead: undefined }));
    upstream.end();
    const { answer, farHead } = await Promise.race([accepted.promise, answered]);
    if (answer === undefined) throw lost();
    if (answer.headers[notLeadingHeader] !== undefined) {
      socket.off('close', end);
      end();
      return 'refused';
    }
    if (farHead === undefined) {
      socket.end(Buffer.concat([Buffer.from(headOf(answer)), await readSome(answer)]));
      far.destroy();
    } else {
      socket.write(Buffer.concat([Buffer.from(headOf(answer)), farHead]));
      far.write(head);
      join(socket as Socket, far);
    }
    return 'answered';
  }

  async #dial(seat: OtherSeat): Promise<TLSSocket | undefined> {
    const { credentials, clock } = this.#parts;
    return await dial(seat, await credentials(), clock);
  }

  #ask({ request, caller }: Passed, far: TLSSocket, headers: OutgoingHttpHeaders): http.ClientRequest {
    const { claim, from } = caller;
    const forwarded = formatForwarded({
      claim,
      from: from && (isLoopback(from) ? this.#parts.ownAddress : plainAddress(from)),
    });
    return http.request({
      createConnection: () => far,
      method: request.method,
      path: request.url,
      headers: { ...passedOn(request), ...headers, [forwardedHeader]: forwarded },
    });
  }
}

function bodyFollows({ headers }: IncomingMessage): OutgoingHttpHeaders {
  const encoding = headers['transfer-encoding'];
  return { expect: '100-continue', ...(encoding !== undefined && { 'transfer-encoding': encoding }) };
}

/** The head of the answer; undefined when none came. */
function answerTo(upstream: http.ClientRequest): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    upstream.once('response', resolve);
    upstream.on('error', () => resolve(undefined));
    upstream.once('close', () => resolve(undefined));
  });
}

async function readSome(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > refusalBytesMax) break;
      chunks.push(chunk);
    }
  } catch {
    // it broke off: what came is what there is
  }
  return Buffer.concat(chunks);
}

/** Bytes both ways, no faster than they are read. What ends on one side ends on the other, and so does what breaks. */
function join(near: Socket, far: Socket): void {
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    // Such a connection may be quiet for long.
    one.removeAllListeners('timeout');
    one.setNoDelay(true);
    one.pipe(other);
    one.on('error', () => other.destroy());
    one.once('close', () => other.destroy());
  }
}

function isLoopback(address: string): boolean {
  const plain = plainAddress(address);
  return plain === '::1' || plain.startsWith('127.');
}

function lost(): ShoalError {
  return new ShoalError(
    'unavailable',
    'Cannot tell whether this was done: the manager that leads went away before it answered',
    { next: 'Look whether it was done before you ask for it again.' },
  );
}
