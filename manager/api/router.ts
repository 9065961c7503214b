import type { IncomingMessage, ServerResponse } from 'node:http';
import { ShoalError } from '../../src/util/errors.ts';
import type { Method } from '../../src/wire/client.ts';
import type { Access, Identity } from './identity.ts';

export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  identity: Identity;
  /** The address that the caller's connection comes from; undefined for a local socket. */
  from: string | undefined;
  /** Values of the pattern's `:names`, decoded. */
  parameters: Record<string, string>;
  query: URLSearchParams;
  /** For the audit log: what the call is about, such as `create secret key`. Routes add to it as soon as they know. */
  objects: string[];
  /** Aborts when the caller has gone or the server stops. */
  signal: AbortSignal;
  /** The body as JSON. */
  body: () => Promise<unknown>;
}

export interface Route {
  method: Method;
  /** `/nodes/:ref`; a segment that begins with a colon matches anything and is named. */
  pattern: string;
  access: Access;
  /**
   * Where it is answered: by any manager, from its view, or by the one that leads.
   * @default leader
   */
  from?: 'view' | 'leader' | ((query: URLSearchParams) => 'view' | 'leader');
  /** The answer as a value for JSON; a route that streams has written its answer itself and gives `streamed`. */
  handle: (call: Call) => unknown;
  /** @default 200 */
  status?: number;
  /** A larger body is refused with 413. @default `bodyBytesMax` in `bodies.ts` */
  bodyBytesMax?: number;
  /** Whether attempts go into the audit log; refused ones always do. @default all but GET */
  audited?: boolean;
}

/** Whether any manager answers, from its view. */
export function readsView({ from = 'leader' }: Pick<Route, 'from'>, query: URLSearchParams): boolean {
  return (typeof from === 'function' ? from(query) : from) === 'view';
}

/** What a route gives that has answered by itself. */
export const streamed = Symbol('streamed');

/** The route for a method and path, with the values of its names. Throws `not_found` or `invalid_argument`. */
export function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): { route: Route; parameters: Record<string, string> } {
  let otherMethod = false;
  for (const route of routes) {
    const parameters = matchPattern(route.pattern, path);
    if (parameters === undefined) continue;
    if (route.method === method) return { route, parameters };
    otherMethod = true;
  }
  const why = otherMethod ? 'the path does not take this method' : 'there is no such path';
  throw new ShoalError('not_found', `Cannot ${method} ${path}: ${why}`, {
    next: 'Check that the command line and the manager are of the same version (`shoal version`).',
  });
}

/** Values of the pattern's names when the path fits it; undefined when it does not. */
export function matchPattern(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const given = path.split('/');
  if (wanted.length !== given.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, segment] of wanted.entries()) {
    const value = given[index]!;
    if (!segment.startsWith(':')) {
      if (segment !== value) return undefined;
      continue;
    }
    try {
      parameters[segment.slice(1)] = decodeURIComponent(value);
    } catch {
      throw new ShoalError('invalid_argument', `Cannot read the path ${path}`);
    }
  }
  return parameters;
}
