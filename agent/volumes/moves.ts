import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ShoalError } from '../../src/util/errors.ts';
import type { KeyedQueue } from '../../src/util/queue.ts';
import type { MountedVolumes } from './mounted.ts';
import type { NamedCopies } from './named.ts';
import { forget } from './sent.ts';
import { Arrival, sendDifference, syncFolder, type Exchange } from './transfer.ts';

/** Begins the name of a copy that is arriving, with the volume's id: no volume is called so. */
const movingMark = '.moving-';
/** A copy that is arriving and that nobody has wanted for so long goes with the next move. */
const abandonedMs = 24 * 60 * 60_000;

interface Which {
  name: string;
  id: string;
}

/** A host's part in moves of volumes: the copy that is sent stands where it is, the one that arrives beside all volumes until it is whole. */
export class VolumeMoves {
  readonly #copies: NamedCopies;
  readonly #mounted: MountedVolumes;
  readonly #queue: KeyedQueue;

  constructor(options: { copies: NamedCopies; mounted: MountedVolumes; queue: KeyedQueue }) {
    this.#copies = options.copies;
    this.#mounted = options.mounted;
    this.#queue = options.queue;
  }

  async send(which: Which & { still: boolean }, signal: AbortSignal, exchange: Exchange): Promise<void> {
    const { name, id, still } = which;
    // One at a time; the volume's own turn is for tasks.
    await this.#queue.run(`${movingMark}${name}`, async () => {
      signal.throwIfAborted();
      const note = await this.#copies.read(name);
      if (note === undefined || (note.id ?? id) !== id) throw noCopy(name);
      if (still && (await this.#mounted.isUsed(name))) {
        throw new ShoalError('unavailable', `Cannot read volume ${name} yet: a task here still uses it`);
      }
      const folder = this.#copies.dataOf(name);
      await sendDifference({ folder, memory: this.#memoryOf(name), isStill: still, signal }, exchange);
    });
  }

  async take({ id }: Which, signal: AbortSignal, exchange: Exchange): Promise<void> {
    await this.#queue.run(`${movingMark}${id}`, async () => {
      signal.throwIfAborted();
      await this.#clearAbandoned(id);
      await this.#arrival(id).take(signal, exchange);
    });
  }

  async settle({
    name,
    id,
    moveId,
    how,
  }: Which & { moveId: string; how: 'arrived' | 'drop' | 'adopt' }): Promise<void> {
    await this.#queue.run(`${movingMark}${id}`, async () => {
      if (how === 'arrived') await this.#queue.run(name, () => this.#arrived(name, id, moveId));
      else if (how === 'adopt') await this.#queue.run(name, () => this.#adopt(name, id));
      else {
        await this.drop(id);
        await forget(this.#memoryOf(name));
      }
    });
  }

  /** What has arrived of the volume goes. */
  async drop(id: string): Promise<void> {
    await rm(this.#arrival(id).folder, { recursive: true, force: true });
  }

  async #arrived(name: string, id: string, moveId: string): Promise<void> {
    const arrival = this.#arrival(id);
    if (await arrival.isThere()) {
      await syncFolder(arrival.data);
      await this.#copies.replace(name, arrival.data, { id, moveId });
    } else if ((await this.#copies.read(name))?.moveId !== moveId) throw noCopy(name);
    await this.drop(id);
  }

  async #adopt(name: string, id: string): Promise<void> {
    const note = await this.#copies.read(name);
    if (note !== undefined && note.id !== id) await this.#copies.write(name, { ...note, id });
  }

  #arrival(id: string): Arrival {
    return new Arrival(join(this.#copies.folders, `${movingMark}${id}`));
  }

  #memoryOf(name: string): string {
    return join(this.#copies.folders, name, 'sent');
  }

  async #clearAbandoned(current: string): Promise<void> {
    const names = await readdir(this.#copies.folders).catch(() => []); // it is made with the first volume
    for (const name of names) {
      if (!name.startsWith(movingMark)) continue;
      const id = name.slice(movingMark.length);
      if (id !== current && (await this.#arrival(id).age()) > abandonedMs) await this.drop(id);
    }
  }
}

function noCopy(name: string): ShoalError {
  return new ShoalError('not_found', `Cannot read volume ${name}: its host has nothing of it`);
}
