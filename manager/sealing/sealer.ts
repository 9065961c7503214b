import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ShoalError } from '../../src/util/errors.ts';
import { systemRandom } from '../../src/util/random.ts';
import type { SealingKeys } from '../../src/wire/members.ts';

/** NIST SP 800-38D: with a random nonce of 96 bits a key is good for 2^32 seals, far more than a cluster ever makes. */
const algorithm = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const mark = '{"sealed":"';

/** Keys for a new cluster. */
export function createSealingKeys(): SealingKeys {
  const current = systemRandom.id();
  return { current, keys: { [current]: randomBytes(keyBytes).toString('base64') } };
}

/**
 * Seals values of the store, so that nobody can read or change them who has the store, its log or a copy of it and not the
 * keys. A seal holds in its own place only: sealed values cannot be exchanged for each other.
 */
export class Sealer {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #current: string;

  /** Throws `invalid_argument` when the keys are no keys. */
  constructor({ current, keys }: SealingKeys) {
    this.#current = current;
    this.#keys = new Map(Object.entries(keys).map(([id, text]) => [id, Buffer.from(text, 'base64')]));
    const isWhole = [...this.#keys.values()].every(({ length }) => length === keyBytes);
    if (isWhole && this.#keys.has(current)) return;
    throw new ShoalError('invalid_argument', `Cannot seal: a key has not ${keyBytes} bytes, or is missing`);
  }

  /** The value as it is to be stored under the key `place`. */
  seal(value: string, place: string): string {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(algorithm, this.#keys.get(this.#current)!, nonce);
    cipher.setAAD(Buffer.from(`${this.#current} ${place}`));
    const text = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()]);
    const sealed = Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
    return `${mark}${this.#current}.${sealed}"}`;
  }

  /**
   * What was sealed for `place`; a value that was not sealed as it is. Throws `failed_precondition` when its key is not here, and
   * `internal` when it was changed or belongs elsewhere.
   */
  open(stored: string, place: string): string {
    if (!isSealed(stored)) return stored;
    const [id = '', text = ''] = stored.slice(mark.length, -2).split('.');
    const key = this.#keys.get(id);
    if (key === undefined) throw missingKey(id, place);
    const bytes = Buffer.from(text, 'base64');
    try {
      const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      });
      decipher.setAAD(Buffer.from(`${id} ${place}`));
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
      const opened = [decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()];
      return Buffer.concat(opened).toString();
    } catch (cause) {
      throw new ShoalError('internal', `Cannot open ${place}: its seal is broken`, { cause });
    }
  }

  /** Whether the stored value is sealed with the key that seals now. */
  isCurrent(stored: string): boolean {
    return stored.startsWith(`${mark}${this.#current}.`);
  }
}

/** Whether a stored value is sealed. No object of ours begins so. */
export function isSealed(stored: string): boolean {
  return stored.startsWith(mark) && stored.endsWith('"}');
}

/** What opens values where there are no keys: those that were never sealed. */
export function openUnsealed(stored: string, place: string): string {
  if (!isSealed(stored)) return stored;
  throw missingKey(stored.slice(mark.length).split('.')[0]!, place);
}

function missingKey(id: string, place: string): ShoalError {
  return new ShoalError('failed_precondition', `Cannot open ${place}: the key ${id} is not on this manager`, {
    next: 'Bring its keys back as they were (`keys.json` in the folder of the manager).',
  });
}
