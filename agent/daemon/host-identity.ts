import { readFileSync, readlinkSync } from 'node:fs';

const hostNameCharactersMax = 253;

/**
 * Another text on each running host: the kernel draws it when it boots (random(4)), and so it differs on copies of one
 * disk. The network namespace tells apart hosts that share a kernel.
 */
export function hostIdentity(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return `${boot} ${readlinkSync('/proc/self/ns/net')}`;
}

/** The host's name as the cluster takes it: what no host name may have becomes a hyphen. */
export function hostNameOf(text: string): string {
  const name = text
    .slice(0, hostNameCharactersMax)
    .replaceAll(/[^a-zA-Z0-9_.-]/g, '-')
    .replaceAll(/^[^a-zA-Z0-9]+|[^a-zA-Z0-9]+$/g, '');
  return name === '' ? 'host' : name;
}
