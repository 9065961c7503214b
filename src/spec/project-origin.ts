import type { ObjectMeta } from './object.ts';

/** Where a project is brought up from: its project directory, and what that is a part of. */
export interface ProjectOrigin {
  /** Host name of the machine. */
  machine: string;
  /** Derived from its machine id, 16 hexadecimal digits; absent where it has none. */
  machineId?: string;
  /** Absolute path. */
  folder: string;
  /** Absent when the folder is in no Git repository, or in one without a remote. */
  repository?: {
    /** Host and path, `github.com/org/shop`: the same by SSH and HTTPS, and without a user, a password or a token. */
    remote: string;
    /** The folder within the repository; empty at its top. */
    path: string;
  };
}

/** What the API takes of each part. */
export const originLimits = { machine: 255, path: 4_096, remote: 512 } as const;

/**
 * Remembered of a project as a whole, for as long as something of it is there. Its id is the project's name.
 */
export interface Application extends ObjectMeta {
  /** Absent: who brought it up has not told. */
  origin?: ProjectOrigin;
  /** Requests of callers who gave them an id that were stored, oldest first, with when (ms). */
  requests?: { id: string; at: number }[];
}

/**
 * Whether both are one origin. Where both are in a repository with a remote, remote and path count, so that any checkout on any
 * machine is the same; otherwise machine and folder do.
 */
export function isSameOrigin(left: ProjectOrigin, right: ProjectOrigin): boolean {
  if (left.repository !== undefined && right.repository !== undefined) {
    return (
      left.repository.remote === right.repository.remote && left.repository.path === right.repository.path
    );
  }
  if (left.folder !== right.folder || left.machine !== right.machine) return false;
  const ids = [left.machineId, right.machineId];
  return ids.includes(undefined) || ids[0] === ids[1];
}

/** `/home/ann/shop on desk (github.com/org/shop, deploy)` */
export function originWords({ folder, machine, repository }: ProjectOrigin): string {
  const within = repository && [repository.remote, repository.path].filter((part) => part !== '').join(', ');
  return `${folder} on ${machine}${within === undefined ? '' : ` (${within})`}`;
}

/**
 * Host and path of a Git remote, whatever it is fetched by and as whom; undefined for one that means something on its own machine
 * only, such as a path. The forms are those of git-fetch(1), "GIT URLS".
 */
export function normalisedRemote(url: string): string | undefined {
  const [, host, path] = /^[a-z][a-z0-9+.-]*:\/\//iu.test(url) ? urlParts(url) : scpParts(url);
  if (!host || !path) return undefined;
  const plain = path
    .replace(/^\/+/u, '')
    .replace(/\/+$/u, '')
    .replace(/\.git$/u, '');
  const remote = `${host.toLowerCase()}/${plain}`;
  return plain === '' || remote.length > originLimits.remote ? undefined : remote;
}

/** The port is left out: SSH and HTTPS of one server have different ones. So is the query, where some put a token. */
function urlParts(url: string): (string | undefined)[] {
  if (!URL.canParse(url)) return [];
  const { hostname, pathname } = new URL(url);
  return [url, hostname, pathname];
}

/** `[USER@]HOST:PATH` */
function scpParts(url: string): readonly (string | undefined)[] {
  return /^(?:[^/]*@)?([^/@:]+):(.+)$/u.exec(url) ?? [];
}
