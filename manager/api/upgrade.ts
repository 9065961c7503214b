import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { ShoalError } from '../../src/util/errors.ts';
import type { Access, Identity } from './identity.ts';
import { matchPattern } from './router.ts';

export interface UpgradeCall {
  /** As in `Call`. */
  objects: string[];
  identity: Identity;
  /** Empty on the local socket. */
  remoteAddress: string;
  /** The connection beneath. */
  transport: Duplex;
  parameters: Record<string, string>;
  query: URLSearchParams;
}

/** A path that is opened as a WebSocket. */
export interface UpgradeRoute {
  pattern: string;
  access: Access;
  /** Whether attempts go into the audit log; refused ones always do. @default false */
  audited?: boolean;
  /** Larger messages end the connection. */
  messageBytesMax: 'session' | 'frame';
  /** Everything that may fail, before the connection is accepted. */
  prepare: (call: UpgradeCall) => Promise<PreparedUpgrade>;
}

export interface PreparedUpgrade {
  accept: (socket: WebSocket) => void;
  /** Called instead of `accept` when the caller has gone in the meantime. */
  abandon?: () => void;
}

/** The route for a path, with the values of its names. Throws `not_found`. */
export function findUpgrade(
  routes: readonly UpgradeRoute[],
  path: string,
): { route: UpgradeRoute; parameters: Record<string, string> } {
  for (const route of routes) {
    const parameters = matchPattern(route.pattern, path);
    if (parameters !== undefined) return { route, parameters };
  }
  throw new ShoalError('not_found', `Cannot open ${path}: there is no such path`);
}
