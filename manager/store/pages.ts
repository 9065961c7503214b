import type { ListOptions, Store, StorePage } from './store.ts';

/**
 * All pages of a store. Between two of them everything else has its turn, for an embedded store reads on the main loop. Throws
 * what the store throws.
 */
export async function* pagesOf(store: Store, options?: ListOptions): AsyncGenerator<StorePage> {
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: StorePage = await store.page(after, options);
    yield page;
    after = page.more ? page.values.at(-1)?.key : undefined;
    await new Promise(setImmediate);
  }
}
