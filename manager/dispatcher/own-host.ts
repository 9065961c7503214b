import { networkInterfaces } from 'node:os';
import type { OwnHost } from './silence.ts';

type Interfaces = () => Record<string, { address: string }[] | undefined>;

/**
 * Looks at the host that the manager runs on. Its network counts as down only when an interface had the address and none that
 * runs has it any more: behind a translated address no interface ever has it.
 */
export function watchOwnHost(address: string, interfaces: Interfaces = networkInterfaces): () => OwnHost {
  let wasHere = false;
  return () => {
    // Only of interfaces that are up and have a carrier.
    const isHere = Object.values(interfaces()).some((list) => list?.some((each) => each.address === address));
    wasHere ||= isHere;
    return { address, isAttached: isHere || !wasHere };
  };
}
