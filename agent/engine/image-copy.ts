import { lstat, readdir } from 'node:fs/promises';
import { runCommand } from '../../src/util/command.ts';
import { missing, resolveInRoot } from './image-root.ts';

/** Copying what an image holds at one path takes no longer than this. */
const copyTimeoutMs = 10 * 60 * 1000;

/**
 * Copies what the image at `root` holds in the folder `path` into the folder `destination`, which is there and empty:
 * owners, modes, times, links and extended attributes included, and those of the folder itself. Links in the image are
 * copied, not followed. Nothing when the image has no folder there. On disk when it returns.
 */
export async function copyFromRoot(root: string, path: string, destination: string): Promise<void> {
  const source = await resolveInRoot(root, path);
  if (source === undefined || !(await lstat(source).catch(missing))?.isDirectory()) return;
  await runCommand('cp', ['-a', '--', `${source}/.`, destination], { timeoutMs: copyTimeoutMs });
  if ((await readdir(source)).length === 0) return;
  await runCommand('sync', ['-f', destination], { timeoutMs: copyTimeoutMs });
}
