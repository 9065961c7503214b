import { readFile, readdir, readlink } from 'node:fs/promises';

/** Sockets of shims as the kernel knows them (proc(5), `/proc/net/unix`). */

/** Where containerd's shims have their sockets, whichever containerd started them. */
const socketDirectory = '/run/containerd/s/';

/** Paths of all sockets of shims that somebody has bound. */
export async function shimSockets(): Promise<string[]> {
  const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n');
  const paths = lines.map((line) => line.slice(line.lastIndexOf(' ') + 1));
  return [...new Set(paths.filter((path) => path.startsWith(socketDirectory)))];
}

/** The shim that holds the listening socket of this path; nothing when there is none. */
export async function listenerOf(path: string): Promise<number | undefined> {
  const sockets = (await readFile('/proc/net/unix', 'utf8')).split('\n');
  const inode = sockets.find((line) => line.endsWith(` ${path}`))?.split(/\s+/)[6];
  if (inode === undefined) return undefined;
  for (const pid of (await readdir('/proc')).map(Number).filter((number) => number > 0)) {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(ifGone);
    if (!name?.startsWith('containerd-shim')) continue;
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(ifGone);
    for (const descriptor of descriptors ?? []) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(ifGone);
      if (target === `socket:[${inode}]`) return pid;
    }
  }
  return undefined;
}

/** For what may end or be removed while it is looked at. */
export function ifGone(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
  throw error;
}
