import { AddressFaultRig, addressFaultKinds, type AddressFault } from '../../harness/faults-address.ts';
import { changeRows, type FaultKind } from './kind.ts';

export const address: FaultKind<AddressFault['kind'], AddressFault> = {
  faults: addressFaultKinds,
  create: ({ random, onStep }) => AddressFaultRig.create(random, onStep),
  rows: (faults) => changeRows('changes', addressFaultKinds, faults),
};
