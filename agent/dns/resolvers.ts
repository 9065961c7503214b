/** Which resolvers answer, remembered, so that one that is dead costs a question its wait once and not every time. */

/** A resolver that was silent is asked last for this long; doubled each time up to the maximum. */
export const silenceMs = { min: 10_000, max: 120_000 } as const;
/** More resolvers than this are not remembered: the one that was heard of longest ago is forgotten. */
const rememberedMax = 256;

interface Memory {
  answeredAt: number;
  /** Times in a row that it was found silent. */
  silences: number;
  silentUntil: number;
}

/** Times are of the monotonic clock. */
export class ResolverMemory {
  readonly #known = new Map<string, Memory>();

  /** Those that are not known to be silent first, otherwise as they are given. */
  order(resolvers: readonly string[], now: number): string[] {
    const isSilent = (resolver: string) => (this.#known.get(resolver)?.silentUntil ?? -Infinity) > now;
    return [
      ...resolvers.filter((resolver) => !isSilent(resolver)),
      ...resolvers.filter((resolver) => isSilent(resolver)),
    ];
  }

  answered(resolver: string, now: number): void {
    this.#note(resolver, { answeredAt: now, silences: 0, silentUntil: -Infinity });
  }

  /** It did not answer what it was asked then. One that has answered others since is slow in this one thing, and not silent. */
  missed(resolver: string, askedAt: number, now: number): void {
    const known = this.#known.get(resolver) ?? { answeredAt: -Infinity, silences: 0, silentUntil: -Infinity };
    if (known.answeredAt >= askedAt || known.silentUntil > now) return;
    const waitMs = Math.min(silenceMs.max, silenceMs.min * 2 ** known.silences);
    this.#note(resolver, { ...known, silences: known.silences + 1, silentUntil: now + waitMs });
  }

  #note(resolver: string, memory: Memory): void {
    this.#known.delete(resolver);
    this.#known.set(resolver, memory);
    if (this.#known.size <= rememberedMax) return;
    for (const [oldest] of this.#known) {
      this.#known.delete(oldest);
      return;
    }
  }
}

/** Counts what is under way by key. */
export class Budget {
  readonly #max: number;
  readonly #taken = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Returns false when the key has its share already. */
  take(key: string): boolean {
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.#max) return false;
    this.#taken.set(key, taken + 1);
    return true;
  }

  giveBack(key: string): void {
    const taken = (this.#taken.get(key) ?? 0) - 1;
    if (taken > 0) this.#taken.set(key, taken);
    else this.#taken.delete(key);
  }
}

/**
 * Shares places among keys: nobody has more than is still free, so that those who take all they can leave places for who has
 * nothing yet (n of them leave one part in n + 1).
 */
export class Shares {
  readonly #max: number;
  readonly #ofOneMax: number;
  readonly #taken = new Map<string, number>();
  #total = 0;

  constructor(max: number, ofOneMax: number) {
    this.#max = max;
    this.#ofOneMax = ofOneMax;
  }

  get isUnused(): boolean {
    return this.#total === 0;
  }

  /** Returns false when the key has its share already. */
  take(key: string): boolean {
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= Math.min(this.#ofOneMax, this.#max - this.#total)) return false;
    this.#taken.set(key, taken + 1);
    this.#total++;
    return true;
  }

  giveBack(key: string): void {
    const taken = this.#taken.get(key);
    if (taken === undefined) return;
    this.#total--;
    if (taken > 1) this.#taken.set(key, taken - 1);
    else this.#taken.delete(key);
  }
}
