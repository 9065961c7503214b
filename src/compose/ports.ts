import { isIPv4, isIPv6 } from 'node:net';

/** A port in Compose's long form. */
export interface ShortPort {
  target: number;
  published?: string;
  host_ip?: string;
  protocol: string;
  mode: string;
}

export type ShortPorts = { ports: ShortPort[] } | { fault: string; hint: string };

const portMax = 65_535;
/** One line never makes more ports than this. */
const rangePortsMax = 1024;

const example = 'write CONTAINER, HOST:CONTAINER or HOST:CONTAINER/udp, such as "8080:80"';

/**
 * Reads `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, where HOST and CONTAINER are ports or ranges (Compose specification,
 * "ports", short syntax). Ranges of equal length pair up; a range in front of a single container port is a choice.
 */
export function parseShortPort(text: string): ShortPorts {
  const slash = text.lastIndexOf('/');
  const protocol = (slash < 0 ? 'tcp' : text.slice(slash + 1)).toLowerCase();
  if (!/^(?:tcp|udp|sctp)$/u.test(protocol)) {
    return { fault: `${JSON.stringify(protocol)} is not a protocol`, hint: 'write tcp, udp or sctp' };
  }
  const { address, host, container } = splitPort(slash < 0 ? text : text.slice(0, slash));
  if (address !== '' && !isIPv4(address) && !(isIPv6(address) && !address.includes('%'))) {
    return { fault: `${JSON.stringify(address)} is not an IP address`, hint: example };
  }
  const targets = parseRange(container);
  const published = host === '' ? undefined : parseRange(host);
  if (targets === undefined || targets.first === 0) {
    return { fault: `${JSON.stringify(container)} is not a port in the container`, hint: example };
  }
  if (host !== '' && published === undefined) {
    return { fault: `${JSON.stringify(host)} is not a port on the hosts`, hint: example };
  }
  return expand(targets, published, { address, host, protocol });
}

/** Whether a `host_ip` stands for all addresses of the hosts: `0.0.0.0`, or the same in IPv6 however it is written. */
export function isEveryAddress(address: string): boolean {
  return address === '0.0.0.0' || (isIPv6(address) && /^[0:]+$/u.test(address));
}

interface Range {
  first: number;
  last: number;
}

function splitPort(text: string): { address: string; host: string; container: string } {
  const bracketed = /^\[([^\]]*)\]:(.*:.*)$/u.exec(text);
  const parts = (bracketed?.[2] ?? text).split(':');
  const container = parts.pop() ?? '';
  const host = parts.pop() ?? '';
  return { address: bracketed?.[1] ?? parts.join(':'), host, container };
}

function parseRange(text: string): Range | undefined {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/u.exec(text) ?? [];
  if (first === undefined) return undefined;
  const range = { first: Number(first), last: Number(last ?? first) };
  return range.last >= range.first && range.last <= portMax ? range : undefined;
}

function expand(
  targets: Range,
  published: Range | undefined,
  common: { address: string; host: string; protocol: string },
): ShortPorts {
  const count = targets.last - targets.first + 1;
  const choices = published === undefined ? 0 : published.last - published.first + 1;
  if (count > rangePortsMax) {
    return { fault: `the range has ${count} ports`, hint: `a range has at most ${rangePortsMax}` };
  }
  if (published !== undefined && count > 1 && count !== choices) {
    return {
      fault: `the ranges differ in length: ${choices} on the hosts, ${count} in the container`,
      hint: 'make them equal, such as 9090-9091:80-81',
    };
  }
  const { address, protocol } = common;
  const ports = Array.from({ length: count }, (_, index) => {
    const port: ShortPort = { target: targets.first + index, protocol, mode: 'ingress' };
    if (address !== '') port.host_ip = address;
    if (published !== undefined) {
      const isChoice = count === 1 && choices > 1;
      port.published = isChoice ? `${published.first}-${published.last}` : String(published.first + index);
    }
    return port;
  });
  return { ports };
}
