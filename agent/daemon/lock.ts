import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ShoalError } from '../../src/util/errors.ts';

/**
 * Makes sure that one daemon at a time uses the state folder. The lock is the kernel's (SQLite takes a POSIX record lock),
 * so it goes with the process however that ends. Throws `failed_precondition` when another daemon holds it.
 */
export function lockState(stateDirectory: string): { release: () => void } {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(join(stateDirectory, 'lock'));
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
