import { seededRandom, systemRandom } from '../../src/util/random.ts';
import { AddressFaultRig, addressFaultKinds, type AddressFault } from '../harness/faults-address.ts';
import { median, renderTable } from './statistics.ts';

export interface AddressFaultsResult {
  seed: number;
  faults: AddressFault[];
}

const note = (line: string) => void process.stderr.write(`${line}\n`);

/** So many rounds of each change of a host's own network. */
export async function measureAddressFaults(rounds: number, seed?: number): Promise<AddressFaultsResult> {
  const chosen = seed ?? Math.floor(systemRandom.next() * 1e9);
  note(`seed ${chosen}`);
  const rig = await AddressFaultRig.create(seededRandom(chosen), note);
  const faults: AddressFault[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const kind of addressFaultKinds) {
        const fault = await rig.round(kind);
        faults.push(fault);
        note(`round ${round} of ${rounds}: ${faultText(fault)}`);
        if (fault.failure !== undefined || fault.restarted.length > 0) note(await rig.cluster.troubles());
      }
    }
  } finally {
    await rig.down();
  }
  return { seed: chosen, faults };
}

function faultText({ kind, host, convergeMs, failure, restarted }: AddressFault): string {
  return [
    `${kind} on ${host}: ${Math.round(convergeMs)} ms`,
    ...(failure === undefined ? [] : [`failed: ${failure}`]),
    ...restarted.map((id) => `restarted: ${id}`),
  ].join('\n  ');
}

/** A row for each kind of change. */
export function addressFaultsTable({ seed, faults }: AddressFaultsResult): string {
  const rows = addressFaultKinds.map((kind) => {
    const some = faults.filter((fault) => fault.kind === kind);
    const times = some.filter(({ failure }) => failure === undefined).map(({ convergeMs }) => convergeMs);
    const restarted = some.reduce((sum, fault) => sum + fault.restarted.length, 0);
    const seconds = [median(times), Math.max(...times)].map((ms) => (ms / 1000).toFixed(1));
    return [kind, String(some.length), String(times.length), String(restarted), ...seconds];
  });
  const head = ['', 'changes', 'reached', 'restarted', 'median s', 'longest s'];
  return [renderTable([head, ...rows]), `seed ${seed}`].join('\n');
}
