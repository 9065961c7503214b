import { customAlphabet } from 'nanoid';

/** A source of chance that can be seeded, so that a simulation replays exactly. */
export interface Random {
  /** A float in [0, 1). */
  next(): number;
  /** An identifier of 12 lower-case letters and digits, unique for all practical purposes. */
  id(): string;
}

const alphabet = '0123456789abcdefghijklmnopqrstuvwxyz';
const nextId = customAlphabet(alphabet, 12);

/** Chance from the machine. */
export const systemRandom: Random = { next: () => Math.random(), id: () => nextId() };

/** Chance from a seed (mulberry32): the same seed gives the same sequence. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const id = () => Array.from({ length: 12 }, () => alphabet[Math.floor(next() * alphabet.length)]).join('');
  return { next, id };
}
