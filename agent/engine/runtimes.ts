import { access, constants, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { missing } from './image-root.ts';
import type { Any } from './messages.ts';
import { encode } from './protocol.ts';

/** containerd's runtime for programs that are called as runc is. */
const runcRuntime = 'io.containerd.runc.v2';
/** Programs that are called as runc is (OCI runtime command line interface). */
const runcLike = ['runc', 'crun', 'youki'];
const optionsTypeUrl = 'containerd.runc.v1.Options';

/** A runtime as containerd is asked for it. */
export interface Runtime {
  name: string;
  options?: Any;
  /** Whether containers may share a shim process. */
  sharesShim: boolean;
}

/** The runtime with this name on this host. */
export async function findRuntime(name: string | undefined): Promise<Runtime> {
  return name === undefined ? runtimeOf() : runtimeOf(name, await installedRuntimes());
}

/** The runtime with this name: a program that is like runc, a shim by its short name, or containerd's full name. */
export function runtimeOf(name = 'runc', installed: readonly string[] = []): Runtime {
  if (name === 'runc' || name === runcRuntime) return { name: runcRuntime, sharesShim: true };
  if (runcLike.includes(name)) {
    const value = encode('RuncOptions', { binaryName: name });
    return { name: runcRuntime, options: { typeUrl: optionsTypeUrl, value }, sharesShim: true };
  }
  const full = name.includes('.') ? name : latestOf(name, installed);
  return { name: full, sharesShim: false };
}

/** `io.containerd.kata.v2` for `kata`, of the highest version that is installed. */
function latestOf(name: string, installed: readonly string[]): string {
  const full = installed.filter((one) => one.startsWith(`io.containerd.${name}.v`));
  return full.sort((left, right) => versionOf(right) - versionOf(left))[0] ?? `io.containerd.${name}.v2`;
}

function versionOf(full: string): number {
  return Number(/\.v(\d+)$/.exec(full)?.[1] ?? 0);
}

/** The names of all runtimes that this host has, sorted: what is in the folders of `path` (`PATH`'s own by default). */
export async function installedRuntimes(path = process.env['PATH'] ?? ''): Promise<string[]> {
  const found = new Set<string>();
  for (const folder of path.split(delimiter).filter((name) => name !== '')) {
    for (const file of (await readdir(folder).catch(missing)) ?? []) {
      const shim = /^containerd-shim-([a-z0-9]+)-(v\d+)$/.exec(file);
      if (!shim && !runcLike.includes(file)) continue;
      if (!(await isExecutable(join(folder, file)))) continue;
      if (!shim) found.add(file);
      else if (shim[1] === 'runc') found.add(`io.containerd.runc.${shim[2]}`);
      else for (const name of [shim[1]!, `io.containerd.${shim[1]}.${shim[2]}`]) found.add(name);
    }
  }
  return [...found].sort();
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
