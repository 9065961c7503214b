import { diskFaults, DiskFaultRig, type DiskFault } from '../harness/faults-disk.ts';
import { median, renderTable } from './statistics.ts';

const note = (line: string) => void process.stderr.write(`${line}\n`);

/** So many rounds of each: the state disk of a host full, frozen for 4 s, its agent stopped for 15 s. */
export async function measureDiskFaults(rounds: number): Promise<DiskFault[]> {
  const rig = await DiskFaultRig.create(note);
  const faults: DiskFault[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const kind of diskFaults) {
        const fault = await rig.round(kind);
        faults.push(fault);
        note(`round ${round} of ${rounds}: ${JSON.stringify(fault)}`);
        if (fault.failure !== undefined || fault.restarted.length > 0) note(await rig.cluster.troubles());
      }
    }
  } finally {
    await rig.cluster.down();
  }
  return faults;
}

/** A row for each kind of fault. */
export function diskFaultsTable(faults: DiskFault[]): string {
  const rows = diskFaults.map((kind) => {
    const some = faults.filter((fault) => fault.kind === kind);
    const reached = some.filter(({ failure }) => failure === undefined);
    const restarted = some.reduce((total, fault) => total + fault.restarted.length, 0);
    const seen = [...new Set(some.flatMap((fault) => fault.seen))].sort().join(' ');
    const recovery = reached.map(({ recoveryMs }) => recoveryMs);
    const seconds = (ms: number) => (ms / 1000).toFixed(1);
    return [
      kind,
      String(some.length),
      String(reached.length),
      String(restarted),
      seen,
      seconds(median(recovery)),
      seconds(Math.max(...recovery)),
    ];
  });
  const head = ['', 'rounds', 'reached', 'restarted', 'the node was', 'median s', 'longest s'];
  return renderTable([head, ...rows]);
}
