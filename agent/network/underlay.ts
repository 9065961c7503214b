/**
 * The network that the host itself is on: its addresses, MTU, routes and resolvers. All of it may change at any time, by a
 * person or a DHCP server, so it is read again now and then.
 */
import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { formatSubnet, parseSubnet, subnetContains, type Subnet } from '../../src/spec/address.ts';
import { underlayNetworksMax, type NodeUnderlay } from '../../src/spec/node.ts';
import { underlayMtuMin, widePrefix } from '../../src/spec/underlay.ts';
import type { Clock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import { parseResolvers } from '../dns/forward.ts';
import { isOwnLink } from './kernel.ts';

/** How often the host is looked at: one run of `ip`, about 3 ms. */
const lookIntervalMs = 5_000;
const readTimeoutMs = 5_000;
/** Of an interface that nobody changed. */
const ethernetMtuBytes = 1_500;

export interface UnderlayAddress {
  interfaceName: string;
  address: string;
  mtuBytes: number;
}

/** IPv4 only, and without Shoal's own links and the loopback. */
export interface Underlay extends Omit<NodeUnderlay, 'mtuBytes'> {
  addresses: UnderlayAddress[];
}

interface AddressRow {
  ifname: string;
  mtu: number;
  addr_info?: { family: string; local: string }[];
}

interface RouteRow {
  type?: string;
  dst: string;
  gateway?: string;
  dev?: string;
  nexthops?: { gateway?: string; dev?: string }[];
}

/** What `ip -json` and resolv.conf(5) say, put together. */
export function underlayOf(addressRows: AddressRow[], routeRows: RouteRow[], resolvers: string[]): Underlay {
  const isForeign = (name: string | undefined) => name !== undefined && name !== 'lo' && !isOwnLink(name);
  const addresses = addressRows
    .filter(({ ifname }) => isForeign(ifname))
    .flatMap(({ ifname, mtu, addr_info = [] }) =>
      addr_info
        .filter(({ family }) => family === 'inet')
        .map(({ local }) => ({ interfaceName: ifname, address: local, mtuBytes: mtu })),
    );
  // Routes of the types local, broadcast and multicast are about addresses, which are here already.
  const hops = routeRows
    .filter(({ type = 'unicast' }) => type === 'unicast')
    .flatMap((row) => (row.nexthops ?? [row]).map(({ gateway, dev }) => ({ dst: row.dst, gateway, dev })))
    .filter(({ dev }) => isForeign(dev));
  const networks = hops
    .filter(({ dst }) => dst !== 'default')
    .map(({ dst, gateway }) => ({ subnet: parseSubnet(dst.includes('/') ? dst : `${dst}/32`), gateway }))
    .filter(({ subnet }) => subnet.prefix > widePrefix);
  const single = [
    ...addresses.map(({ address }) => address),
    ...hops.map(({ gateway }) => gateway),
    ...resolvers.filter((resolver) => !resolver.startsWith('127.')),
  ]
    .filter((address) => address !== undefined && isIPv4(address))
    .map((address) => parseSubnet(`${address}/32`));
  const direct = networks.filter(({ gateway }) => gateway === undefined).map(({ subnet }) => subnet);
  const indirect = networks.filter(({ gateway }) => gateway !== undefined).map(({ subnet }) => subnet);
  return {
    addresses,
    connected: widest([...direct, ...single]),
    routed: widest(indirect),
  };
}

/** Without those that are a part of another one. */
function widest(subnets: Subnet[]): string[] {
  const kept: Subnet[] = [];
  for (const subnet of subnets.toSorted(
    (left, right) => left.prefix - right.prefix || left.base - right.base,
  )) {
    if (kept.length === underlayNetworksMax) break;
    if (!kept.some((other) => subnetContains(other, subnet.base))) kept.push(subnet);
  }
  return kept.map(formatSubnet);
}

/** What the interface with this address carries; without it, what every one of the host's does. */
export function underlayMtu({ addresses }: Underlay, hostAddress: string): number {
  const own = addresses.find(({ address }) => address === hostAddress);
  if (own) return own.mtuBytes;
  return Math.min(ethernetMtuBytes, ...addresses.map(({ mtuBytes }) => mtuBytes));
}

/** What the managers are told of it. */
export function nodeUnderlay(underlay: Underlay, hostAddress: string): NodeUnderlay {
  const { connected, routed } = underlay;
  return { mtuBytes: underlayMtu(underlay, hostAddress), connected, routed };
}

/** What to tell a person when the network carries too little; undefined while it carries enough. */
export function mtuTrouble(underlay: Underlay, hostAddress: string): string | undefined {
  const mtuBytes = underlayMtu(underlay, hostAddress);
  if (mtuBytes >= underlayMtuMin) return undefined;
  return `the interface with ${hostAddress} has an MTU of ${mtuBytes}, and the others do not follow it below ${underlayMtuMin}: set it to ${underlayMtuMin} or more`;
}

/** What to tell a person when the host does not have the address any more; undefined while it has it. */
export function addressChange({ addresses }: Underlay, hostAddress: string): string | undefined {
  if (addresses.some(({ address }) => address === hostAddress)) return undefined;
  const gone = `this host does not have the address ${hostAddress} any more, by which the other hosts reach it`;
  const [first] = addresses;
  if (!first) return `${gone}, nor any other`;
  const now = addresses.map(({ address, interfaceName }) => `${address} (${interfaceName})`).join(', ');
  const choice = addresses.length === 1 ? first.address : 'ADDRESS, one of these';
  return `${gone}; it has ${now}. Give it the old one back, or start its daemon with --advertise ${choice}`;
}

async function readUnderlay(resolverFile: string): Promise<Underlay> {
  const [told, text] = await Promise.all([
    runCommand('ip', ['-json', '-4', '-batch', '-'], {
      input: 'address show\nroute show table all\n',
      timeoutMs: readTimeoutMs,
    }),
    readFile(resolverFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''; // a host without the file has no resolvers
      throw error;
    }),
  ]);
  const [addressRows = '[]', routeRows = '[]'] = told.split('\n').filter((line) => line.trim() !== '');
  return underlayOf(
    JSON.parse(addressRows) as AddressRow[],
    JSON.parse(routeRows) as RouteRow[],
    parseResolvers(text),
  );
}

export interface UnderlayWatchOptions {
  resolverFile: string;
  clock: Clock;
  log: Logger;
}

/** Knows the host's own network, and tells when it has changed. */
export class UnderlayWatch {
  readonly #options: UnderlayWatchOptions;
  readonly #loop: Loop;
  #latest: Underlay | undefined;
  #told: Underlay | undefined;
  #onChange: ((underlay: Underlay) => void) | undefined;

  constructor(options: UnderlayWatchOptions) {
    this.#options = options;
    const { clock, log } = options;
    const name = "reading the host's own network";
    this.#loop = new Loop({ name, clock, log, intervalMs: lookIntervalMs, tick: () => this.#look() });
  }

  /** `onChange` is told of what is there now, and of each change. */
  start(onChange: (underlay: Underlay) => void): void {
    this.#onChange = onChange;
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** As it was last read, which is now when it never was. */
  async latest(): Promise<Underlay> {
    return (this.#latest ??= await readUnderlay(this.#options.resolverFile));
  }

  async #look(): Promise<void> {
    const underlay = await readUnderlay(this.#options.resolverFile);
    this.#latest = underlay;
    if (isDeepStrictEqual(underlay, this.#told)) return;
    this.#told = underlay;
    this.#onChange?.(underlay);
  }
}
