import { readdir, readFile, stat, utimes } from 'node:fs/promises';
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

/** What is in the folder of named volumes, those apart that are only mounted; or of the one of that name. With what was called so before. */
export async function* hostCopies(folders: string, name?: string): AsyncGenerator<HostCopy> {
  const former = join(folders, '.former');
  const list = async (folder: string) => ((await readdir(folder).catch(missing)) ?? []).toSorted();
  for (const each of name === undefined ? await list(folders) : [name]) {
    const copy = each.startsWith('.') ? undefined : await hostCopy(folders, each, each);
    if (copy !== undefined) yield copy;
  }
  for (const each of name === undefined ? await list(former) : [name]) {
    for (const id of await list(join(former, each))) {
      const copy = await hostCopy(join(former, each), id, each);
      if (copy !== undefined) yield copy;
    }
  }
}

async function hostCopy(folders: string, folder: string, name: string): Promise<HostCopy | undefined> {
  const path = noteOf(folders, folder);
  const stats = await stat(path).catch(missing);
  if (stats === undefined) return undefined;
  const { id } = await noteIn(path);
  const bytes = await bytesIn(join(folders, folder, 'data'));
  const unusedMs = Math.max(0, Math.round(systemClock.now() - stats.mtimeMs));
  return { name, unusedMs, ...(id === undefined ? {} : { id }), ...(bytes === undefined ? {} : { bytes }) };
}

/** Whose data is beside the note; nothing where that cannot be read. */
async function noteIn(path: string): Promise<{ id?: string }> {
  const text = (await readFile(path, 'utf8').catch(missing)) ?? '';
  const [, id] = /"id":"([a-zA-Z0-9_.-]+)"/.exec(text) ?? [];
  return id === undefined ? {} : { id };
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
