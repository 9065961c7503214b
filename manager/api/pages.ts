import { ShoalError } from '../../src/util/errors.ts';
import { continueHeader, pageCharactersMax, pageItemsMax } from '../../src/wire/api.ts';
import type { Call } from './router.ts';

/** Where an item stands in its list; no two items of one list have the same. The id decides between those that are even otherwise. */
export type Position = readonly [string | number, string];

export interface PageOrder<T> {
  position: (item: T) => Position;
  /** From the last position to the first. @default false */
  descending?: boolean;
}

/** What is stored may be damaged, and is listed all the same. */
export const byName: PageOrder<{ id: string; spec?: { name?: string } }> = {
  position: ({ id, spec }) => [spec?.name ?? '', id],
};
export const oldestFirst: PageOrder<{ id: string; createdAt?: number }> = {
  position: ({ id, createdAt }) => [createdAt ?? 0, id],
};

/**
 * The page of a list that the call asks for: at most `limit` items, `pageItemsMax` of them and about `pageCharactersMax` characters,
 * from behind the position that `continue` stands for. When the list goes on, the answer's header says how to ask for the next
 * page. Every item that is there throughout is on just one page, each as it is when its page is asked for.
 * Throws `invalid_argument`.
 */
export function pageOf<T>(
  { query, response }: Pick<Call, 'query' | 'response'>,
  items: Iterable<T>,
  { position, descending = false }: PageOrder<T>,
): T[] {
  const limit = limitOf(query);
  const after = positionOf(query);
  const sign = descending ? -1 : 1;
  const rest: { item: T; at: Position }[] = [];
  for (const item of items) {
    const at = position(item);
    if (after === undefined || sign * compare(at, after) > 0) rest.push({ item, at });
  }
  rest.sort((left, right) => sign * compare(left.at, right.at));
  let characters = 0;
  let count = 0;
  while (count < Math.min(rest.length, limit)) {
    characters += JSON.stringify(rest[count]!.item).length;
    if (count > 0 && characters > pageCharactersMax) break;
    count++;
  }
  if (count < rest.length) response.setHeader(continueHeader, tokenOf(rest[count - 1]!.at));
  return rest.slice(0, count).map(({ item }) => item);
}

function compare(left: Position, right: Position): number {
  for (const index of [0, 1] as const) {
    const [one, other] = [left[index], right[index]];
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

function limitOf(query: URLSearchParams): number {
  const text = query.get('limit');
  if (text === null) return pageItemsMax;
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= pageItemsMax) return limit;
  throw new ShoalError(
    'invalid_argument',
    `Cannot list ${JSON.stringify(text)} items: 1 to ${pageItemsMax} at a time`,
  );
}

function tokenOf(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

function positionOf(query: URLSearchParams): Position | undefined {
  const token = query.get('continue');
  if (token === null) return undefined;
  try {
    const position: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (isPosition(position)) return position;
  } catch {
    // Not one of ours, as the error below says.
  }
  throw new ShoalError('invalid_argument', 'Cannot go on with a list: `continue` is not what a page gave', {
    next: `Give it as the header \`${continueHeader}\` of the page before has it.`,
  });
}

function isPosition(value: unknown): value is Position {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [first, id] = value as unknown[];
  return (typeof first === 'string' || typeof first === 'number') && typeof id === 'string';
}
