import { ShoalError } from '../util/errors.ts';

/** An IPv4 subnet as numbers. */
export interface Subnet {
  base: number;
  prefix: number;
}

const byteDigits = '(0|[1-9][0-9]{0,2})';
const addressParts = new RegExp(`^${Array(4).fill(byteDigits).join('\\.')}$`, 'u');

/** `10.1.2.3` as a 32-bit number; throws `invalid_argument`. */
export function parseAddress(text: string): number {
  const parts = addressParts.exec(text);
  let address = 0;
  for (let index = 1; index <= 4; index += 1) {
    const byte = parts === null ? 256 : Number(parts[index]);
    if (byte > 255) {
      throw new ShoalError('invalid_argument', `Cannot read ${JSON.stringify(text)} as an IPv4 address`);
    }
    address = address * 256 + byte;
  }
  return address;
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** `10.1.0.0/16` as a subnet with its host bits cleared; throws `invalid_argument`. */
export function parseSubnet(text: string): Subnet {
  const [address = '', bits = ''] = text.split('/');
  const prefix = /^\d{1,2}$/.test(bits) ? Number(bits) : 33;
  if (prefix > 32)
    throw new ShoalError(
      'invalid_argument',
      `Cannot read ${JSON.stringify(text)} as a subnet such as 10.1.0.0/16`,
    );
  const size = 2 ** (32 - prefix);
  return { base: Math.floor(parseAddress(address) / size) * size, prefix };
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatAddress(subnet.base)}/${subnet.prefix}`;
}

/** How many addresses it spans. */
export function subnetSize(subnet: Subnet): number {
  return 2 ** (32 - subnet.prefix);
}

export function subnetContains(subnet: Subnet, address: number): boolean {
  return address >= subnet.base && address < subnet.base + subnetSize(subnet);
}

export function subnetsOverlap(left: Subnet, right: Subnet): boolean {
  return left.base < right.base + subnetSize(right) && right.base < left.base + subnetSize(left);
}

/** Where a network has its virtual IPs: in the upper half of its subnet, unless it says otherwise. See `Network`. */
export function virtualSubnetOf(network: { subnet: string; virtualSubnet?: string | undefined }): Subnet {
  if (network.virtualSubnet !== undefined) return parseSubnet(network.virtualSubnet);
  return upperHalf(parseSubnet(network.subnet));
}

export function upperHalf(subnet: Subnet): Subnet {
  const prefix = subnet.prefix + 1;
  return { base: subnet.base + 2 ** (32 - prefix), prefix };
}

/** Whether an interface on the subnet can have the address: its first one is its name, and its last one is for broadcasts. */
export function isUsableAddress(subnet: Subnet, address: number): boolean {
  return address > subnet.base && address < subnet.base + subnetSize(subnet) - 1;
}

/** The MAC address of the interface that has this IPv4 address on an overlay: locally administered, `0a:53` and the four bytes. */
export function macOf(address: string): string {
  const value = parseAddress(address);
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256);
  return ['0a', '53', ...bytes.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
