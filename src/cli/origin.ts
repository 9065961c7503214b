import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { hostname } from 'node:os';
import { posix } from 'node:path';
import { systemFileSystem, type FileSystem } from '../compose/files.ts';
import { normalisedRemote, originLimits, type ProjectOrigin } from '../spec/project-origin.ts';
import { ShoalError } from '../util/errors.ts';
import type { Context } from './command.ts';

const gitFileBytesMax = 1024 * 1024;

/** Where a project with this directory (absolute) is brought up from by who runs the command. */
export async function originOf(
  projectDirectory: string,
  { environment, workingDirectory }: Pick<Context, 'environment' | 'workingDirectory'>,
  { fileSystem = systemFileSystem, machine = hostname() }: { fileSystem?: FileSystem; machine?: string } = {},
): Promise<ProjectOrigin> {
  const [folder, repository, machineId] = await Promise.all([
    asTheShellSays(projectDirectory, environment['PWD'], workingDirectory),
    findRepository(fileSystem, projectDirectory),
    readLine(fileSystem, '/etc/machine-id'),
  ]);
  return {
    machine: machine.slice(0, originLimits.machine),
    ...(machineId && { machineId: derivedId(machineId) }),
    folder: folder.slice(0, originLimits.path),
    ...(repository && { repository }),
  };
}

/** A machine's id is its own affair; what is told is made of it for this purpose alone (machine-id(5)). */
function derivedId(machineId: string): string {
  return createHash('sha256').update(`shoal project origin ${machineId}`).digest('hex').slice(0, 16);
}

/** By the link that leads there, where the shell came by one: `/srv/shop/current` stays what it is with each release. */
async function asTheShellSays(
  folder: string,
  shellDirectory: string | undefined,
  workingDirectory: string,
): Promise<string> {
  const within = posix.relative(workingDirectory, folder);
  if (!shellDirectory?.startsWith('/') || within.startsWith('..')) return folder;
  const real = await realpath(shellDirectory).catch(() => undefined); // a shell may say anything
  return real === workingDirectory ? posix.join(shellDirectory, within) : folder;
}

/** The nearest repository at or above the directory, if it has a remote that other machines know. */
async function findRepository(
  fileSystem: FileSystem,
  projectDirectory: string,
): Promise<ProjectOrigin['repository']> {
  for (let directory = projectDirectory; ; directory = posix.dirname(directory)) {
    const config = await readGitConfig(fileSystem, directory);
    if (config !== undefined) {
      const remote = normalisedRemote(remoteUrl(config) ?? '');
      if (remote === undefined) return undefined;
      return { remote, path: posix.relative(directory, projectDirectory).slice(0, originLimits.path) };
    }
    if (posix.dirname(directory) === directory) return undefined;
  }
}

/** The configuration of the repository whose top is here (gitrepository-layout(5)); undefined when it is not. */
async function readGitConfig(fileSystem: FileSystem, directory: string): Promise<string | undefined> {
  const git = posix.join(directory, '.git');
  const config = await readText(fileSystem, posix.join(git, 'config'));
  if (config !== undefined) return config;
  // Of a submodule, or one of several working trees.
  const [, target] = /^gitdir: (.+)$/u.exec((await readLine(fileSystem, git)) ?? '') ?? [];
  if (target === undefined) return undefined;
  const gitDirectory = posix.resolve(directory, target);
  const common = (await readLine(fileSystem, posix.join(gitDirectory, 'commondir'))) ?? '.';
  return await readText(fileSystem, posix.join(posix.resolve(gitDirectory, common), 'config'));
}

/** The URL of the remote `origin`, else of the first one (git-config(1), "Syntax"). */
function remoteUrl(config: string): string | undefined {
  let remote: string | undefined;
  let first: string | undefined;
  for (const line of config.split('\n')) {
    const [, section, name] = /^\s*\[\s*([\w.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]/u.exec(line) ?? [];
    if (section !== undefined) remote = section.toLowerCase() === 'remote' ? name : undefined;
    const [, url] = /^\s*url\s*=\s*"?([^"#;\s]+)/iu.exec(line) ?? [];
    if (remote === undefined || url === undefined) continue;
    if (remote === 'origin') return url;
    first ??= url;
  }
  return first;
}

async function readLine(fileSystem: FileSystem, path: string): Promise<string | undefined> {
  return (await readText(fileSystem, path))?.split('\n', 1)[0]?.trim();
}

/** Undefined for what cannot be read: an origin is told as far as it is known. */
async function readText(fileSystem: FileSystem, path: string): Promise<string | undefined> {
  try {
    return Buffer.from(await fileSystem.readFile(path, gitFileBytesMax)).toString();
  } catch (error) {
    if (error instanceof ShoalError) return undefined;
    throw error;
  }
}
