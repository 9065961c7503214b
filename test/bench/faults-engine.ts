import { seededRandom, systemRandom } from '../../src/util/random.ts';
import { EngineFaultRig, engineFaults, type EngineRound } from '../harness/faults-engine.ts';
import { median, renderTable } from './statistics.ts';

export interface EngineFaultsResult {
  seed: number;
  rounds: EngineRound[];
}

const note = (line: string) => void process.stderr.write(`${line}\n`);

/** So many rounds of each fault. */
export async function measureEngineFaults(
  rounds: number,
  options: { seed?: number; replicas: number; only?: string },
): Promise<EngineFaultsResult> {
  const seed = options.seed ?? Math.floor(systemRandom.next() * 1e9);
  note(`seed ${seed}`);
  const rig = await EngineFaultRig.create(seededRandom(seed), options.replicas, note);
  const seen: EngineRound[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const fault of engineFaults) {
        if (options.only !== undefined && options.only !== fault) continue;
        const result = await rig.round(fault);
        seen.push(result);
        note(`round ${round} of ${rounds}: ${JSON.stringify(result)}`);
        if (result.failure !== undefined || result.restarted.length > 0) note(await rig.cluster.troubles());
      }
    }
  } finally {
    await rig.down();
  }
  return { seed, rounds: seen };
}

/** A row for each fault. */
export function engineFaultsTable({ seed, rounds }: EngineFaultsResult): string {
  const rows = engineFaults.flatMap((fault) => {
    const some = rounds.filter((round) => round.fault === fault);
    if (some.length === 0) return [];
    const reached = some.filter(({ failure }) => failure === undefined);
    const seconds = reached.map(({ tookMs }) => tookMs / 1000);
    const isStop = fault === 'shim' || fault === 'containerd';
    const row = [
      fault,
      String(some.length),
      String(reached.length),
      isStop ? String(some.filter(({ told }) => told).length) : '',
      String(some.reduce((sum, { restarted }) => sum + restarted.length, 0)),
      String(some.reduce((sum, { refused = 0 }) => sum + refused, 0)),
      median(seconds).toFixed(1),
      Math.max(...seconds).toFixed(1),
    ];
    return [row];
  });
  const head = ['', 'rounds', 'reached', 'told', 'restarted', 'refused', 'median s', 'longest s'];
  return [renderTable([head, ...rows]), `seed ${seed}`].join('\n');
}
