import { codeOf, ShoalError, unreachable } from '../../src/util/errors.ts';
import { auditPageMax, type AuditCaller, type AuditPage } from '../../src/wire/audit.ts';
import type { Audit } from '../audit/audit.ts';
import type { Caller } from './callers.ts';
import type { ApiContext } from './context.ts';
import { statusOf } from './http.ts';
import type { Identity } from './identity.ts';
import type { Route } from './router.ts';

/** A longer path is cut in the log: no reference of ours is. */
const pathCharactersMax = 512;
/** What one attempt is about, of more only how many. */
const objectsMax = 50;

/** An attempt of which the outcome is to come. */
export interface Attempt {
  caller: Caller;
  method: string;
  path: string;
  /** What it is about, as far as it is known by now. */
  objects: string[];
}

/** Writes an attempt into the log: what it gave, or the error that it failed with. */
export function recordAttempt(
  audit: Audit,
  attempt: Attempt,
  outcome: { status: number } | { error: unknown },
): void {
  const { method, path, objects } = attempt;
  const { identity, from } = attempt.caller;
  const caller = callerOf(identity);
  const shown = objects.slice(0, objectsMax);
  if (objects.length > objectsMax) shown.push(`and ${objects.length - objectsMax} more`);
  const result =
    'error' in outcome
      ? { status: statusOf(outcome.error), error: codeOf(outcome.error) as string }
      : { status: outcome.status };
  const entry = {
    caller,
    ...(from === undefined ? {} : { from }),
    method,
    path: path.slice(0, pathCharactersMax),
    ...(shown.length > 0 && { objects: shown }),
    ...result,
  };
  audit.record(entry, `${caller.kind} ${caller.name ?? ''}`);
}

function callerOf(identity: Identity): AuditCaller {
  switch (identity.kind) {
    case 'administrator': {
      const { name, role } = identity.administrator;
      return { kind: 'administrator', name, role };
    }
    case 'node':
      return { kind: 'node', name: identity.node.id, role: identity.node.role };
    case 'local':
    case 'anonymous':
      return identity;
    default:
      return unreachable(identity);
  }
}

/** Reading the log. */
export function auditRoutes({ audit }: ApiContext): Route[] {
  return [
    {
      method: 'GET',
      pattern: '/audit',
      access: 'admin',
      handle: async ({ query }): Promise<AuditPage> => {
        const limit = numberOf(query, 'limit') ?? 100;
        if (limit < 1 || limit > auditPageMax) {
          throw new ShoalError(
            'invalid_argument',
            `Cannot read ${limit} entries: 1 to ${auditPageMax} at a time`,
          );
        }
        return await audit.read(limit, numberOf(query, 'before'));
      },
    },
  ];
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new ShoalError('invalid_argument', `Cannot read ${name}=${text}: it must be a whole number`);
}
