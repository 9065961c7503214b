import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { PeerCase } from './case.ts';
import { differences, type Difference } from './comparison.ts';
import { readWithDockerCompose, readWithShoal } from './readers.ts';

/** Reads each case with both programs and says how they differ. */

export type Outcome =
  | { outcome: 'same' }
  | { outcome: 'only Shoal accepts'; complaints: string[] }
  | { outcome: 'only docker compose accepts'; complaints: string[] }
  | { outcome: 'they read other data'; differences: Difference[] };

/** Each runs a program of its own; this process is busy with the other reader. */
const readersAtOnce = 3;

/** Gives every case with what became of it, in the order of the cases. */
export async function compareAll(
  binary: string,
  cases: Iterable<PeerCase>,
  tell: (one: PeerCase, outcome: Outcome) => void,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'shoal-peer-'));
  try {
    const pending: { one: PeerCase; outcome: Promise<Outcome> }[] = [];
    let number = 0;
    for (const one of cases) {
      number += 1;
      const outcome = compareOne(binary, one, join(root, String(number)));
      outcome.catch(() => undefined); // awaited below, in the order of the cases
      pending.push({ one, outcome });
      if (pending.length < readersAtOnce) continue;
      const first = pending.shift()!;
      tell(first.one, await first.outcome);
    }
    for (const { one, outcome } of pending) tell(one, await outcome);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function compareOne(binary: string, one: PeerCase, parent: string): Promise<Outcome> {
  if (one.folder !== undefined) return compareIn(binary, one, one.folder);
  const folder = join(parent, 'app');
  await mkdir(folder, { recursive: true });
  for (const [path, text] of Object.entries(one.files)) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  const outcome = await compareIn(binary, one, folder);
  await rm(parent, { recursive: true, force: true });
  return outcome;
}

async function compareIn(binary: string, one: PeerCase, folder: string): Promise<Outcome> {
  const [theirs, ours] = await Promise.all([
    readWithDockerCompose(binary, one, folder),
    readWithShoal(one, folder),
  ]);
  if ('complaints' in theirs) {
    return 'complaints' in ours ? { outcome: 'same' } : { outcome: 'only Shoal accepts', ...theirs };
  }
  if ('complaints' in ours) return { outcome: 'only docker compose accepts', ...ours };
  const found = differences(theirs.data, ours.data);
  return found.length === 0 ? { outcome: 'same' } : { outcome: 'they read other data', differences: found };
}
