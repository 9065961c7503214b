import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ShoalError } from '../util/errors.ts';
import type { Login } from './client.ts';
import { canonicalRegistry } from './reference.ts';

/** Logins by registry, `docker.io` or `HOST[:PORT]`. */
export type Logins = ReadonlyMap<string, Login>;

/**
 * The logins that `docker login` has written to `config.json` in `$DOCKER_CONFIG` or `~/.docker`. No file means no
 * logins. Those that a credential helper keeps are not asked for. Throws `invalid_file` for a file that is not JSON.
 */
export async function readLogins(environment: Readonly<Record<string, string | undefined>>): Promise<Logins> {
  const home = environment['HOME'];
  const directory = environment['DOCKER_CONFIG'] ?? (home === undefined ? undefined : join(home, '.docker'));
  if (directory === undefined) return new Map();
  const path = join(directory, 'config.json');
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '{}';
    throw new ShoalError('invalid_file', `Cannot read the registry logins in ${path}`, { cause });
  });
  try {
    return parseLogins(JSON.parse(text) as unknown);
  } catch (cause) {
    throw new ShoalError('invalid_file', `Cannot read the registry logins in ${path}: it is not JSON`, {
      cause,
      next: 'Correct the file, or set DOCKER_CONFIG to another folder.',
    });
  }
}

/** The logins in the content of a `config.json`; entries of another shape are passed over. */
export function parseLogins(content: unknown): Logins {
  const logins = new Map<string, Login>();
  for (const [server, entry] of Object.entries(asRecord(asRecord(content)['auths']))) {
    const { auth, username, password } = asRecord(entry);
    const [user, ...rest] =
      typeof auth === 'string' && auth !== ''
        ? Buffer.from(auth, 'base64').toString().split(':')
        : [username, password];
    const secret = rest.join(':');
    if (typeof user !== 'string' || user === '' || secret === '') continue;
    logins.set(canonicalRegistry(hostOf(server)), { user, password: secret });
  }
  return logins;
}

/** `https://index.docker.io/v1/` names its host only. */
function hostOf(server: string): string {
  return server.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
