import { boolean, bytes, keyValues, labels, object, oneOf, text, textList } from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { hookAttributes } from './schema-hooks.ts';
import { extraHosts, fileReferences, hostPath, patterned, texts, ulimits } from './schema-parts.ts';

/** What is done on the machine of a person who develops: building images (Compose Build and Develop specifications). */

const context: Attribute = {
  ...text,
  form: 'buildContext',
  says: 'the path of a folder, or an address such as https://example.org/it.git',
};

const attestation: Attribute = {
  type: 'string',
  form: 'asText',
  says: 'true, false or a text such as mode=max',
};

const platform = patterned('^[a-z0-9_.-]+(?:/[a-zA-Z0-9_.-]+){0,2}$', 'a platform such as linux/arm64');

export const build: Attribute = object(
  {
    context,
    dockerfile: { ...text, says: 'the path of a file in the context' },
    dockerfile_inline: { ...text, says: 'the text of a Dockerfile' },
    args: keyValues,
    additional_contexts: {
      ...keyValues,
      additionalProperties: { ...context, says: 'a path, an address, docker-image://IMAGE or service:NAME' },
    },
    labels,
    cache_from: { ...textList, merge: 'append' },
    cache_to: { ...textList, merge: 'append' },
    no_cache: boolean,
    no_cache_filter: texts('the name of a stage or a list of names'),
    pull: boolean,
    network: { ...text, says: 'none, host, default or the name of a network' },
    target: { ...text, says: 'the name of a stage' },
    shm_size: bytes,
    extra_hosts: extraHosts,
    isolation: text,
    privileged: boolean,
    secrets: fileReferences('secrets'),
    ssh: {
      type: 'object',
      form: 'keyValues',
      additionalProperties: { ...hostPath, type: ['string', 'null'] },
      says: 'a list of default or ID=path',
    },
    tags: { ...textList, items: { type: 'string', is: 'imageReference', says: 'the name of an image' } },
    ulimits,
    platforms: { type: 'array', items: platform, says: 'a list of platforms' },
    provenance: attestation,
    sbom: attestation,
    entitlements: { ...textList, says: 'a list of entitlements, such as network.host' },
  },
  {
    form: 'build',
    says: 'the path of a folder or a map',
    cluster: 'nothing is built, which a warning says: the image is pulled; without image it is refused',
  },
);

const watch: Attribute = object(
  {
    path: { ...hostPath, pattern: '.', says: 'the path of a file or folder' },
    action: oneOf('rebuild', 'sync', 'restart', 'sync+restart', 'sync+exec'),
    target: { ...text, says: 'a path in the container' },
    ignore: texts('a pattern or a list of patterns'),
    include: texts('a pattern or a list of patterns'),
    initial_sync: boolean,
    exec: object(hookAttributes, { required: ['command'] }),
  },
  { required: ['path', 'action'] },
);

export const develop: Attribute = object(
  { watch: { type: 'array', items: watch, merge: 'append', says: 'a list of maps with path and action' } },
  {
    type: ['object', 'null'],
    warns: [
      'nothing is watched on a cluster',
      'run docker compose watch where you develop, and give the result to the cluster',
    ],
  },
);
