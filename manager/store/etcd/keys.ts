import { fenceKey } from '../election.ts';

/**
 * Where things are in etcd, all below a prefix: objects of the contract under `o/`, nonces under `m/`, so that neither shows in
 * listings and watches of the other. The leader's key is among the objects, which hide it: so a watch of them comes by the
 * revision at which somebody began to lead, and whoever has seen it has seen all that was written before.
 */
export class Keys {
  readonly #objects: string;
  readonly #own: string;
  readonly leader: Buffer;

  constructor(prefix: string) {
    this.#objects = `${prefix}o/`;
    this.#own = `${prefix}m/`;
    this.leader = this.bytes(fenceKey);
  }

  /** Of a key of the contract, or of the fence. */
  bytes(key: string): Buffer {
    return Buffer.from(this.#objects + key);
  }

  /** The key of the contract. */
  text(bytes: Buffer): string {
    return bytes.toString().slice(this.#objects.length);
  }

  /** Everything whose key of the contract begins so. */
  range(prefix: string): { key: Buffer; rangeEnd: Buffer } {
    return rangeOf(Buffer.from(this.#objects + prefix));
  }

  /** How far each manager's watch has come. */
  watched(owner = ''): { key: Buffer; rangeEnd: Buffer } {
    return rangeOf(Buffer.from(`${this.#own}watched/${owner}`));
  }

  nonces(owner: string): { key: Buffer; rangeEnd: Buffer } {
    return rangeOf(Buffer.from(`${this.#own}nonce/${owner}/`));
  }

  nonce(owner: string, slot: number): Buffer {
    return Buffer.from(`${this.#own}nonce/${owner}/${slot}`);
  }
}

/** etcd's range of a prefix ends before the prefix with its last byte raised by one. */
function rangeOf(prefix: Buffer): { key: Buffer; rangeEnd: Buffer } {
  const rangeEnd = Buffer.from(prefix);
  rangeEnd[rangeEnd.length - 1]!++;
  return { key: prefix, rangeEnd };
}

/** The first key after this one. */
export function after(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}
