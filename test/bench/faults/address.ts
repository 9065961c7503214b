import { AddressFaultRig, addressFaultKinds, type AddressFault } from '../../harness/faults-address.ts';
import { secondsOf } from '../statistics.ts';
import { restartedIn, type FaultKind } from './kind.ts';

export const address: FaultKind<AddressFault['kind'], AddressFault> = {
  faults: addressFaultKinds,
  create: ({ random, onStep }) => AddressFaultRig.create(random, onStep),
  rows: (faults) => [
    ['', 'changes', 'reached', 'restarted', 'median s', 'longest s'],
    ...addressFaultKinds.flatMap((kind) => {
      const some = faults.filter((fault) => fault.kind === kind);
      if (some.length === 0) return [];
      const times = some.filter(({ failure }) => failure === undefined).map(({ convergeMs }) => convergeMs);
      return [[kind, String(some.length), String(times.length), restartedIn(some), ...secondsOf(times)]];
    }),
  ],
};
