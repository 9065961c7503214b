import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Clock } from '../../src/util/clock.ts';
import type { View } from '../store/objects.ts';
import { identify, type Identity } from './identity.ts';

/** A timer of the platform holds at most 2^31 ms; a certificate that ends later is looked at again by then. */
const lookMsMax = 24 * 60 * 60 * 1000;

/**
 * Who is at the other end of each connection. What was opened with a certificate ends with it: `enforce` closes the
 * connections of administrators and nodes that are no longer in the cluster, whatever streams on them.
 */
export class Callers {
  readonly #view: View;
  readonly #clock: Clock;
  /** Connections that came with a certificate that counted, and how to stop looking at their expiry. */
  readonly #known = new Map<TLSSocket, { identity: Identity; cancel: () => void }>();

  constructor(view: View, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
  }

  /** Who sent the request, as of now. */
  identify(request: IncomingMessage): Identity {
    const identity = identify(request, this.#view, this.#clock.now());
    const { socket } = request;
    const isKnown = identity.kind === 'administrator' || identity.kind === 'node';
    if (socket instanceof TLSSocket && isKnown && !this.#known.has(socket)) {
      this.#known.set(socket, { identity, cancel: this.#look(identity) });
      socket.once('close', () => {
        this.#known.get(socket)?.cancel();
        this.#known.delete(socket);
      });
    }
    return identity;
  }

  /** Closes the connections whose certificates do not count any more. */
  enforce(): void {
    for (const [socket, entry] of this.#known) {
      if (!this.#counts(entry.identity)) socket.destroy();
    }
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
