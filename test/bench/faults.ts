import { seededRandom, systemRandom, type Random } from '../../src/util/random.ts';
import { FaultRig, operations, parts, type Fault } from '../harness/faults.ts';
import { networkFaultKinds, NetworkFaultRig, type NetworkFault } from '../harness/faults-network.ts';
import { median, renderTable } from './statistics.ts';

export interface FaultsResult {
  seed: number;
  faults: Fault[];
  network: NetworkFault[];
}

/** Kinds of rounds: parts of hosts that are killed, and networks of hosts that are broken. */
export const faultKinds = ['kills', 'network'] as const;
export type FaultKind = (typeof faultKinds)[number];

const note = (line: string) => void process.stderr.write(`${line}\n`);

/** So many rounds of each kind of fault; of all kinds unless one is named. */
export async function measureFaults(rounds: number, seed?: number, kind?: FaultKind): Promise<FaultsResult> {
  const chosen = seed ?? Math.floor(systemRandom.next() * 1e9);
  note(`seed ${chosen}`);
  const wanted = (each: FaultKind) => kind === undefined || kind === each;
  return {
    seed: chosen,
    faults: wanted('kills') ? await measureKills(rounds, seededRandom(chosen)) : [],
    network: wanted('network') ? await measureNetwork(rounds, seededRandom(chosen)) : [],
  };
}

/** For each way to break a host's network, so many times. */
async function measureNetwork(rounds: number, random: Random): Promise<NetworkFault[]> {
  const rig = await NetworkFaultRig.create(random, note);
  const faults: NetworkFault[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const kind of networkFaultKinds) {
        const fault = await rig.round(kind);
        faults.push(fault);
        note(`round ${round} of ${rounds}: ${JSON.stringify(fault)}`);
      }
    }
  } finally {
    await rig.down();
  }
  return faults;
}

/** For each part, an `up`, a scale and an update with a kill in the middle of each. */
async function measureKills(rounds: number, random: Random): Promise<Fault[]> {
  const rig = await FaultRig.create(random, note);
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
  return faults;
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

/** A row for each kind of fault that was made. */
export function faultsTable({ seed, faults, network }: FaultsResult): string {
  return [
    ...(faults.length > 0 ? [killsTable(faults)] : []),
    ...(network.length > 0 ? [networkTable(network)] : []),
    `seed ${seed}`,
  ].join('\n');
}

function networkTable(faults: NetworkFault[]): string {
  const seconds = (values: number[]) =>
    [median(values), Math.max(...values)].map((each) => (each / 1000).toFixed(1));
  const rows = networkFaultKinds.map((kind) => {
    const some = faults.filter((fault) => fault.kind === kind);
    const told = some.flatMap(({ toldMs }) => toldMs ?? []);
    return [
      kind,
      String(some.length),
      ...seconds(some.map(({ backMs }) => backMs)),
      String(told.length),
      ...seconds(told),
      String(some.reduce((total, { restarted }) => total + restarted.length, 0)),
    ];
  });
  const head = ['', 'faults', 'back, s', 'longest', 'told', 'after, s', 'longest', 'restarted'];
  return renderTable([head, ...rows]);
}

function killsTable(faults: Fault[]): string {
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
  return renderTable([head, ...rows]);
}
