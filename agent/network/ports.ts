/** Which ports programs of this host hold, from the kernel's socket tables (proc(5), `/proc/net/tcp`). */
import { readFile } from 'node:fs/promises';
import type { OpenPort } from '../../src/spec/port.ts';

const tcpListen = '0A';
/** A UDP socket without a peer. */
const udpUnconnected = '07';
/** Of SCTP in decimal, as of TCP. */
const sctpListen = '10';

/**
 * Every listening socket in one table, without those bound to `ownAddresses` (this process's DNS servers). IPv4
 * addresses are little-endian hexadecimal there. A socket that listens on one IPv6 address has that in hexadecimal.
 */
export function parseSockets(
  text: string,
  protocol: 'tcp' | 'udp',
  ownAddresses: ReadonlySet<string>,
): OpenPort[] {
  const state = protocol === 'tcp' ? tcpListen : udpUnconnected;
  const ports: OpenPort[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, local = '', , socketState] = line.trim().split(/\s+/);
    if (socketState !== state) continue;
    const [hex = '', port = ''] = local.split(':');
    const address = boundAddress(hex);
    if (address !== undefined && ownAddresses.has(address)) continue;
    ports.push({ published: Number.parseInt(port, 16), protocol, ...(address && { address }) });
  }
  return ports;
}

/** `::ffff:0:0/96` as the table writes it: IPv4 on a socket of IPv6. */
const mappedPrefix = '0000000000000000FFFF0000';

/** The one address that a socket is bound to; undefined for all of them. */
function boundAddress(hex: string): string | undefined {
  if (/^0+$/u.test(hex)) return undefined;
  if (hex.length === 8) return littleEndianAddress(hex);
  if (hex.startsWith(mappedPrefix)) return boundAddress(hex.slice(mappedPrefix.length));
  return hex;
}

function littleEndianAddress(hex: string): string {
  const value = Number.parseInt(hex, 16);
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 255).join('.');
}

/** The same from `/proc/net/sctp/eps`, which has one line an endpoint with its port and its addresses at the end. */
export function parseSctpEndpoints(text: string): OpenPort[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === sctpListen)
    .flatMap((columns) => {
      const published = Number(columns[5]);
      const port: OpenPort = { published, protocol: 'sctp' };
      const addresses = columns.slice(8);
      const all = addresses.length === 0 || addresses.some((address) => /^[0:.]+$/u.test(address));
      return all ? [port] : addresses.map((address) => ({ ...port, address }));
    });
}

/** The TCP ports on which others than the namespace's own programs are answered, in the network namespace of a process. */
export async function listeningPorts(pid: number): Promise<Set<number>> {
  const tables = ['tcp', 'tcp6'].map((file) => readTable(`/proc/${pid}/net/${file}`));
  const sockets = (await Promise.all(tables)).flatMap((text) => parseSockets(text, 'tcp', new Set()));
  return new Set(sockets.filter(({ address }) => !isLoopback(address)).map(({ published }) => published));
}

/** `::1` as the table writes it. */
const loopback6 = '00000000000000000000000001000000';

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address.startsWith('127.') || address === loopback6);
}

/** Every port that some program of this network namespace listens on. */
export async function foreignPorts(ownAddresses: ReadonlySet<string>): Promise<OpenPort[]> {
  const tables = [
    ['tcp', 'tcp'],
    ['tcp6', 'tcp'],
    ['udp', 'udp'],
    ['udp6', 'udp'],
  ] as const;
  const found = await Promise.all([
    ...tables.map(async ([file, protocol]) =>
      parseSockets(await readTable(`/proc/net/${file}`), protocol, ownAddresses),
    ),
    readTable('/proc/net/sctp/eps').then(parseSctpEndpoints),
  ]);
  return found.flat();
}

/** What the kernel says of a protocol that it does not have, and of a process that has ended. */
const nothingThere = ['ENOENT', 'ESRCH', 'EINVAL'];

/** '' where there is no such table. */
async function readTable(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (nothingThere.includes(error.code ?? '')) return '';
    throw error;
  });
}
