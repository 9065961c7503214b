import { boolean, integerFrom, object, refused, runsOnly, text, textList } from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { blkioConfig, gpus } from './schema-devices.ts';
import { macAddress, options, patterned } from './schema-parts.ts';

/** What the language has for one machine, for another system than Linux, or for what Shoal does not do. */

const modelNames: Attribute = {
  type: 'object',
  form: 'serviceNetworks',
  additionalProperties: object(
    {
      endpoint_var: { ...text, says: 'the name of an environment variable' },
      model_var: { ...text, says: 'the name of an environment variable' },
    },
    { type: ['object', 'null'] },
  ),
  says: 'a list of models or a map of model to variables',
};

/** Models of the top level. */
export const model: Attribute = object(
  {
    name: text,
    model: { ...text, says: 'the name of a model' },
    context_size: integerFrom(0),
    runtime_flags: { ...textList, merge: 'append' },
  },
  { required: ['model'] },
);

const link = patterned('^[^:\\s]+(?::[^:\\s]+)?$', 'a service, or SERVICE:ALIAS');

const provider: Attribute = object(
  {
    type: { ...text, says: 'the name of a program' },
    options: {
      type: 'object',
      form: 'textLists',
      additionalProperties: { ...textList, says: 'a text or a list of texts' },
      says: 'a map of options',
    },
  },
  { required: ['type'] },
);

const credentialSpec: Attribute = object({
  config: { ...text, says: 'the name of a config' },
  file: { ...text, says: 'the path of a file' },
  registry: { ...text, says: 'a name in the registry' },
});

const wordsForWindows = 'it is for Windows; use deploy.resources.limits.cpus';

export const machineAttributes: Record<string, Attribute> = {
  attach: { ...boolean, cluster: 'means nothing: shoal up attaches to no service' },
  blkio_config: blkioConfig,
  cpu_count: refused(integerFrom(0), wordsForWindows),
  cpu_percent: refused(
    { type: 'number', form: 'number', minimum: 0, maximum: 100, says: 'a number from 0 to 100' },
    wordsForWindows,
  ),
  credential_spec: refused(credentialSpec, 'it is for Windows'),
  external_links: refused(
    { type: 'array', items: link, merge: 'append', says: 'a list of CONTAINER or CONTAINER:ALIAS' },
    'join a network of the other service and call it by its full name, APPLICATION_SERVICE',
  ),
  gpus,
  isolation: refused(text, 'it is for Windows'),
  mac_address: refused(macAddress, 'it follows from the address that the cluster gives'),
  models: refused(modelNames, 'run the model as a service, and name it in the environment'),
  provider: refused(
    provider,
    'it starts programs on one machine; run what it provides as a service, or name its address',
  ),
  pull_refresh_after: refused(text, 'write pull_policy: every_12h or the like'),
  storage_opt: refused(
    options,
    'the file systems of containers cannot be limited: overlayfs has no quotas; write to a tmpfs with a size, or to a volume',
  ),
  use_api_socket: refused(
    boolean,
    'the API is open to those with a certificate only; mount no socket of the host',
  ),
  volumes_from: {
    type: 'array',
    items: runsOnly(
      patterned('^(?:container:)?[^:\\s]+(?::(?:ro|rw))?$', 'SERVICE, container:NAME, or either with :ro'),
      'SERVICE, SERVICE:ro or SERVICE:rw (for container:NAME write the name of its service)',
      { pattern: '^(?!container:)' },
    ),
    merge: 'append',
    says: 'a list of services',
    cluster:
      'each replica runs on the host of that service’s replica of the same number; of its mounts the binds and volumes are taken over',
  },
};
