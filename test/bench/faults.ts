import { seededRandom, systemRandom } from '../../src/util/random.ts';
import { FaultRig, operations, parts, type Fault } from '../harness/faults.ts';
import { median, renderTable } from './statistics.ts';

export interface FaultsResult {
  seed: number;
  faults: Fault[];
}

const note = (line: string) => void process.stderr.write(`${line}\n`);

/** So many rounds for each part: an `up`, a scale and an update with a kill in the middle of each. */
export async function measureFaults(rounds: number, seed?: number): Promise<FaultsResult> {
  const chosen = seed ?? Math.floor(systemRandom.next() * 1e9);
  note(`seed ${chosen}`);
  const rig = await FaultRig.create(seededRandom(chosen), note);
  const faults: Fault[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const part of parts) {
        const seen = await rig.round(part);
        faults.push(...seen);
        for (const fault of seen) note(`round ${round} of ${rounds}: ${faultLine(fault)}`);
        if (seen.some((fault) => troublesOf(fault).length > 0)) note(await rig.cluster.troubles());
      }
    }
  } finally {
    for (const line of await rig.down()) note(`left over at the end: ${line}`);
  }
  return { seed: chosen, faults };
}

function faultLine(fault: Fault): string {
  const { part, operation, host, atMs, landed, convergeMs } = fault;
  const where = `${operation}, ${part} of ${host} killed after ${atMs} ms${landed ? '' : ' (too late)'}`;
  return [`${where}: ${convergeMs} ms`, ...troublesOf(fault)].join('\n  ');
}

function troublesOf({ failure, restarted, leftovers }: Fault): string[] {
  return [
    ...(failure === undefined ? [] : [`failed: ${failure}`]),
    ...restarted.map((name) => `restarted: ${name}`),
    ...leftovers.map((name) => `left over: ${name}`),
  ];
}

/** A row for each operation and part. */
export function faultsTable({ seed, faults }: FaultsResult): string {
  const rows = operations.flatMap((operation) =>
    parts.map((part) => {
      const some = faults.filter((fault) => fault.operation === operation && fault.part === part);
      const sum = (count: (fault: Fault) => number) =>
        String(some.reduce((total, fault) => total + count(fault), 0));
      const reached = some.filter(({ failure }) => failure === undefined);
      return [
        `${operation}, ${part}`,
        String(some.length),
        sum(({ landed }) => Number(landed)),
        String(reached.length),
        sum(({ restarted }) => restarted.length),
        sum(({ leftovers }) => leftovers.length),
        (median(reached.map(({ convergeMs }) => convergeMs)) / 1000).toFixed(1),
        (Math.max(...reached.map(({ convergeMs }) => convergeMs)) / 1000).toFixed(1),
      ];
    }),
  );
  const head = ['', 'kills', 'inside', 'reached', 'restarted', 'left over', 'median s', 'longest s'];
  return [renderTable([head, ...rows]), `seed ${seed}`].join('\n');
}
