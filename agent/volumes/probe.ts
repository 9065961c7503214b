import { stat } from 'node:fs/promises';
import { withDeadline } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** A file system that does not say within this long whether something is there does not answer. */
export const probeMs = 10_000;
/** Paths that are waited for at a time: each takes a thread of the process's pool for as long as its file system hangs. */
const probesMax = 3;

type Look = (path: string) => Promise<unknown>;

/**
 * Looks whether paths exist that may lie on file systems of others, such as NFS, whose server may be away: a look at one of
 * those may take for ever, and cannot be ended. So there is one look at a path at a time, however many ask, and only
 * so many that hang.
 */
export class PathProbe {
  readonly #look: Look;
  readonly #limitMs: number;
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(options: { look?: Look; limitMs?: number } = {}) {
    this.#look = options.look ?? stat;
    this.#limitMs = options.limitMs ?? probeMs;
  }

  /**
   * Whether there is something at the path. Throws `deadline_exceeded` when its file system does not answer, and
   * `resource_exhausted` when too many others do not.
   */
  async exists(path: string): Promise<boolean> {
    const running = this.#running.get(path) ?? this.#start(path);
    return await withDeadline(this.#limitMs, path, () => running).catch((error: unknown) => {
      if (this.#running.get(path) !== running) throw error; // it has answered, with this
      throw new ShoalError(
        'deadline_exceeded',
        `Cannot use ${path}: its file system has not answered for ${this.#limitMs / 1000} s`,
        { next: 'See whether its server can be reached, or unmount it.' },
      );
    });
  }

  #start(path: string): Promise<boolean> {
    if (this.#running.size >= probesMax) {
      const others = [...this.#running.keys()].join(', ');
      throw new ShoalError('resource_exhausted', `Cannot use ${path}: others do not answer: ${others}`, {
        next: 'See whether the servers of these file systems can be reached, or unmount them.',
      });
    }
    const looking = this.#look(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return false;
        throw error;
      },
    );
    this.#running.set(path, looking);
    const forget = () => this.#running.delete(path);
    looking.then(forget, forget);
    return looking;
  }
}
