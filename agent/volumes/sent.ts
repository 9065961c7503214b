import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { LocalEntry } from './listing.ts';

interface Known {
  stamp: string;
  digest?: string;
}

/**
 * What is remembered of a listing from one pass to the next, in a file: digests, so that only what has changed is read again, and on the host
 * that sends what each file was when it was sent, and to which arriving copy.
 */
export class Remembered {
  readonly arrival: string;
  readonly #files: ReadonlyMap<string, Known>;

  constructor(arrival: string, files: ReadonlyMap<string, Known> = new Map()) {
    this.arrival = arrival;
    this.#files = files;
  }

  /** Empty where there is none, or it cannot be read: all that costs is time. */
  static async read(path: string): Promise<Remembered> {
    const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n');
    try {
      const [arrival] = JSON.parse(lines[0] ?? '') as [string];
      const files = lines.slice(1, -1).map((line): [string, Known] => {
        const [name, stamp, digest] = JSON.parse(line) as [string, string, string?];
        return [name, { stamp, ...(digest === undefined ? {} : { digest }) }];
      });
      return new Remembered(arrival, new Map(files));
    } catch {
      return new Remembered('');
    }
  }

  /** The digest that the file had, if it is the same still. */
  digestOf({ path, stamp }: LocalEntry): string | undefined {
    const known = this.#files.get(path);
    return known?.stamp === stamp ? known.digest : undefined;
  }

  /** Whether the file was another one then; false for one that was not there. */
  hasChanged({ path, stamp }: LocalEntry): boolean {
    const known = this.#files.get(path);
    return known !== undefined && known.stamp !== stamp;
  }
}

/** Remembers the listing; files that `isUnsure` counts as changed the next time. */
export async function remember(
  path: string,
  arrival: string,
  entries: Iterable<LocalEntry>,
  isUnsure: (entry: LocalEntry) => boolean = () => false,
): Promise<void> {
  const lines = [JSON.stringify([arrival])];
  for (const entry of entries) {
    const stamp = isUnsure(entry) ? '' : entry.stamp;
    lines.push(JSON.stringify([entry.path, stamp, ...(entry.digest === undefined ? [] : [entry.digest])]));
  }
  await writeFile(`${path}.new`, `${lines.join('\n')}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function forget(path: string): Promise<void> {
  await rm(path, { force: true });
}
