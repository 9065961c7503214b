import { createHash } from 'node:crypto';

/** A larger manifest is refused (OCI distribution specification 1.1, "Pushing manifests": 4 MiB is the customary limit). */
export const manifestBytesMax = 4 * 1024 * 1024;
export const configBytesMax = 8 * 1024 * 1024;

/** The kinds of manifest that are understood (OCI image specification 1.1; Docker manifest version 2, schema 2). */
export const mediaTypes = {
  indexes: [
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
  ],
  manifests: [
    'application/vnd.oci.image.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v2+json',
  ],
};

/** What to ask a registry for. */
export const acceptedManifests = [...mediaTypes.indexes, ...mediaTypes.manifests].join(', ');

/** The digest of these bytes, as descriptors write it. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
