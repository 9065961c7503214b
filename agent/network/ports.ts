/** Which ports programs of this host hold, from the kernel's socket tables (proc(5), `/proc/net/tcp`). */
import { readFile } from 'node:fs/promises';

const tcpListen = '0A';
/** A UDP socket without a peer. */
const udpUnconnected = '07';

/**
 * `PROTOCOL/PORT` of every listening socket in one table, without those bound to `ownAddresses` (this process's DNS
 * servers). IPv4 addresses are little-endian hexadecimal there.
 */
export function parseSockets(
  text: string,
  protocol: 'tcp' | 'udp',
  ownAddresses: ReadonlySet<string>,
): string[] {
  const state = protocol === 'tcp' ? tcpListen : udpUnconnected;
  const ports: string[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, local = '', , socketState] = line.trim().split(/\s+/);
    if (socketState !== state) continue;
    const [address = '', port = ''] = local.split(':');
    if (address.length === 8 && ownAddresses.has(littleEndianAddress(address))) continue;
    ports.push(`${protocol}/${Number.parseInt(port, 16)}`);
  }
  return ports;
}

function littleEndianAddress(hex: string): string {
  const value = Number.parseInt(hex, 16);
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 255).join('.');
}

/** Every port that some program of this network namespace listens on. */
export async function foreignPorts(ownAddresses: ReadonlySet<string>): Promise<Set<string>> {
  const tables = [
    ['tcp', 'tcp'],
    ['tcp6', 'tcp'],
    ['udp', 'udp'],
    ['udp6', 'udp'],
  ] as const;
  const found = await Promise.all(
    tables.map(async ([file, protocol]) => {
      const text = await readFile(`/proc/net/${file}`, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return ''; // a kernel without IPv6
        throw error;
      });
      return parseSockets(text, protocol, ownAddresses);
    }),
  );
  return new Set(found.flat());
}
