import { createHash } from 'node:crypto';

/** `APPLICATION_KEY`: the full name of a service, network or volume (Compose's rule). */
export function fullName(application: string, key: string): string {
  return `${application}_${key}`;
}

/** The name of a secret or config with this content: its full name and 12 hex digits of the content's SHA-256. */
export function versionedName(application: string, key: string, content: Uint8Array): string {
  return versionedNameOf(fullName(application, key), content);
}

/** The same for a secret or config whose full name was given (`name:` in the Compose file). */
export function versionedNameOf(name: string, content: Uint8Array): string {
  const digest = createHash('sha256').update(content).digest('hex');
  return `${name}-${digest.slice(0, 12)}`;
}

/** Linux interface names hold 15 characters; ids are 12 lower-case letters and digits, of which ten are kept. */
export function interfaceName(kind: 'bridge' | 'vxlan' | 'veth', id: string): string {
  const prefix = { bridge: 'shb', vxlan: 'shx', veth: 'shv' }[kind];
  return `${prefix}${id.slice(0, 10)}`;
}
