/**
 * Whether packets of containers really pass through this host, past whatever filters there are: between a bridge and the
 * outside in both directions, and from a bridge to the DNS servers. A packet filter of somebody else that drops them cannot
 * be seen from its rules.
 *
 * A pair of interfaces, one named as bridges are and one not, stands for a bridge and the outside. The packets have sources
 * of their own, so that reverse path filtering takes them (`rules.ts`), come back to where they came from when they are
 * passed on, and are dropped there: the bytes received tell how far each came.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { dnsPorts } from '../dns/servers.ts';
import { ipBatch, outsideLink } from './kernel.ts';
import { probeAddress, probeLink, probeTtl } from './rules.ts';

/** One for both, so that each end takes what the other one sends without asking for its address. */
const probeMac = '0a:53:00:00:00:01';
/** Larger than what else may come over these interfaces, so that bytes are no mistake. */
const payloadBytes = 700;
/** The way is within the kernel, and done before the program that sends goes on; but for a busy machine. */
const waitMs = 300;
const pollMs = 10;

/** What passes. */
export interface PathResult {
  /** From a container to the outside. */
  outward: boolean;
  /** From the outside to a published port. */
  inward: boolean;
  /** From a container to the DNS server of its host. */
  dns: boolean;
}

const setUp = [
  `link add ${outsideLink} address ${probeMac} type veth peer name ${probeLink} address ${probeMac}`,
  ...[outsideLink, probeLink].flatMap((name) => [
    `link set ${name} addrgenmode none`,
    `link set ${name} arp off multicast off up`,
  ]),
  `addr replace ${probeAddress.own}/32 dev ${probeLink}`,
  `route replace ${probeAddress.outward}/32 dev ${outsideLink}`,
  `route replace ${probeAddress.dns}/32 dev ${outsideLink}`,
  `route replace ${probeAddress.outside}/32 dev ${outsideLink}`,
  `route replace ${probeAddress.published}/32 dev ${probeLink}`,
  `route replace ${probeAddress.task}/32 dev ${probeLink}`,
  `route replace ${probeAddress.container}/32 dev ${probeLink}`,
];

/** Sends the three packets and tells which came through. Throws `network_failed` when they cannot be sent. */
export async function probePaths(clock: Clock): Promise<PathResult> {
  await prepare();
  const dns = createSocket('udp4');
  const sender = createSocket('udp4');
  try {
    let heard = false;
    dns.on('message', () => (heard = true));
    dns.bind({ address: probeAddress.own, port: dnsPorts.first, exclusive: true });
    sender.bind(0);
    await Promise.all([once(dns, 'listening'), once(sender, 'listening')]);
    sender.setTTL(probeTtl);
    const before = await receivedBytes();
    const payload = Buffer.alloc(payloadBytes);
    for (const address of [probeAddress.outward, probeAddress.published]) sender.send(payload, 9, address);
    sender.send(Buffer.alloc(1), dnsPorts.first, probeAddress.dns);
    const deadline = clock.monotonic() + waitMs;
    for (;;) {
      const after = await receivedBytes();
      // Once is the way there; twice is the way there and back.
      const passed = (name: string) => after.get(name)! - before.get(name)! >= 2 * payloadBytes;
      const result = { outward: passed(probeLink), inward: passed(outsideLink), dns: heard };
      if ((result.outward && result.inward && result.dns) || clock.monotonic() > deadline) return result;
      await clock.sleep(pollMs);
    }
  } finally {
    dns.close();
    sender.close();
  }
}

async function prepare(): Promise<void> {
  const failures = await ipBatch(setUp);
  // They are there from the last time.
  const [first] = [...failures].filter(([index, said]) => !(index === 0 && said.includes('File exists')));
  if (first) {
    throw new ShoalError(
      'network_failed',
      `Cannot probe the host's network: '${setUp[first[0]]}': ${first[1]}`,
    );
  }
}

async function receivedBytes(): Promise<Map<string, number>> {
  const lines = (await readFile('/proc/net/dev', 'utf8')).split('\n');
  const bytes = new Map([
    [probeLink, 0],
    [outsideLink, 0],
  ]);
  for (const line of lines) {
    const [name = '', received = ''] = line.trim().split(/[:\s]+/u);
    if (bytes.has(name)) bytes.set(name, Number(received));
  }
  return bytes;
}
