import type { IncomingMessage } from 'node:http';
import { ShoalError } from '../../src/util/errors.ts';

/** In every answer: the revision that the manager had come to. */
export const revisionHeader = 'shoal-revision';
/** In a request: the answer is to be as of this revision or later, as `?revision=N` says it too. */
export const revisionAtLeastHeader = 'shoal-revision-at-least';

/** What the answer must be as of, at least. Throws `invalid_argument`. */
export function wantedRevision({ headers }: IncomingMessage, query: URLSearchParams): number | undefined {
  const text = query.get('revision') ?? headers[revisionAtLeastHeader];
  if (text === undefined) return undefined;
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text);
  throw new ShoalError('invalid_argument', 'Cannot read the revision: it must be a whole number');
}

/** A manager that has not come to a revision in good time. */
export function behind(seen: number, wanted: number): ShoalError {
  return new ShoalError(
    'unavailable',
    `Cannot answer as of revision ${wanted}: this manager has come to ${seen}`,
    { next: 'Try again in a moment, or ask another manager.' },
  );
}
