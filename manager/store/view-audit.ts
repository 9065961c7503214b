import type { StoredValue } from './store.ts';
import { parseKey } from './view.ts';

/**
 * Keys whose revision a view has otherwise than a listing of the store, or that only one of both has. What has changed in the view
 * since before the listing was asked for is left out, for nothing can be said of it.
 */
export function differencesOf(
  held: ReadonlyMap<string, number>,
  listed: readonly StoredValue[],
  touched: ReadonlySet<string>,
): string[] {
  const left = new Map(held);
  const found: string[] = [];
  for (const { key, revision } of listed) {
    if (parseKey(key) === undefined) continue;
    if (left.get(key) !== revision) found.push(key);
    left.delete(key);
  }
  return [...found, ...left.keys()].filter((key) => !touched.has(key));
}
