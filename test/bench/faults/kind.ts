import type { Random } from '../../../src/util/random.ts';
import type { Cluster } from '../../harness/cluster.ts';
import { secondsOf } from '../statistics.ts';

/** What every round tells of. */
export interface Outcome {
  /** Why what was asked was not reached; absent when it was. */
  failure?: string;
  /** Containers that were healthy before, are to go on, and are not the same processes any more. */
  restarted: string[];
  /** What stands on hosts too much or too little a while after all was reached. */
  leftovers?: string[];
}

export interface FaultOptions {
  random: Random;
  /** How many replicas a service is scaled to where that is the fault. */
  replicas: number;
  onStep: (step: string) => void;
}

/** A cluster on which rounds of faults are made. */
export interface Rig<Name extends string, Fault extends Outcome> {
  cluster: Cluster;
  round(fault: Name): Promise<Fault | Fault[]>;
  /** Gives what was left over at the very end, if that is looked for. */
  down(): Promise<string[] | void>;
}

/** Faults that are made on one kind of cluster. */
export interface FaultKind<Name extends string, Fault extends Outcome> {
  faults: readonly Name[];
  create(options: FaultOptions): Promise<Rig<Name, Fault>>;
  /** One row for each of its faults, with a head. */
  rows(faults: Fault[]): string[][];
}

export interface FaultRun {
  faults: Outcome[];
  rows: string[][];
}

/** Makes so many rounds of each of a kind's faults, or of the one named. */
export function runner<Name extends string, Fault extends Outcome>(kind: FaultKind<Name, Fault>) {
  return {
    faults: kind.faults as readonly string[],
    run: async (rounds: number, only: string | undefined, options: FaultOptions): Promise<FaultRun> => {
      const { onStep } = options;
      const rig = await kind.create(options);
      const faults: Fault[] = [];
      try {
        for (let round = 1; round <= rounds; round++) {
          for (const name of kind.faults) {
            if (only !== undefined && only !== name) continue;
            const seen = [await rig.round(name)].flat() as Fault[];
            faults.push(...seen);
            for (const fault of seen) onStep(`round ${round} of ${rounds}: ${JSON.stringify(fault)}`);
            if (seen.some(isTrouble)) onStep(await rig.cluster.troubles());
          }
        }
      } finally {
        for (const line of (await rig.down()) ?? []) onStep(`left over at the end: ${line}`);
      }
      return { faults, rows: kind.rows(faults) };
    },
  };
}

function isTrouble({ failure, restarted, leftovers = [] }: Outcome): boolean {
  return failure !== undefined || restarted.length + leftovers.length > 0;
}

/** Of all rounds together. */
export function restartedIn(faults: Outcome[]): string {
  return String(faults.reduce((sum, { restarted }) => sum + restarted.length, 0));
}

/** A fault that is undone again, and how long it took until all was reached. */
interface Change extends Outcome {
  kind: string;
  convergeMs: number;
}

/** One row for each kind of change, with a head; `what` is what they are. */
export function changeRows(what: string, kinds: readonly string[], faults: Change[]): string[][] {
  return [
    ['', what, 'reached', 'restarted', 'median s', 'longest s'],
    ...kinds.flatMap((kind) => {
      const some = faults.filter((fault) => fault.kind === kind);
      if (some.length === 0) return [];
      const times = some.filter(({ failure }) => failure === undefined).map(({ convergeMs }) => convergeMs);
      return [[kind, String(some.length), String(times.length), restartedIn(some), ...secondsOf(times)]];
    }),
  ];
}
