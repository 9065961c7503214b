import { ClockFaultRig, clockFaultKinds, type ClockFault } from '../../harness/faults-clock.ts';
import { changeRows, type FaultKind } from './kind.ts';

export const clock: FaultKind<ClockFault['kind'], ClockFault> = {
  faults: clockFaultKinds,
  create: ({ random, onStep }) => ClockFaultRig.create(random, onStep),
  rows: (faults) => changeRows('steps', clockFaultKinds, faults),
};
