import { diskFaults, DiskFaultRig, type DiskFault } from '../../harness/faults-disk.ts';
import { secondsOf } from '../statistics.ts';
import { restartedIn, type FaultKind } from './kind.ts';

export const disk: FaultKind<DiskFault['kind'], DiskFault> = {
  faults: diskFaults,
  create: ({ onStep }) => DiskFaultRig.create(onStep),
  rows: (faults) => [
    ['', 'rounds', 'reached', 'restarted', 'the node was', 'median s', 'longest s'],
    ...diskFaults.flatMap((kind) => {
      const some = faults.filter((fault) => fault.kind === kind);
      if (some.length === 0) return [];
      const reached = some.filter(({ failure }) => failure === undefined);
      return [
        [
          kind,
          String(some.length),
          String(reached.length),
          restartedIn(some),
          [...new Set(some.flatMap((fault) => fault.seen))].sort().join(' '),
          ...secondsOf(reached.map(({ recoveryMs }) => recoveryMs)),
        ],
      ];
    }),
  ],
};
