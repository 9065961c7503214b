import { readFile } from 'node:fs/promises';
import { ShoalError } from '../../src/util/errors.ts';
import { missing } from './image-root.ts';

/** One line a profile, `NAME (MODE)` (apparmor(7)). */
const loadedProfiles = '/sys/kernel/security/apparmor/profiles';

/** Throws `failed_precondition` when this host has not loaded the profile. */
export async function checkApparmorProfile(name: string, path = loadedProfiles): Promise<void> {
  const text = await readFile(path, 'utf8').catch(missing);
  if (text === undefined) throw lacking(name, 'this host has no AppArmor');
  const known = text.split('\n').map((line) => line.replace(/ \([a-z]+\)$/, ''));
  if (!known.includes(name)) throw lacking(name, 'this host has not loaded it');
}

function lacking(name: string, why: string): ShoalError {
  return new ShoalError(
    'failed_precondition',
    `Cannot confine the container by the AppArmor profile ${name}: ${why}`,
    {
      next: 'Load it with apparmor_parser on the hosts that may run the service, or keep the service to those that have it.',
    },
  );
}
