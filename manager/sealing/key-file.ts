import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceDurably } from '../../src/util/durable.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { SealingKeys } from '../../src/wire/members.ts';
import { createSealingKeys, Sealer } from './sealer.ts';

/** In the manager's folder (mode 0600), and nowhere in the store or its copies. */
const keyFile = 'keys.json';

/** The keys that this manager has; undefined before it has any. Throws `failed_precondition` when they cannot be understood. */
export async function readSealingKeys(folder: string): Promise<SealingKeys | undefined> {
  const path = join(folder, keyFile);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const keys = JSON.parse(text) as SealingKeys;
    void new Sealer(keys);
    return keys;
  } catch (cause) {
    throw new ShoalError(
      'failed_precondition',
      `Cannot open what is sealed in the store: ${path} is damaged`,
      {
        cause,
        next: 'Bring the file back as it was: without it secrets and keys of the cluster cannot be read.',
      },
    );
  }
}

/** Keeps them, so that they are on the disk when this resolves: before anything is sealed with them. */
export async function writeSealingKeys(folder: string, keys: SealingKeys): Promise<void> {
  await replaceDurably(join(folder, keyFile), `${JSON.stringify(keys)}\n`);
}

/**
 * What seals for this manager. With `mayCreate` a store that has no keys yet gets some; on a disk that takes none it stays as it is,
 * and is read all the same. Throws as `readSealingKeys` does, and `failed_precondition` when there are none.
 */
export async function openSealer(
  folder: string,
  { mayCreate, log }: { mayCreate: boolean; log: Logger },
): Promise<Sealer | undefined> {
  const known = await readSealingKeys(folder);
  if (known !== undefined) return new Sealer(known);
  if (!mayCreate) throw noKeys(join(folder, keyFile));
  const keys = createSealingKeys();
  try {
    await writeSealingKeys(folder, keys);
    return new Sealer(keys);
  } catch (error) {
    log.warn('the store is not sealed: its keys cannot be written', { error: messageOf(error) });
    return undefined;
  }
}

function noKeys(path: string): ShoalError {
  return new ShoalError(
    'failed_precondition',
    `Cannot open what is sealed in the store: there is no ${path}`,
    {
      next: 'Bring the file back from this host or another manager, or have this manager leave and join again.',
    },
  );
}
