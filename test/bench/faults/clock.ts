import { ClockFaultRig, clockFaultKinds, type ClockFault } from '../../harness/faults-clock.ts';
import { secondsOf } from '../statistics.ts';
import { restartedIn, type FaultKind } from './kind.ts';

export const clock: FaultKind<ClockFault['kind'], ClockFault> = {
  faults: clockFaultKinds,
  create: ({ random, onStep }) => ClockFaultRig.create(random, onStep),
  rows: (faults) => [
    ['', 'steps', 'reached', 'restarted', 'median s', 'longest s'],
    ...clockFaultKinds.flatMap((kind) => {
      const some = faults.filter((fault) => fault.kind === kind);
      if (some.length === 0) return [];
      const times = some.filter(({ failure }) => failure === undefined).map(({ convergeMs }) => convergeMs);
      return [[kind, String(some.length), String(times.length), restartedIn(some), ...secondsOf(times)]];
    }),
  ],
};
