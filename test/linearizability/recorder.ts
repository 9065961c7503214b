import type { Store, StoredValue } from '../../manager/store/store.ts';
import { systemClock } from '../../src/util/clock.ts';
import { codeOf } from '../../src/util/errors.ts';
import type { Random } from '../../src/util/random.ts';
import type { Answer, Asked, Log, Operation, Version } from './history.ts';

/** So many operations a key, for then every search ends; and so many keys at once. */
const operationsPerKey = 600;
const keysAtOnce = 3;
const readShare = 0.4;

/** Has clients ask stores for what they like, and writes down what they were answered. */
export class Recorder {
  readonly history: Operation[] = [];
  readonly #random: Random;
  #keys = 0;
  #made = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** One client, with one store, until the signal aborts. Throws what a store throws that is no answer of one. */
  async run(client: number, store: Store, until: AbortSignal): Promise<void> {
    const seen = new Map<string, Version | undefined>();
    while (!until.aborted) {
      const key = this.#key();
      const isRead = !seen.has(key) || this.#random.next() < readShare;
      const asked: Asked = isRead
        ? { kind: 'read' }
        : { kind: 'swap', expected: seen.get(key), value: `${client}-${++this.#made}` };
      const calledAt = systemClock.monotonic();
      const answer = await ask(store, key, asked);
      const returnedAt = answer.kind === 'unknown' ? Infinity : systemClock.monotonic();
      this.history.push({ client, key, asked, calledAt, returnedAt, answer });
      if (answer.kind === 'found') seen.set(key, answer.version);
      else if (answer.kind === 'swapped' && asked.kind === 'swap') {
        seen.set(key, { revision: answer.revision, value: asked.value });
      } else seen.delete(key);
    }
  }

  #key(): string {
    this.#keys++;
    const generation = Math.floor(this.#keys / (operationsPerKey * keysAtOnce));
    return `task/${generation}-${Math.floor(this.#random.next() * keysAtOnce)}`;
  }
}

async function ask(store: Store, key: string, asked: Asked): Promise<Answer> {
  try {
    if (asked.kind === 'read') return { kind: 'found', version: versionOf(await store.get(key)) };
    const { expected, value } = asked;
    const compares = [{ key, revision: expected?.revision ?? 0 }];
    const result = await store.transact({ compares, puts: [{ key, value }], deletes: [] });
    return result.committed ? { kind: 'swapped', revision: result.revision } : { kind: 'refused' };
  } catch (error) {
    if (!['unavailable', 'deadline_exceeded'].includes(codeOf(error))) throw error;
    return { kind: 'unknown' };
  }
}

function versionOf(stored: StoredValue | undefined): Version | undefined {
  return stored && { revision: stored.revision, value: stored.value };
}

/** Everything that has happened from a revision up to another, as a store's watch tells it. Waits for it; throws when the signal aborts before. */
export async function readLog(store: Store, from: number, upTo: number, signal: AbortSignal): Promise<Log> {
  const log: (Version & { key: string })[] = [];
  if (upTo <= from) return log;
  const over = new AbortController();
  for await (const { revision, events } of store.watch('', from, AbortSignal.any([signal, over.signal]))) {
    for (const event of events)
      if (event.type === 'put') log.push({ revision, key: event.key, value: event.value });
    if (revision >= upTo) break;
  }
  over.abort();
  signal.throwIfAborted();
  return log;
}
