import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { ShoalError } from '../../src/util/errors.ts';
import { confinedTo } from './confined.ts';

/** Owners by number, and what else belongs to a file. What is mounted inside is not part of the volume. */
const common = ['--numeric-owner', '--acls', '--xattrs', '--xattrs-include=*', '--sparse'];
/** GNU tar's way to say that files changed while it read them. */
const changedExitCode = 1;
/** Characters of tar's words that are kept. */
const saidMax = 4_096;

/** What tar reads or writes, and how it ends. */
export interface Archive {
  output?: Readable;
  input?: Writable;
  /** Resolves once all is done; false: files changed while they were read. Throws `failed_precondition` with tar's words. */
  done: Promise<{ isWhole: boolean }>;
  kill: () => void;
}

/** The folder as a tar stream. */
export function packFolder(folder: string): Archive {
  const how = [...common, '--one-file-system', '-cf', '-', '.'];
  const [file, argv] = confinedTo(folder, 'tar', (path) => ['-C', path, ...how]);
  const child = spawn(file, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  return {
    output: child.stdout,
    done: seen(ended(child, 'Cannot read')),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** These paths of the folder, and not what is in them; a character for each byte. `isStill`: one that is gone is a failure. */
export function packFiles(folder: string, files: string[], isStill: boolean): Archive {
  const which = ['--null', '--no-recursion', ...(isStill ? [] : ['--ignore-failed-read']), '-T', '-'];
  const how = [...common, '--one-file-system', ...which, '-cf', '-'];
  const [file, argv] = confinedTo(folder, 'tar', (path) => ['-C', path, ...how]);
  const child = spawn(file, argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined); // tar may end before its input does, and then says why
  child.stdin.end(Buffer.from(files.map((path) => `./${path}\0`).join(''), 'latin1'));
  return {
    output: child.stdout,
    done: seen(ended(child, 'Cannot read')),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Fills the folder with what a tar stream holds; files that are there already are replaced, folders are kept. */
export function unpackInto(folder: string): Archive {
  const how = [...common, '--delay-directory-restore', '-xpf', '-'];
  const [file, argv] = confinedTo(folder, 'tar', (path) => ['-C', path, ...how]);
  const child = spawn(file, argv, { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.on('error', () => undefined); // tar may end before its input does, and then says why
  return {
    input: child.stdin,
    done: seen(ended(child, 'Cannot unpack')),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** It may fail before anybody waits for it, or when nobody does any more. */
function seen<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function ended(child: ChildProcess, what: string): Promise<{ isWhole: boolean }> {
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-saidMax)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return { isWhole: true };
  if (code === changedExitCode) return { isWhole: false };
  const words = said.trim().split('\n').at(-1) ?? '';
  throw new ShoalError('failed_precondition', `${what} the volume: ${words || `tar ended with ${code}`}`);
}
