import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder, writeDurably } from '../../src/util/durable.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** Where this manager's store is. */
export type Place =
  | { backend: 'embedded' }
  | {
      backend: 'etcd';
      /** The token with which this etcd began: a later one is another cluster of etcd. */
      generation: string;
      /** `HOST:PORT` of the members' client ports; this manager's own is the first. */
      endpoints: string[];
      /** The name of the own member. */
      nodeId: string;
    };

/** The file in the manager's folder that says it. It is the last thing written when the store moves. */
const placeFile = 'store.json';

/**
 * Where the store is that this folder says; without a word it is the embedded one. Throws `failed_precondition` when what it
 * says cannot be understood, and what the file system throws.
 */
export async function readPlace(folder: string): Promise<Place> {
  const path = join(folder, placeFile);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return { backend: 'embedded' };
  try {
    return placeOf(JSON.parse(text));
  } catch (cause) {
    throw new ShoalError('failed_precondition', `Cannot tell where the store is: ${path} is damaged`, {
      cause,
      next: 'Bring the file back as it was on this host. Without it an old store would be taken for the true one.',
    });
  }
}

function placeOf(value: unknown): Place {
  const { backend, generation, endpoints, nodeId } = value as Record<string, unknown>;
  if (backend === 'embedded') return { backend };
  const isText = (each: unknown) => typeof each === 'string' && each !== '';
  const isWhole = backend === 'etcd' && isText(generation) && isText(nodeId);
  if (!isWhole || !Array.isArray(endpoints) || endpoints.length === 0 || !endpoints.every(isText)) {
    throw new ShoalError('invalid_argument', `It says ${JSON.stringify(value)}`);
  }
  return value as Place;
}

/**
 * Says it, so that it is on the disk when this resolves. Throws `unavailable` when the folder says what it said before, and `internal`
 * when nobody knows what the disk has.
 */
export async function writePlace(folder: string, place: Place): Promise<void> {
  const path = join(folder, placeFile);
  const temporary = `${path}.new`;
  try {
    await writeDurably(temporary, `${JSON.stringify(place)}\n`);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first error says more
    const next = 'See whether its disk is full, failing or mounted read-only.';
    throw new ShoalError('unavailable', `Cannot write down in ${path} where the store is`, { cause, next });
  }
  await syncFolder(folder).catch((cause: unknown) => {
    throw new ShoalError('internal', `Cannot tell whether ${path} is on the disk`, { cause });
  });
}
