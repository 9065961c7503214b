import { isManager } from '../../src/spec/manager-state.ts';
import type { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { View } from '../store/objects.ts';
import { forwardedHeader, parseForwarded } from './forwarded.ts';
import { claimOf, identityOf, type Claim, type Identity } from './identity.ts';

/** A timer of the platform holds at most 2^31 ms; a certificate that ends later is looked at again by then. */
const lookMsMax = 24 * 60 * 60 * 1000;

/** Who asks. */
export interface Caller {
  identity: Identity;
  claim: Claim;
  /** The address that the caller's connection comes from; undefined for a local socket. */
  from: string | undefined;
  /** Another manager took the request and passes it on: to nobody further, and that manager counts the caller's requests. */
  isForwarded: boolean;
}

/** A connection that came with a certificate that counted, or for whose certificate another manager vouches. */
interface Entry {
  identity: Identity;
  /** Stops looking at the expiry. */
  cancel: () => void;
}

/**
 * Who is at the other end of each connection. What was opened with a certificate ends with it: `enforce` closes the
 * connections of administrators and nodes that are no longer in the cluster, whatever streams on them.
 */
export class Callers {
  readonly #view: View;
  readonly #clock: Clock;
  readonly #known = new Map<Socket, Entry>();
  /** Whose request another manager passes on, on which of its connections. */
  readonly #forwarded = new Map<Socket, Entry>();

  constructor(view: View, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
  }

  /** Who opened the connection, as of now. */
  peer(socket: Socket): Identity {
    const identity = this.#identity(this.#claim(socket));
    const isKnown = identity.kind === 'administrator' || identity.kind === 'node';
    if (socket instanceof TLSSocket && isKnown && !this.#known.has(socket)) {
      this.#add(this.#known, socket, identity);
      socket.once('close', () => this.#remove(this.#known, socket));
    }
    return identity;
  }

  /**
   * Who sent the request, as of now: the peer, or whom a manager names that passes it on. Throws `permission_denied` when anybody
   * else names somebody.
   */
  caller({ socket, headers }: IncomingMessage): Caller {
    const header = headers[forwardedHeader];
    const peer = this.peer(socket);
    if (header === undefined) {
      return {
        identity: peer,
        claim: this.#claim(socket),
        from: socket.remoteAddress,
        isForwarded: false,
      };
    }
    if (peer.kind !== 'node' || !isManager(peer.node)) {
      throw new ShoalError('permission_denied', 'Cannot pass on the request of another: only a manager may');
    }
    const { claim, from } = parseForwarded(String(header));
    return { identity: this.#identity(claim), claim, from, isForwarded: true };
  }

  /**
   * Of a request that another manager passes on: closes its connection when the caller's certificate does not count any more, until
   * `exchange` is over.
   */
  follow(socket: Socket, { identity, isForwarded }: Caller, exchange: EventEmitter): void {
    if (!isForwarded) return;
    this.#add(this.#forwarded, socket, identity);
    exchange.once('close', () => this.#remove(this.#forwarded, socket));
  }

  /** Closes the connections whose certificates do not count any more. */
  enforce(): void {
    for (const entries of [this.#known, this.#forwarded]) {
      for (const [socket, { identity }] of entries) if (!this.#counts(identity)) socket.destroy();
    }
  }

  #claim(socket: Socket): Claim {
    return claimOf(socket, this.#view.cluster?.clusterId);
  }

  #identity(claim: Claim): Identity {
    return identityOf(claim, this.#view, this.#clock.now());
  }

  #add(entries: Map<Socket, Entry>, socket: Socket, identity: Identity): void {
    this.#remove(entries, socket);
    entries.set(socket, { identity, cancel: this.#look(identity) });
  }

  #remove(entries: Map<Socket, Entry>, socket: Socket): void {
    entries.get(socket)?.cancel();
    entries.delete(socket);
  }

  #counts(identity: Identity): boolean {
    if (identity.kind === 'node') return this.#view.nodes.has(identity.node.id);
    if (identity.kind !== 'administrator') return true;
    const { id, expiresAt } = identity.administrator;
    return this.#view.administrators.has(id) && this.#clock.now() < expiresAt;
  }

  /** Closes an administrator's connection when the certificate ends. */
  #look(identity: Identity): () => void {
    if (identity.kind !== 'administrator') return () => undefined;
    const { expiresAt } = identity.administrator;
    let cancel = () => undefined as void;
    const arm = () => {
      const waitMs = Math.max(1, expiresAt - this.#clock.now());
      cancel = this.#clock.after(Math.min(waitMs, lookMsMax), () => {
        if (this.#counts(identity)) arm();
        else this.enforce();
      });
    };
    arm();
    return () => cancel();
  }
}
