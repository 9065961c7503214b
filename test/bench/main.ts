import { parseArgs } from 'node:util';
import { messageOf } from '../../src/util/errors.ts';
import { measureScale, scaleTable } from './scale.ts';
import { measureStart, startTable } from './start.ts';

/** Benches on this machine. Seconds depend on it; the ratios to the floor, which is measured in the same run, travel better. */

const usage = `Usage:
  npm run bench -- scale [--rounds N] [--json]   real containers on three hosts: 3 → 30 → 60 → 3 replicas
  npm run bench -- start [--rounds N] [--json]   how long the command line takes to start
`;

const benches = {
  scale: { measure: measureScale, table: scaleTable, rounds: 3 },
  start: { measure: measureStart, table: startTable, rounds: 20 },
};

async function report<T>(
  bench: { measure: (rounds: number) => Promise<T>; table: (result: T) => string; rounds: number },
  options: { rounds?: string; json?: boolean },
): Promise<void> {
  const result = await bench.measure(Number(options.rounds ?? bench.rounds));
  process.stdout.write(`${options.json ? JSON.stringify(result, null, 2) : bench.table(result)}\n`);
}

try {
  const { positionals, values } = parseArgs({
    options: { json: { type: 'boolean' }, rounds: { type: 'string' } },
    allowPositionals: true,
  });
  const [name] = positionals;
  if (name === 'scale') await report(benches.scale, values);
  else if (name === 'start') await report(benches.start, values);
  else {
    process.stderr.write(usage);
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
}
