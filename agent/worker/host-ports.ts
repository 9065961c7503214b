import { dynamicPorts } from '../../src/spec/defaults.ts';
import type { AllocatedPort, PublishedPort } from '../../src/spec/service.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** `tcp/8080`: what can be taken once on a host. */
export function portKey(port: { published: number; protocol: string }): string {
  return `${port.protocol}/${port.published}`;
}

/**
 * Host-mode ports with their numbers: a fixed one as it is, one of a range (or any) as the first that is not `taken`.
 * Throws `port_taken` when none is left.
 */
export function chooseHostPorts(wanted: PublishedPort[], taken: ReadonlySet<string>): AllocatedPort[] {
  const own = new Set<string>();
  return wanted.map(({ target, published, protocol }) => {
    if (typeof published === 'number') return { target, published, protocol };
    const range = published ?? dynamicPorts;
    for (let candidate = range.first; candidate <= range.last; candidate++) {
      const key = portKey({ published: candidate, protocol });
      if (taken.has(key) || own.has(key)) continue;
      own.add(key);
      return { target, published: candidate, protocol };
    }
    throw new ShoalError(
      'port_taken',
      `Cannot publish port ${target}/${protocol}: all of ${range.first} to ${range.last} are taken on this host`,
    );
  });
}
