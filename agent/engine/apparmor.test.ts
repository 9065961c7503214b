import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { checkApparmorProfile } from './apparmor.ts';

test('a profile is there when the kernel lists it, in whatever mode', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-apparmor-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'profiles');
  await writeFile(path, 'strict (enforce)\nwith space (complain)\n');
  await checkApparmorProfile('strict', path);
  await checkApparmorProfile('with space', path);
  await expect(checkApparmorProfile('with', path)).rejects.toThrow(
    'profile with: this host has not loaded it',
  );
  await expect(checkApparmorProfile('strict', join(folder, 'none'))).rejects.toThrow(
    'this host has no AppArmor',
  );
});
