import { hostileRows } from '../../src/compose/hostile-rows.ts';
import { runCommand } from '../../src/util/command.ts';
import { median, renderTable } from './statistics.ts';

/** How long it takes to refuse a file that is written to do harm. */
export interface RefusalResult {
  name: string;
  characters: number;
  /** Milliseconds in a process that has just started, and in one that has refused it before; medians of the rounds. */
  firstMs: number;
  laterMs: number;
  /** How much resident memory the process needed at most beyond what it had at its start. */
  grownBytes: number;
}

export async function measureRefusal(rounds: number): Promise<RefusalResult[]> {
  const results: RefusalResult[] = [];
  const script = `${import.meta.dirname}/refusal-load.ts`;
  for (const [index, [name, { length: characters }]] of hostileRows.entries()) {
    const measured: RefusalResult[] = [];
    for (let round = 0; round < rounds; round++) {
      const output = await runCommand(process.execPath, [script, String(index)], { timeoutMs: 60_000 });
      measured.push(JSON.parse(output) as RefusalResult);
    }
    const middle = (key: 'firstMs' | 'laterMs' | 'grownBytes') =>
      median(measured.map((result) => result[key]));
    const [firstMs, laterMs, grownBytes] = [middle('firstMs'), middle('laterMs'), middle('grownBytes')];
    results.push({ name, characters, firstMs, laterMs, grownBytes });
  }
  return results.toSorted((left, right) => right.firstMs - left.firstMs);
}

export function refusalTable(results: RefusalResult[]): string {
  const rows = results.map(({ name, characters, firstMs, laterMs, grownBytes }) => [
    name,
    (characters / 1024).toFixed(0),
    firstMs.toFixed(0),
    laterMs.toFixed(0),
    (grownBytes / 1024 / 1024).toFixed(0),
  ]);
  return renderTable([['hostile file', 'KiB', 'first ms', 'later ms', 'MiB more'], ...rows]);
}
