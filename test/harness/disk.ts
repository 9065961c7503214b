import { mkdir, readFile, rm, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { runCommand, tryCommand } from '../../src/util/command.ts';
import type { Host } from './host.ts';
import { paths } from './state.ts';

/** What a test fills a disk with. */
const ballast = 'ballast';

/** Puts a host's state directory on a disk of its own: an ext4 file system in a file. Before the host is started. */
export async function mountDisk(directory: string, name: string, mebibytes: number): Promise<void> {
  const { disks, lib } = paths(directory);
  const image = join(disks, `${name}.img`);
  await mkdir(disks, { recursive: true, mode: 0o700 });
  await mkdir(lib(name), { recursive: true, mode: 0o700 });
  await runCommand('truncate', ['-s', `${mebibytes}M`, image]);
  await runCommand('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
  await runCommand('mount', ['-o', 'loop', image, lib(name)]);
}

/** Fills the host's disk until about `freeMebibytes` are left: 0 fills it to the brim. */
export async function fillDisk({ stateDirectory }: Host, freeMebibytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(stateDirectory);
  const bytes = bavail * bsize - freeMebibytes * 1024 * 1024;
  const path = join(stateDirectory, ballast);
  await tryCommand('fallocate', ['-l', String(Math.max(1, bytes)), path]);
  // to the brim: what was reserved for administration is taken too
  if (freeMebibytes === 0)
    await tryCommand('dd', ['if=/dev/zero', `of=${path}-rest`, 'bs=1k', 'status=none']);
}

/** Gives the room back that `fillDisk` has taken. */
export async function emptyDisk({ stateDirectory }: Host): Promise<void> {
  for (const name of [ballast, `${ballast}-rest`]) await rm(join(stateDirectory, name), { force: true });
}

/** From now on nothing can be written to the host's disk: whoever tries waits. */
export async function freezeDisk({ stateDirectory }: Host): Promise<void> {
  await runCommand('fsfreeze', ['--freeze', stateDirectory]);
}

/** Lets go on what waits for the host's disk. */
export async function thawDisk({ stateDirectory }: Host): Promise<void> {
  await runCommand('fsfreeze', ['--unfreeze', stateDirectory]);
}

/** Thaws whatever a cluster has left frozen. */
export async function thawDisks(directory: string): Promise<void> {
  for (const path of await mountedDisks(directory)) await tryCommand('fsfreeze', ['--unfreeze', path]);
}

/** Once nothing of the cluster runs any more. */
export async function unmountDisks(directory: string): Promise<void> {
  for (const path of await mountedDisks(directory)) await runCommand('umount', [path]);
}

async function mountedDisks(directory: string): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  return mounts.filter((path) => path.startsWith(`${resolve(directory)}/hosts/`)).reverse();
}
