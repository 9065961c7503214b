import { spaceOf, type Space } from '../disk/space.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { formatBytes } from '../../src/util/text.ts';

/** What is pulled is kept as it came and unpacked beside that: it takes twice its size and more. */
const unpackFactor = 2;
/** Images whose failure for want of room is remembered. */
const rememberedMax = 256;
const next = 'Make room on the host; the image is pulled again once there is enough.';

/** Whether there is room for an image where the engine keeps them: what cannot fit is not pulled, again and again, to find out. */
export class ImageRoom {
  readonly #path: string;
  readonly #look: (path: string) => Promise<Space>;
  /** By digest: how much was free when a pull began that found too little room. */
  readonly #tooLittle = new Map<string, number>();

  constructor(path: string, look: (path: string) => Promise<Space> = spaceOf) {
    this.#path = path;
    this.#look = look;
  }

  /**
   * To be asked before `bytes` are downloaded for an image. Throws `no_space` when they cannot fit, or when no more is
   * free than at an earlier attempt that failed for want of room. Returns how much is free.
   */
  async check(name: string, digest: string, bytes: number): Promise<number | undefined> {
    // what cannot be seen is no reason to refuse
    const freeBytes = (await this.#look(this.#path).catch(() => undefined))?.freeBytes;
    if (freeBytes === undefined) return undefined;
    const tooLittle = this.#tooLittle.get(digest);
    const needed = Math.max(bytes * unpackFactor, tooLittle === undefined ? 0 : tooLittle + 1);
    if (freeBytes >= needed) return freeBytes;
    const wants = tooLittle === undefined ? `it takes at least ${formatBytes(needed)}` : 'it takes more';
    throw new ShoalError(
      'no_space',
      `Cannot pull ${name}: ${this.#path} has ${formatBytes(freeBytes)} free, and ${wants}`,
      { next },
    );
  }

  /** A pull that began with `freeBytes` found too little room. Returns the error to tell. */
  failed(name: string, digest: string, freeBytes: number | undefined, cause: unknown): ShoalError {
    if (freeBytes !== undefined) this.#tooLittle.set(digest, freeBytes);
    for (const oldest of this.#tooLittle.keys()) {
      if (this.#tooLittle.size <= rememberedMax) break;
      this.#tooLittle.delete(oldest);
    }
    const had = freeBytes === undefined ? '' : `; ${formatBytes(freeBytes)} were free at the start`;
    return new ShoalError('no_space', `Cannot pull ${name}: no space left in ${this.#path}${had}`, {
      cause,
      next,
    });
  }

  succeeded(digest: string): void {
    this.#tooLittle.delete(digest);
  }
}
