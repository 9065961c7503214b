import type { ClientDuplexStream } from '@grpc/grpc-js';
import { ShoalError } from '../../../src/util/errors.ts';
import { watchStands, type StoreEvent, type WatchBatch } from '../store.ts';
import type { EtcdClient } from './client.ts';
import type { Keys } from './keys.ts';
import type { WatchAnswer } from './protocol.ts';

/** Reads one stream of answers as batches. Pieces of one answer are put together first. */
export class BatchReader {
  readonly #keys: Keys;
  #pieces: WatchAnswer['events'] = [];
  /** The revision of the last batch that was given, or where the watch began. */
  #seen: number;
  /** Nothing before this one is still to come, though the member may have told it too early. */
  #reached: number;

  constructor(keys: Keys, fromRevision: number) {
    this.#keys = keys;
    this.#seen = fromRevision;
    this.#reached = fromRevision;
  }

  get seen(): number {
    return this.#seen;
  }

  get reached(): number {
    return Math.max(this.#seen, this.#reached);
  }

  /** A new stream begins: what was heard in part is told again. */
  restart(): void {
    this.#pieces = [];
  }

  /**
   * The batches that this answer completes, without those that were given before: some versions of etcd repeat themselves.
   * Throws `failed_precondition` when the history is no longer kept.
   */
  read(answer: WatchAnswer): WatchBatch[] {
    if (Number(answer.compactRevision) > 0) throw forgotten(this.#seen, Number(answer.compactRevision));
    this.#pieces.push(...answer.events);
    if (answer.fragment) return [];
    const isProgress = this.#pieces.length === 0 && !answer.created && !answer.canceled;
    if (isProgress) this.#reached = Math.max(this.#reached, Number(answer.header.revision));
    const batches = new Map<number, StoreEvent[]>();
    for (const { type, kv } of this.#pieces) {
      const revision = Number(kv.modRevision);
      if (revision <= this.#seen) continue;
      const events = batches.get(revision) ?? [];
      batches.set(revision, events);
      events.push(this.#eventOf(type, kv));
    }
    this.#pieces = [];
    const inOrder = [...batches].sort(([left], [right]) => left - right);
    this.#seen = inOrder.at(-1)?.[0] ?? this.#seen;
    return inOrder.map(([revision, events]) => ({ revision, events }));
  }

  #eventOf(type: number, { key, value }: { key: Buffer; value: Buffer }): StoreEvent {
    if (type === 1) return { type: 'delete', key: this.#keys.text(key) };
    return { type: 'put', key: this.#keys.text(key), value: value.toString() };
  }
}

/** Large answers come in pieces; and when nothing happens, that is told every ten minutes. */
const asked = { fragment: true, progressNotify: true };

export interface WatchParts {
  client: EtcdClient;
  keys: Keys;
  /** Ends the watch; its reason is thrown unless the caller's own signal has ended it. */
  closed: AbortSignal;
  /** Called before another stream is tried, with how many in a row brought nothing. */
  pause: (failures: number) => Promise<void>;
}

/** See `Store.watch`. A stream that breaks is taken up at another member where it was. */
export async function* watchPrefix(
  { client, keys, closed, pause }: WatchParts,
  prefix: string,
  fromRevision: number,
  signal: AbortSignal,
  reader = new BatchReader(keys, fromRevision),
): AsyncGenerator<WatchBatch> {
  const over = AbortSignal.any([signal, closed]);
  for (let failures = 0; !over.aborted;) {
    const member = client.current;
    const stream = member.watch();
    const end = () => stream.cancel();
    over.addEventListener('abort', end, { once: true });
    try {
      reader.restart();
      const { key, rangeEnd } = keys.range(prefix);
      stream.write({ create: { key, rangeEnd, startRevision: reader.seen + 1, ...asked } });
      for await (const answer of stream as ClientDuplexStream<object, WatchAnswer> &
        AsyncIterable<WatchAnswer>) {
        const batches = reader.read(answer);
        if (answer.canceled) break;
        if (batches.length > 0) failures = 0;
        yield* batches;
      }
    } catch (error) {
      if (error instanceof ShoalError) throw error;
    } finally {
      over.removeEventListener('abort', end);
      stream.cancel();
    }
    if (signal.reason === watchStands) client.leave(member);
    if (over.aborted) break;
    client.leave(member);
    await pause(failures++);
  }
  if (!signal.aborted) throw closed.reason as Error;
}

function forgotten(seen: number, keptFrom: number): ShoalError {
  return new ShoalError(
    'failed_precondition',
    `Cannot watch from revision ${seen}: the history is kept from ${keptFrom}`,
    { next: 'List again and watch from there.', details: { reason: 'out_of_range' } },
  );
}
