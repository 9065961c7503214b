import { networkFaultKinds, NetworkFaultRig, type NetworkFault } from '../../harness/faults-network.ts';
import { secondsOf } from '../statistics.ts';
import { restartedIn, type FaultKind } from './kind.ts';

export const network: FaultKind<NetworkFault['kind'], NetworkFault> = {
  faults: networkFaultKinds,
  create: ({ random, onStep }) => NetworkFaultRig.create(random, onStep),
  rows: (faults) => [
    ['', 'faults', 'back, s', 'longest', 'told', 'after, s', 'longest', 'restarted'],
    ...networkFaultKinds.flatMap((kind) => {
      const some = faults.filter((fault) => fault.kind === kind);
      if (some.length === 0) return [];
      const told = some.flatMap(({ toldMs }) => toldMs ?? []);
      const back = secondsOf(some.map(({ backMs }) => backMs));
      return [
        [kind, String(some.length), ...back, String(told.length), ...secondsOf(told), restartedIn(some)],
      ];
    }),
  ],
};
