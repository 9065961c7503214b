import {
  administratorLifeMsDefault,
  administratorsMax,
  type Administrator,
} from '../../src/spec/administrator.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { KeyedQueue } from '../../src/util/queue.ts';
import type { Random } from '../../src/util/random.ts';
import type { AdministratorAnswer, AdministratorCreate } from '../../src/wire/api.ts';
import { caDigest } from '../../src/wire/certificates.ts';
import type { Database, View } from '../store/objects.ts';
import { signAdministratorCertificate } from './authority.ts';

export interface Administrators {
  /**
   * Makes an administrator and signs its certificate. The key stays with the caller, who sent the request. Throws
   * `already_exists`, `resource_exhausted`, `invalid_argument` for a malformed request.
   */
  create(body: AdministratorCreate): Promise<Omit<AdministratorAnswer, 'managers'>>;
  /** Revokes by name: the certificate counts no more, and what is open with it ends. Throws `not_found`. */
  remove(name: string): Promise<void>;
}

/** One after another, so that two cannot get the same name. */
export function createAdministrators(options: {
  database: Database;
  clock: Clock;
  random: Random;
  log: Logger;
}): Administrators {
  const { database, clock, random, log } = options;
  const queue = new KeyedQueue();
  const create = async (body: AdministratorCreate): Promise<Omit<AdministratorAnswer, 'managers'>> => {
    const { cluster } = database.view;
    if (cluster === undefined)
      throw new ShoalError('failed_precondition', 'Cannot create an administrator: there is no cluster yet');
    const { name, role, lifeMs = administratorLifeMsDefault, certificateRequestPem } = body;
    checkRoom(database.view, name);
    const now = clock.now();
    const expiresAt = now + lifeMs;
    const { certificateAuthority: authority, clusterId } = cluster;
    const identity = { clusterId, name, role };
    const certificatePem = await signAdministratorCertificate(
      authority,
      identity,
      certificateRequestPem,
      expiresAt,
    );
    const fingerprint = caDigest(certificatePem);
    const meta = { id: random.id(), createdAt: now, updatedAt: now, revision: 0 };
    const administrator: Administrator = { ...meta, name, role, fingerprint, expiresAt };
    await write(database, 'create', administrator);
    log.info('an administrator was created', { name, role, expiresAt });
    return { administrator, certificatePem, certificateAuthorityPem: authority.certificatePem };
  };
  const remove = async (name: string): Promise<void> => {
    const found = findByName(database.view, name);
    if (found === undefined) {
      throw new ShoalError('not_found', `Cannot find an administrator called ${JSON.stringify(name)}`, {
        next: 'See `shoal admin ls`.',
      });
    }
    await write(database, 'delete', found);
    log.info('an administrator was removed', { name });
  };
  return {
    create: (body) => queue.run('administrators', () => create(body)),
    remove: (name) => queue.run('administrators', () => remove(name)),
  };
}

function findByName(view: View, name: string): Administrator | undefined {
  return view.administrators.values().find((one) => one.name === name);
}

function checkRoom(view: View, name: string): void {
  if (findByName(view, name) !== undefined) {
    throw new ShoalError('already_exists', `Cannot create administrator ${name}: the name is taken`, {
      next: `Choose another name, or revoke the old certificate with \`shoal admin rm ${name}\`.`,
    });
  }
  if (view.administrators.size < administratorsMax) return;
  throw new ShoalError(
    'resource_exhausted',
    `Cannot create administrator ${name}: there are ${administratorsMax} already`,
    { next: 'Remove those that are no longer used with `shoal admin rm`.' },
  );
}

async function write(database: Database, action: 'create' | 'delete', object: Administrator): Promise<void> {
  const { conflicts } = await database.write([[{ kind: 'administrator', action, object }]]);
  if (conflicts > 0)
    throw new ShoalError('conflict', `Cannot ${action} administrator ${object.name}: it is being changed`, {
      next: 'Try again.',
    });
}
