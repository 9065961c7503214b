import { ShoalError } from '../../../src/util/errors.ts';
import { seededRandom, systemRandom } from '../../../src/util/random.ts';
import { renderTable } from '../statistics.ts';
import { address } from './address.ts';
import { clock } from './clock.ts';
import { disk } from './disk.ts';
import { engine } from './engine.ts';
import { kills } from './kills.ts';
import { runner, type FaultRun } from './kind.ts';
import { network } from './network.ts';

const kinds = {
  /** A part of a host killed in the middle of an `up`, a scale, an update. */
  kills: runner(kills),
  /** A host's network broken under load. */
  network: runner(network),
  /** A shim or containerd that stands still, many commands, many replicas. */
  engine: runner(engine),
  /** A host's disk full or frozen, its agent stopped. */
  disk: runner(disk),
  /** A host's own address and MTU changed and changed back. */
  address: runner(address),
  /** A host's clock an hour ahead or behind. */
  clock: runner(clock),
};
type Kind = keyof typeof kinds;

export const faultKinds = Object.keys(kinds) as Kind[];

export interface FaultsOptions {
  rounds: number;
  seed?: number;
  /** One kind alone. */
  kind?: string;
  /** One fault alone. */
  only?: string;
  replicas: number;
}

export interface FaultsResult {
  seed: number;
  kinds: Partial<Record<Kind, FaultRun>>;
}

/** So many rounds of each fault. Throws `invalid_argument` for a kind or fault that there is not. */
export async function measureFaults({
  rounds,
  seed = Math.floor(systemRandom.next() * 1e9),
  kind,
  only,
  replicas,
}: FaultsOptions): Promise<FaultsResult> {
  const chosen = faultKinds.filter((name) => {
    return (kind === undefined || kind === name) && (only === undefined || kinds[name].faults.includes(only));
  });
  if (chosen.length === 0) {
    const known = faultKinds.map((name) => `${name} (${kinds[name].faults.join(', ')})`).join('; ');
    throw new ShoalError('invalid_argument', `No such faults. There are: ${known}`);
  }
  const onStep = (step: string) => void process.stderr.write(`${step}\n`);
  onStep(`seed ${seed}`);
  const result: FaultsResult = { seed, kinds: {} };
  for (const name of chosen) {
    result.kinds[name] = await kinds[name].run(rounds, only, {
      random: seededRandom(seed),
      replicas,
      onStep,
    });
  }
  return result;
}

/** A table for each kind. */
export function faultsTable({ seed, kinds: runs }: FaultsResult): string {
  return [...Object.values(runs).map(({ rows }) => renderTable(rows)), `seed ${seed}`].join('\n\n');
}
