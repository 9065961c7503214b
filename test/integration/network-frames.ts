/** Ethernet frames, byte by byte, as a program with a raw socket sends them. */
import { parseAddress } from '../../src/spec/address.ts';
import type { ScratchHost } from './network-hosts.ts';

export const broadcast = 'ff:ff:ff:ff:ff:ff';

const hexOf = (mac: string) => mac.replaceAll(':', '');
const hexAddress = (address: string) => parseAddress(address).toString(16).padStart(8, '0');
const hexNumber = (value: number, bytes: number) => value.toString(16).padStart(bytes * 2, '0');

export interface FrameEnds {
  from: string;
  to: string;
}

/** An ARP reply: `address` is at `mac`. */
export function arpReply({ from, to }: FrameEnds, sender: { address: string; mac: string }, target: string) {
  const head = `${hexOf(to)}${hexOf(from)}08060001080006040002`;
  return `${head}${hexOf(sender.mac)}${hexAddress(sender.address)}${hexOf(to)}${hexAddress(target)}`;
}

/** A UDP datagram; `tag` puts it into that VLAN. */
export function udpFrame(
  { from, to }: FrameEnds,
  source: string,
  target: { address: string; port: number },
  payload = '00',
  tag?: number,
): string {
  const length = payload.length / 2;
  const udp = `0007${hexNumber(target.port, 2)}${hexNumber(8 + length, 2)}0000${payload}`;
  const addresses = `${hexAddress(source)}${hexAddress(target.address)}`;
  const start = `4500${hexNumber(28 + length, 2)}000000004011`;
  const checksum = checksumOf(`${start}0000${addresses}`);
  const vlan = tag === undefined ? '' : `8100${hexNumber(tag, 2)}`;
  return `${hexOf(to)}${hexOf(from)}${vlan}0800${start}${checksum}${addresses}${udp}`;
}

/** Of an IPv4 header (RFC 791). */
function checksumOf(header: string): string {
  const sum = header.match(/.{4}/gu)!.reduce((total, word) => total + Number.parseInt(word, 16), 0);
  const folded = (sum & 0xffff) + (sum >>> 16);
  return hexNumber(~((folded & 0xffff) + (folded >>> 16)) & 0xffff, 2);
}

/** Puts a frame into VXLAN (RFC 7348). */
export function vxlanPayload(vni: number, frame: string): string {
  return `08000000${hexNumber(vni, 3)}00${frame}`;
}

/** Perl is part of every Debian system, and opens packet sockets (packet(7)) without a module. */
const sender = `
  my ($name, @frames) = @ARGV;
  my $request = pack('a16x16', $name);
  socket(my $socket, 17, 3, 0) or die "socket: $!";
  ioctl($socket, 0x8933, $request) or die "no interface $name: $!";
  my $index = unpack('x16i', $request);
  for (@frames) {
    my $frame = pack('H*', $_);
    $frame .= "\\0" x (60 - length $frame) if length $frame < 60;
    send($socket, $frame, 0, pack('SnlSCCx8', 17, 3, $index, 0, 0, 6)) or die "send: $!";
  }`;

/** Sends frames from the first interface of a task. */
export async function sendFrames(host: ScratchHost, taskId: string, frames: string[]): Promise<void> {
  await host.run('nsenter', `--net=/run/netns/shoal-${taskId}`, 'perl', '-e', sender, 'eth0', ...frames);
}

/** How many packets an interface of a task has received. */
export async function receivedBy(host: ScratchHost, taskId: string, name = 'eth0'): Promise<number> {
  const text = await host.run('nsenter', `--net=/run/netns/shoal-${taskId}`, 'cat', '/proc/net/dev');
  const line = text.split('\n').find((each) => each.trim().startsWith(`${name}:`))!;
  return Number(line.trim().split(/[\s:]+/u)[2]);
}
