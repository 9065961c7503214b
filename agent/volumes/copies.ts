import { readdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../src/util/clock.ts';
import { tryCommand } from '../../src/util/command.ts';
import type { HostCopy } from '../../src/wire/session.ts';

/** What counting the bytes of one copy may take; with many files it takes longer, and they are not told. */
const countMs = 5_000;

/** The file that makes a named volume usable; its time is that of the last use. */
export function noteOf(folders: string, name: string): string {
  return join(folders, name, 'volume.json');
}

/** Notes a use. Does nothing where there is no volume of ours. */
export async function touch(note: string): Promise<void> {
  const now = systemClock.now() / 1000;
  await utimes(note, now, now).catch(missing);
}

/** What is in the folder of named volumes, those apart that are only mounted; or of the one of that name. */
export async function* hostCopies(folders: string, name?: string): AsyncGenerator<HostCopy> {
  const names = name === undefined ? ((await readdir(folders).catch(missing)) ?? []) : [name];
  for (const each of names.toSorted()) {
    if (each.startsWith('.')) continue;
    const note = await stat(noteOf(folders, each)).catch(missing);
    if (note === undefined) continue;
    const bytes = await bytesIn(join(folders, each, 'data'));
    const unusedMs = Math.max(0, Math.round(systemClock.now() - note.mtimeMs));
    yield { name: each, unusedMs, ...(bytes === undefined ? {} : { bytes }) };
  }
}

/** What the folder takes on the disk; undefined when that cannot be counted in time. */
async function bytesIn(folder: string): Promise<number | undefined> {
  const counting = tryCommand('du', ['-s', '-x', '--block-size=1', folder], { timeoutMs: countMs });
  const result = await counting.catch(() => undefined); // told as not known
  const [, digits] = /^(\d+)\s/.exec(result?.stdout ?? '') ?? [];
  return digits === undefined ? undefined : Number(digits);
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}
