import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ShoalError } from '../../src/util/errors.ts';

/**
 * Makes sure that one daemon at a time uses the state folder. The lock is the kernel's (SQLite takes a POSIX record lock),
 * so it goes with the process however that ends. On a read-only disk, where no lock for writing can be had, it is in the
 * run folder: a daemon starts there, and says what it cannot do. Throws `failed_precondition` when another daemon holds it.
 */
export function lockState(stateDirectory: string, runDirectory: string): { release: () => void } {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const folder = isReadOnly(stateDirectory) ? runDirectory : stateDirectory;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(join(folder, 'lock'));
  try {
    database.exec('PRAGMA journal_mode = DELETE; PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new ShoalError(
      'failed_precondition',
      `Cannot use ${stateDirectory}: another shoal daemon is using it`,
      {
        cause,
        next: 'Stop the other daemon, or give this one another --state and --run.',
      },
    );
  }
  return { release: () => database.close() };
}

function isReadOnly(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS';
  }
}
