import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { KeyedRates } from '../../src/util/rate.ts';

/** What a host asks by HTTP is little: its session carries the rest. */
export const nodeRequestRate = { perSecond: 5, burst: 50 };
/** Tools that poll are let do so. */
export const administratorRequestRate = { perSecond: 200, burst: 1_000 };
/** Callers whose rates are known at a time. */
const callersMax = 4_096;

type Caller = { kind: 'node' | 'administrator'; key: string } | { kind: 'stranger' } | { kind: 'local' };

/**
 * How much of the manager one caller may have by HTTP. A connection has one request at a time, so that what a caller has under
 * way is bounded by its connections; a stranger's connection has one request in all, so that it is bounded by how often it may
 * connect; and a known caller has a rate.
 */
export class RequestRates {
  readonly #busy = new WeakSet<Socket>();
  readonly #rates: Record<'node' | 'administrator', KeyedRates>;

  constructor(clock: Clock) {
    this.#rates = {
      node: new KeyedRates(nodeRequestRate, callersMax, clock),
      administrator: new KeyedRates(administratorRequestRate, callersMax, clock),
    };
  }

  /** Takes note of a request. False: the one before it on its connection has not been answered, and the connection is to go. */
  begin({ socket }: IncomingMessage, response: ServerResponse): boolean {
    if (this.#busy.has(socket)) return false;
    this.#busy.add(socket);
    response.once('close', () => this.#busy.delete(socket));
    return true;
  }

  /** Throws `resource_exhausted` when the caller asks too often; its connection ends with the answer then. */
  check(caller: Caller, response: ServerResponse): void {
    if (caller.kind === 'local') return;
    if (caller.kind === 'stranger') {
      response.setHeader('connection', 'close');
      return;
    }
    if (this.#rates[caller.kind].take(caller.key)) return;
    response.setHeader('connection', 'close');
    throw new ShoalError(
      'resource_exhausted',
      `Cannot take the request: this ${caller.kind} sends too many`,
      {
        next: 'Send fewer requests a second.',
      },
    );
  }
}
