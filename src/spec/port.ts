export type Protocol = 'tcp' | 'udp' | 'sctp';

/** A port that is open on hosts: on one address of theirs, or on all. */
export interface OpenPort {
  published: number;
  protocol: Protocol;
  /** IPv4; absent: every address. */
  address?: string;
}

/** `8080/tcp`, or `127.0.0.1:8080/tcp` where it is open on one address only. */
export function portName({ published, protocol, address }: OpenPort): string {
  return `${address === undefined ? '' : `${address}:`}${published}/${protocol}`;
}

/** Whether the two cannot be open on one host: different addresses keep them apart, all addresses meet any. */
export function portsClash(left: OpenPort, right: OpenPort): boolean {
  if (left.published !== right.published || left.protocol !== right.protocol) return false;
  return left.address === undefined || right.address === undefined || left.address === right.address;
}
