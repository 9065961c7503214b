import { FaultRig, operations, parts, type Fault } from '../../harness/faults.ts';
import { secondsOf } from '../statistics.ts';
import { restartedIn, type FaultKind } from './kind.ts';

export const kills: FaultKind<Fault['part'], Fault> = {
  faults: parts,
  create: ({ random, onStep }) => FaultRig.create(random, onStep),
  rows: (faults) => [
    ['', 'kills', 'inside', 'reached', 'restarted', 'left over', 'median s', 'longest s'],
    ...operations.flatMap((operation) =>
      parts.flatMap((part) => {
        const some = faults.filter((fault) => fault.operation === operation && fault.part === part);
        if (some.length === 0) return [];
        const reached = some.filter(({ failure }) => failure === undefined);
        return [
          [
            `${operation}, ${part}`,
            String(some.length),
            String(some.filter(({ landed }) => landed).length),
            String(reached.length),
            restartedIn(some),
            String(some.reduce((total, { leftovers }) => total + leftovers.length, 0)),
            ...secondsOf(reached.map(({ convergeMs }) => convergeMs)),
          ],
        ];
      }),
    ),
  ],
};
