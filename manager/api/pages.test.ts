import fc from 'fast-check';
import { once } from 'node:events';
import http, { type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { continueHeader, pageCharactersMax, pageItemsMax } from '../../src/wire/api.ts';
import { sampleTask, sampleService } from '../../test/samples.ts';
import { startTestManager } from '../testing.ts';
import { pageOf, type PageOrder } from './pages.ts';

interface Item {
  id: string;
  at: number;
  text?: string;
}

const order: PageOrder<Item> = { position: ({ at, id }) => [at, id] };

/** One page, and what is to be given for the next. */
function page(items: Item[], query: Record<string, string>, how = order): { ids: string[]; next?: string } {
  let next: string | undefined;
  const response = { setHeader: (_name: string, value: string) => (next = value) };
  const call = {
    query: new URLSearchParams(query),
    response: response as unknown as ServerResponse,
  };
  const ids = pageOf(call, items, how).map(({ id }) => id);
  return { ids, ...(next !== undefined && { next }) };
}

test('a walk over the pages sees every item that is there throughout once, in order, whatever comes and goes meanwhile', () => {
  const item = fc.record({ id: fc.string({ maxLength: 3 }), at: fc.nat({ max: 5 }) });
  fc.assert(
    fc.property(
      fc.uniqueArray(item, { selector: ({ id }) => id, maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      fc.boolean(),
      fc.func(fc.boolean()),
      (all, limit, descending, isThere) => {
        const seen: string[] = [];
        let turn = 0;
        let next: string | undefined;
        do {
          const items = all.filter(({ id }) => id.length > 1 || isThere(id, turn));
          const query = { limit: String(limit), ...(next !== undefined && { continue: next }) };
          const found = page(items, query, { ...order, descending });
          expect(found.ids.length).toBeLessThanOrEqual(limit);
          seen.push(...found.ids);
          ({ next } = found);
          turn++;
        } while (next !== undefined);
        expect(new Set(seen).size).toBe(seen.length);
        const places = seen.map((id) => all.find((each) => each.id === id)!);
        const sorted = places.toSorted((left, right) => left.at - right.at || (left.id < right.id ? -1 : 1));
        expect(places).toEqual(descending ? sorted.reverse() : sorted);
        expect(seen).toEqual(expect.arrayContaining(all.map(({ id }) => id).filter((id) => id.length > 1)));
      },
    ),
  );
});

test('a page ends where it is full, and an item that is larger than a page goes alone', () => {
  const text = 'x'.repeat(pageCharactersMax);
  const items = [
    { id: 'a', at: 1 },
    { id: 'b', at: 2, text },
    { id: 'c', at: 3 },
  ];
  const first = page(items, {});
  const second = page(items, { continue: first.next! });
  expect([first.ids, second.ids]).toEqual([['a'], ['b']]);
  expect(page(items, { continue: second.next! })).toEqual({ ids: ['c'] });
});

test.each([
  ['limit', '0'],
  ['limit', String(pageItemsMax + 1)],
  ['limit', 'x'],
  ['continue', 'x'],
])('%s=%s is refused', (name, value) => {
  expect(() => page([], { [name]: value })).toThrow(/^Cannot/);
});

test('the client joins the pages of thousands of tasks, and others page through them', async () => {
  await using manager = await startTestManager();
  const service = sampleService('web');
  for (let at = 0; at < 2_500; at += 100) {
    const tasks = Array.from({ length: 100 }, (_, index) =>
      sampleTask(service, at + index + 1, { createdAt: 7 }),
    );
    await manager.database.write([tasks.map((object) => ({ kind: 'task', action: 'create', object }))]);
  }
  const tasks = await manager.client.request<{ id: string }[]>('GET', '/tasks');
  expect(new Set(tasks.map(({ id }) => id)).size).toBe(2_500);
  const answer = await getJson(manager.folder, '/api/v1/tasks?limit=2');
  expect(answer).toMatchObject({
    items: [{ id: tasks[0]!.id }, { id: tasks[1]!.id }],
    next: expect.any(String),
  });
  const after = await getJson(manager.folder, `/api/v1/tasks?limit=1&continue=${answer.next}`);
  expect(after.items).toMatchObject([{ id: tasks[2]!.id }]);
});

/** One page as anybody gets it who knows nothing of pages. */
async function getJson(folder: string, path: string): Promise<{ items: unknown; next: string }> {
  const request = http.get({ socketPath: join(folder, 'manager.sock'), path });
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  return { items: await json(answer), next: String(answer.headers[continueHeader]) };
}
