import { boolean, closed, ipv4Address, labels, object, oneOf, refused, text } from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { service } from './schema-service.ts';

/** The old way to write it is a map with `name` (`forms.external`). */
const external: Attribute = {
  ...boolean,
  says: 'true or false',
  cluster: 'it must be there when the application is applied: another application’s, or made by a command',
};

/** Keys under `services`, `networks` and their kin. */
const resourceName: Attribute = {
  pattern: '^[a-zA-Z0-9._-]+$',
  maxLength: 63,
  says: 'a name of at most 63 letters, digits, ".", "_" and "-"',
};

const serviceName: Attribute = {
  pattern: '^[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?$',
  maxLength: 63,
  says: 'a name of at most 63 letters, digits, ".", "_" and "-" that begins and ends with a letter or digit',
};

const givenName: Attribute = {
  type: 'string',
  pattern: '^[a-zA-Z0-9][a-zA-Z0-9._-]*$',
  maxLength: 128,
  says: 'a name of letters, digits, ".", "_" and "-" that begins with a letter or digit',
};

function named(entry: Attribute, propertyNames = resourceName): Attribute {
  return { type: 'object', propertyNames, additionalProperties: entry, says: 'a map of names' };
}

const ipamConfig: Attribute = object({
  subnet: { type: 'string', is: 'subnet', says: 'a subnet such as 10.1.0.0/16' },
  ip_range: {
    type: 'string',
    is: 'subnet',
    says: 'a part of the subnet such as 10.1.5.0/24',
    cluster: 'addresses are given out from it alone, those of services and hosts as well',
  },
  gateway: {
    ...ipv4Address,
    cluster: 'given to nothing: the gateway of each replica is its host, at an address of the host’s own',
  },
  aux_addresses: {
    type: 'object',
    additionalProperties: ipv4Address,
    says: 'a map of names to addresses',
    cluster: 'given to nothing',
  },
});

const networkOptions: Attribute = closed(
  {
    'com.docker.network.driver.mtu': {
      type: 'string',
      form: 'numericText',
      is: 'mtu',
      says: 'a number of bytes from 68 to 65535',
      cluster: 'of the interfaces, as far as the hosts’ own network carries it',
    },
    ...refused({
      encrypted: 'traffic between hosts is not encrypted yet; use a network between them that is',
      'com.docker.network.bridge.name': 'bridges are called after their network; leave it out',
      'com.docker.network.bridge.enable_icc':
        'services of a network reach one another; give those that shall not networks of their own',
      'com.docker.network.bridge.enable_ip_masquerade':
        'what leaves a network that is not internal has its host’s address; leave it out',
      'com.docker.network.bridge.host_binding_ipv4': 'write the address where the port is published',
      'com.docker.network.driver.overlay.vxlanid_list': 'the cluster numbers its networks; leave it out',
    }),
  },
  { says: 'a map of options' },
);

const network: Attribute = object(
  {
    name: givenName,
    driver: {
      ...oneOf('overlay', 'bridge'),
      says: 'overlay (or bridge, which means the same on a cluster)',
      cluster: 'both mean a network that reaches over all hosts',
    },
    internal: boolean,
    labels,
    ipam: object({
      driver: { ...oneOf('default'), says: 'default' },
      config: {
        type: 'array',
        items: ipamConfig,
        maxItems: 1,
        says: 'a list of one subnet',
        merge: { by: 'subnet' },
      },
      ...refused({ options: 'there is one driver, and it has none; leave it out' }),
    }),
    driver_opts: networkOptions,
    enable_ipv4: { ...boolean, is: 'true', says: 'true: networks have IPv4 addresses' },
    enable_ipv6: { ...boolean, is: 'false', says: 'false: networks have no IPv6 addresses yet' },
    external,
    ...refused({
      attachable: 'only services join networks; leave it out',
    }),
  },
  { type: ['object', 'null'], form: 'external' },
);

/** Options of Docker's local driver. */
const volumeOptions: Attribute = closed(
  {
    type: { ...text, says: 'a file system, such as nfs, tmpfs or none' },
    o: { ...text, form: 'asText', says: 'options of mount(8), separated by commas' },
    device: {
      ...text,
      form: 'asText',
      says: 'what is mounted, such as ":/export" or tmpfs',
      cluster: 'of a bind mount (o: bind) an absolute path on each host that has a replica',
    },
    ...refused({ size: 'with type: tmpfs write o: size=64m; other volumes have no limits' }),
  },
  { cluster: 'mounted on each host while a replica there uses it' },
);

const volume: Attribute = object(
  {
    name: givenName,
    driver: { ...oneOf('local'), says: 'local' },
    labels,
    external,
    driver_opts: volumeOptions,
  },
  { type: ['object', 'null'], form: 'external' },
);

const filePath: Attribute = {
  ...text,
  form: 'projectPath',
  says: 'the path of a file',
  cluster: 'read where the command runs',
};
const variableName: Attribute = {
  type: 'string',
  pattern: '^[^=\\s]+$',
  says: 'the name of an environment variable',
};

const fileResource: Record<string, Attribute> = {
  name: givenName,
  file: filePath,
  environment: variableName,
  labels,
  external,
  ...refused({ template_driver: 'content is taken as it is; use environment, or variables in content' }),
};

const secret: Attribute = object(
  {
    ...fileResource,
    ...refused({
      driver: 'the content comes with the application: use file or environment',
      driver_opts: 'the content comes with the application: use file or environment',
    }),
  },
  { form: 'external' },
);
const config: Attribute = object({ ...fileResource, content: text }, { form: 'external' });

const sourcePath: Attribute = { ...filePath, form: 'sourcePath' };

const sourcePaths: Attribute = {
  type: 'array',
  form: 'texts',
  items: sourcePath,
  says: 'a path or a list of paths',
};

const include: Attribute = closed(
  { path: { ...sourcePaths, minItems: 1 }, project_directory: sourcePath, env_file: sourcePaths },
  { required: ['path'] },
);

/**
 * The Compose language: one table that says of each attribute how it is written, checked, merged and whether Shoal does
 * it (Compose specification; details as compose-go does them). It describes the canonical form; `form` says how the
 * short ways of writing become that.
 */
export const composeSchema: Attribute = object({
  version: {
    type: ['string', 'number'],
    says: 'a string; it means nothing any more',
    cluster: 'means nothing, and is warned of',
  },
  name: {
    type: 'string',
    says: 'a name of lower-case letters, digits, "_" and "-"',
    cluster: 'the application: what it is called by everywhere',
  },
  services: named(service, serviceName),
  networks: named(network),
  volumes: named(volume),
  secrets: named(secret),
  configs: named(config),
  include: { type: 'array', form: 'includes', items: include, says: 'a list of paths or of maps with path' },
  ...refused({ models: 'run the model as a service, and name it in the environment' }),
});
