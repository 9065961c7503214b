import { dynamicPorts } from '../../src/spec/defaults.ts';
import { portsClash, type OpenPort } from '../../src/spec/port.ts';
import type { AllocatedPort, PublishedPort } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';

/**
 * Host-mode ports with their numbers: a fixed one as it is, one of a range (or any) as the first that is not `taken`.
 * Throws `port_taken` when none is left.
 */
export function chooseHostPorts(wanted: PublishedPort[], taken: readonly OpenPort[]): AllocatedPort[] {
  const own: OpenPort[] = [];
  return wanted.map(({ target, published, protocol, address }) => {
    const where = { target, protocol, ...(address && { address }) };
    if (typeof published === 'number') return { ...where, published };
    const range = published ?? dynamicPorts;
    for (let candidate = range.first; candidate <= range.last; candidate++) {
      const port = { ...where, published: candidate };
      if ([...taken, ...own].some((other) => portsClash(other, port))) continue;
      own.push(port);
      return port;
    }
    throw new ShoalError(
      'port_taken',
      `Cannot publish port ${target}/${protocol}: all of ${range.first} to ${range.last} are taken on this host`,
    );
  });
}
