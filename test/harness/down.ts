import { readFile, readdir, rm, rmdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { runCommand } from '../../src/util/command.ts';
import { retry } from '../../src/util/retry.ts';
import { clusterProcesses, killUntilGone, readProcess } from './processes.ts';
import { thawDisks, unmountDisks } from './disk.ts';
import { cgroupParent, paths, rootLinkName, tryLoadState, type ProcessIdentity } from './state.ts';
import { removeRootLink } from './underlay.ts';

const cgroupRoot = '/sys/fs/cgroup';

/**
 * Removes every trace of the cluster in `directory`, whatever of it still stands: processes (with them go their namespaces,
 * mounts and links), the root namespace's link, cgroups and files. Gives whether there was a cluster.
 */
export async function takeDown(directory: string): Promise<boolean> {
  const state = await tryLoadState(directory);
  if (!state) return false;
  if (state.maker) await endMaker(state.maker);
  await thawDisks(directory); // what waits for a frozen disk cannot be killed
  await killUntilGone(() => clusterProcesses(state.id));
  await removeRootLink(state.id);
  for (const path of await clusterCgroups(state.id)) await removeCgroup(path);
  await unmountDisks(directory);
  await removeFiles(resolve(directory));
  return true;
}

/** Whoever is still making the cluster must stop before it can be removed. */
async function endMaker(maker: ProcessIdentity): Promise<void> {
  await killUntilGone(async () => {
    const found = maker.pid === process.pid ? undefined : await readProcess(maker.pid);
    return found?.startedAt === maker.startedAt ? [found] : [];
  });
}

async function removeFiles(directory: string): Promise<void> {
  const at = paths(directory);
  const folders = [at.hosts, at.disks, at.registry, at.images, at.applications, at.clocks];
  for (const path of folders) await rm(path, { recursive: true, force: true });
  await rm(`${at.state}.new`, { force: true });
  await rm(at.state); // last: until here `down` can be run again
  await rmdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY') throw error; // it holds something that is not ours
  });
}

/** The cluster's cgroup in every hierarchy that has it (cgroup v1: one a controller; v2: one in all). */
async function clusterCgroups(id: string): Promise<string[]> {
  const name = cgroupParent(id).slice(1);
  const found: string[] = [];
  for (const hierarchy of ['.', ...(await readdir(cgroupRoot))]) {
    const entries = await readdir(join(cgroupRoot, hierarchy)).catch(notAFolder);
    if (entries.includes(name)) found.push(join(cgroupRoot, hierarchy, name));
  }
  return found;
}

/** The cgroups of one host's containers, which go with a machine that is turned off. */
export async function removeHostCgroups(id: string, name: string): Promise<void> {
  for (const path of await clusterCgroups(id)) {
    if ((await readdir(path)).includes(name)) await removeCgroup(join(path, name));
  }
}

/** Control files cannot be removed and go with their folder. A cgroup is busy until the kernel is done with its last process. */
async function removeCgroup(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
  }
  const isBusy = (error: unknown) => (error as NodeJS.ErrnoException).code === 'EBUSY';
  await retry(() => rmdir(path), { attempts: 10, minMs: 20, maxMs: 500, retryable: isBusy });
}

function notAFolder(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOTDIR' || error.code === 'ENOENT') return [];
  throw error;
}

/** What of a cluster that was taken down is still on this machine, in words; nothing of it may be. */
export async function leftovers(directory: string, id: string): Promise<string[]> {
  const folder = resolve(directory);
  const processes = (await clusterProcesses(id)).filter(({ state }) => state !== 'Z');
  const links = await runCommand('ip', ['-brief', 'link', 'show']);
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const files = await readdir(folder, { recursive: true }).catch(notAFolder);
  const tables = await runCommand('nft', ['list', 'tables']);
  return [
    ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
    ...links.split('\n').filter((line) => line.includes(rootLinkName(id))),
    ...mounts.filter((line) => line.includes(` ${folder}/`)),
    ...(await clusterCgroups(id)).map((path) => `cgroup ${path}`),
    ...files.map((path) => `file ${join(folder, path)}`),
    ...tables.split('\n').filter((line) => line.includes('shoal')),
  ];
}
