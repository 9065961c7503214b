import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { ObjectKind } from './objects.ts';

/** One stored object that could not be worked with. */
export interface Fault {
  kind: ObjectKind;
  id: string;
  error: unknown;
}

/** What a pass of a planner could not work with: each object by itself, so that one that is bad keeps no other from its due. */
export class Faults {
  readonly #found = new Map<string, Fault>();

  /** Does the work that one object asks for. What it throws, an assertion as well, is noted on that object; then undefined. */
  isolated<T>(kind: ObjectKind, id: string, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      const key = `${kind}/${id}`;
      if (!this.#found.has(key)) this.#found.set(key, { kind, id, error });
      return undefined;
    }
  }

  /** The same for each of several objects. */
  forEach<T extends { id: string }>(kind: ObjectKind, objects: Iterable<T>, work: (object: T) => void): void {
    for (const object of objects) this.isolated(kind, object.id, () => work(object));
  }

  /** Those of the objects for which the answer is yes; those that give none are left out. */
  filter<T extends { id: string }>(
    kind: ObjectKind,
    objects: Iterable<T>,
    holds: (object: T) => boolean,
  ): T[] {
    const found: T[] = [];
    this.forEach(kind, objects, (object) => {
      if (holds(object)) found.push(object);
    });
    return found;
  }

  /** What was thrown for the object; undefined when nothing was. */
  of(kind: ObjectKind, id: string): Fault | undefined {
    return this.#found.get(`${kind}/${id}`);
  }

  [Symbol.iterator](): Iterator<Fault> {
    return this.#found.values();
  }
}

/** Objects whose fault is remembered as told; beyond that all are told again. */
const rememberedMax = 1_000;

/** Tells the faults of a loop's passes in the log, each once, and again when it is another one. */
export class FaultLog {
  readonly #log: Logger;
  #told = new Map<string, string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  tell(faults: Iterable<Fault>): void {
    for (const { kind, id, error } of faults) {
      const key = `${kind}/${id}`;
      const words = messageOf(error);
      if (this.#told.get(key) === words) continue;
      if (this.#told.size >= rememberedMax) this.#told.clear();
      this.#told.set(key, words);
      this.#log.warn('a stored object is damaged: what it asks for is left as it is', {
        kind,
        id,
        error: words,
      });
    }
  }
}
