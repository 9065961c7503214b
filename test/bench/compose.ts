import { runCommand } from '../../src/util/command.ts';
import { median, renderTable } from './statistics.ts';

/** Reading an application in a fresh process each round: the first time, before anything is compiled, and the fifth. */
export interface ComposeResult {
  services: number;
  characters: number;
  /** Milliseconds of the first load of a process, the median of the rounds; and how long it kept a processor. */
  firstMs: number;
  firstCpuMs: number;
  /** The median of the loads after the first in the same process. */
  laterMs: number;
}

const sizes = [100, 1000, 2500, 5000];

/** Measures how long a file of so many services takes from its text to its specs. */
export async function measureCompose(rounds: number): Promise<ComposeResult[]> {
  const results: ComposeResult[] = [];
  const script = `${import.meta.dirname}/compose-load.ts`;
  for (const services of sizes) {
    const measured: ComposeResult[] = [];
    for (let round = 0; round < rounds; round++) {
      const output = await runCommand(process.execPath, [script, String(services)], {
        timeoutMs: 60_000,
      });
      measured.push(JSON.parse(output) as ComposeResult);
    }
    const middle = (key: keyof ComposeResult) => median(measured.map((result) => result[key]));
    results.push({
      services,
      characters: measured[0]!.characters,
      firstMs: middle('firstMs'),
      firstCpuMs: middle('firstCpuMs'),
      laterMs: middle('laterMs'),
    });
  }
  return results;
}

export function composeTable(results: ComposeResult[]): string {
  const base = results.find(({ services }) => services === 1000)!;
  const rows = results.map(({ services, characters, firstMs, firstCpuMs, laterMs }) => [
    String(services),
    (characters / 1024).toFixed(0),
    firstMs.toFixed(0),
    firstCpuMs.toFixed(0),
    laterMs.toFixed(0),
    ((firstMs / base.firstMs) * (base.services / services)).toFixed(2),
  ]);
  const head = ['services', 'KiB', 'first ms', 'of it CPU', 'later ms', 'per service, × 1,000'];
  return renderTable([head, ...rows]);
}
