import type { Clock } from '../../src/util/clock.ts';
import type { Logger } from '../../src/util/log.ts';
import { KeyedRates } from '../../src/util/rate.ts';
import { connectionRate } from '../../src/wire/session.ts';

/** Connections that have not shown a certificate that counts: from one address, and from all. At either the oldest one is closed. */
export const strangersOfAddressMax = 32;
export const strangersMax = 1_024;
/** TLS must stand within this long after the connection. */
export const handshakeMsMax = 5_000;
/** A connection without a certificate that counts is there to join, and ends after this long. */
export const strangerMsMax = 20_000;
/** Connections of one node or administrator; another one is refused. An agent has one session and some streams. */
export const connectionsOfCallerMax = 256;
/** The same of a manager, and of its host's address: it passes on what others ask, and has counted them. */
export const connectionsOfManagerMax = 8_192;
export const strangersOfManagerMax = 512;
export const managerConnectionRate = { perSecond: 500, burst: 4_000 };
/** What a connection that breaks the rules counts for: opening it, and what it sent, cost as much. */
const misuseCost = 20;
/** Addresses whose rates are known at a time; the one that is heard of least is forgotten. */
const ratesMax = 4_096;

export interface Connection {
  destroy(): unknown;
}

interface Stranger {
  address: string;
  connection: Connection;
  cancel: () => void;
}

/**
 * Which connections to the managers' port may stay. Whoever has not shown who it is gets little and not for long; what it
 * takes is taken from other strangers only, so that nodes and administrators never stand behind them: a handshake takes
 * milliseconds, and the oldest connection that is still unknown is the first to go.
 */
export class Admission {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By address and port; the oldest first. */
  readonly #strangers = new Map<string, Stranger>();
  readonly #byAddress = new Map<string, Set<string>>();
  readonly #callers = new Map<string, number>();
  readonly #rates: KeyedRates;
  readonly #managerRates: KeyedRates;
  readonly #isManager: (address: string) => boolean;
  #refusedSince: { count: number; at: number } | undefined;

  /** `isManager`: whether a manager's host has the address. */
  constructor(clock: Clock, log: Logger, isManager: (address: string) => boolean = () => false) {
    this.#isManager = isManager;
    this.#clock = clock;
    this.#log = log;
    this.#rates = new KeyedRates(connectionRate, ratesMax, clock);
    this.#managerRates = new KeyedRates(managerConnectionRate, ratesMax, clock);
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  /** Takes in a new connection; `key` is its address and port. False: it is to be closed at once. */
  admit(key: string, address: string, connection: Connection): boolean {
    const isManager = this.#isManager(address);
    if (!(isManager ? this.#managerRates : this.#rates).take(address)) {
      this.#tellRefused(address);
      return false;
    }
    const own = this.#byAddress.get(address) ?? new Set();
    if (own.size >= (isManager ? strangersOfManagerMax : strangersOfAddressMax)) this.#drop(firstOf(own));
    else if (this.#strangers.size >= strangersMax) this.#drop(firstOf(this.#largest()));
    const cancel = this.#clock.after(strangerMsMax, () => this.#drop(key));
    this.#strangers.set(key, { address, connection, cancel });
    this.#byAddress.set(address, own.add(key));
    return true;
  }

  /** A connection from there had to be closed for what it did: the address may open fewer for a while. */
  misused(address: string): void {
    this.#rates.charge(address, misuseCost);
  }

  /** The connection is that of a node or administrator. False: they have too many, and it is to be closed. */
  recognise(key: string, caller: string, connectionsMax = connectionsOfCallerMax): boolean {
    if (!this.#forget(key)) return true; // recognised before
    const count = (this.#callers.get(caller) ?? 0) + 1;
    if (count > connectionsMax) return false;
    this.#callers.set(caller, count);
    return true;
  }

  /** A connection that was recognised has ended. */
  release(caller: string): void {
    const count = (this.#callers.get(caller) ?? 0) - 1;
    if (count > 0) this.#callers.set(caller, count);
    else this.#callers.delete(caller);
  }

  /** A connection that may still be a stranger's has ended. */
  end(key: string): void {
    this.#forget(key);
  }

  /** The addresses with most strangers. */
  #largest(): Set<string> {
    let largest = new Set<string>();
    for (const keys of this.#byAddress.values()) if (keys.size > largest.size) largest = keys;
    return largest;
  }

  #drop(key: string | undefined): void {
    if (key === undefined) return;
    const stranger = this.#strangers.get(key);
    this.#forget(key);
    stranger?.connection.destroy();
  }

  #forget(key: string): boolean {
    const stranger = this.#strangers.get(key);
    if (stranger === undefined) return false;
    stranger.cancel();
    this.#strangers.delete(key);
    const own = this.#byAddress.get(stranger.address);
    own?.delete(key);
    if (own?.size === 0) this.#byAddress.delete(stranger.address);
    return true;
  }

  /** One line a second at most. */
  #tellRefused(address: string): void {
    const now = this.#clock.monotonic();
    const since = this.#refusedSince;
    if (since !== undefined && now - since.at < 1_000) {
      since.count++;
      return;
    }
    this.#log.warn('connections are refused: too many a second', { address, before: since?.count ?? 0 });
    this.#refusedSince = { count: 0, at: now };
  }
}

function firstOf<T>(values: Iterable<T>): T | undefined {
  for (const value of values) return value;
  return undefined;
}
