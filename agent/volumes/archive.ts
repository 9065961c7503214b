import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { ShoalError } from '../../src/util/errors.ts';

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
  const child = spawn('tar', ['-C', folder, ...common, '--one-file-system', '-cf', '-', '.'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { output: child.stdout, done: ended(child, 'Cannot read'), kill: () => void child.kill('SIGKILL') };
}

/** Fills the folder with what a tar stream holds. */
export function unpackInto(folder: string): Archive {
  const child = spawn('tar', ['-C', folder, ...common, '-xpf', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.on('error', () => undefined); // tar may end before its input does, and then says why
  return { input: child.stdin, done: ended(child, 'Cannot unpack'), kill: () => void child.kill('SIGKILL') };
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
