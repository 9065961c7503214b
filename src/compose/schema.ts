import { boolean, closed, ipv4Address, labels, object, oneOf, refused, runsOnly, text } from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { model } from './schema-machine.ts';
import { address, driverOptions, options } from './schema-parts.ts';
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

const addressRange: Attribute = { type: 'string', is: 'addressRange', says: 'a subnet such as 10.1.0.0/16' };

const ipamConfig: Attribute = object({
  subnet: runsOnly(addressRange, 'an IPv4 subnet such as 10.1.0.0/16', { is: 'subnet' }),
  ip_range: {
    ...runsOnly(addressRange, 'a part of the subnet such as 10.1.5.0/24', { is: 'subnet' }),
    cluster: 'addresses are given out from it alone, those of services and hosts as well',
  },
  gateway: {
    ...runsOnly(address, ipv4Address.says!, { is: 'ipv4Address' }),
    cluster: 'given to nothing: the gateway of each replica is its host, at an address of the host’s own',
  },
  aux_addresses: {
    type: 'object',
    additionalProperties: runsOnly(address, ipv4Address.says!, { is: 'ipv4Address' }),
    says: 'a map of names to addresses',
    cluster: 'given to nothing',
  },
});

/** Options of Docker's drivers. */
const networkOptions: Attribute = {
  ...driverOptions,
  properties: {
    'com.docker.network.driver.mtu': {
      ...runsOnly(text, 'a number of bytes from 68 to 65535', { is: 'mtu' }),
      cluster: 'of the interfaces, as far as the hosts’ own network carries it',
    },
    encrypted: refused(
      text,
      'traffic between hosts is not encrypted yet; use a network between them that is',
    ),
    'com.docker.network.bridge.name': refused(text, 'bridges are called after their network; leave it out'),
    'com.docker.network.bridge.enable_icc': refused(
      text,
      'services of a network reach one another; give those that shall not networks of their own',
    ),
    'com.docker.network.bridge.enable_ip_masquerade': refused(
      text,
      'what leaves a network that is not internal has its host’s address; leave it out',
    ),
    'com.docker.network.bridge.host_binding_ipv4': refused(
      text,
      'write the address where the port is published',
    ),
    'com.docker.network.driver.overlay.vxlanid_list': refused(
      text,
      'the cluster numbers its networks; leave it out',
    ),
  },
  additionalProperties: refused(text, 'the only option is com.docker.network.driver.mtu'),
};

const network: Attribute = object(
  {
    name: givenName,
    driver: {
      ...runsOnly(text, 'overlay (or bridge, which means the same on a cluster)', {
        enum: ['overlay', 'bridge'],
      }),
      cluster: 'both mean a network that reaches over all hosts',
    },
    internal: { ...boolean, cluster: 'of their host its containers reach the DNS server alone' },
    labels,
    ipam: object({
      driver: runsOnly(text, 'default', { enum: ['default'] }),
      config: {
        ...runsOnly({ type: 'array', items: ipamConfig, says: 'a list of subnets' }, 'a list of one subnet', {
          maxItems: 1,
        }),
        merge: { by: 'subnet' },
      },
      options: refused(options, 'there is one driver, and it has none; leave it out'),
    }),
    driver_opts: networkOptions,
    enable_ipv4: runsOnly(boolean, 'true: networks have IPv4 addresses', { is: 'true' }),
    enable_ipv6: runsOnly(boolean, 'false: networks have no IPv6 addresses yet', { is: 'false' }),
    external,
    attachable: { ...boolean, cluster: 'means nothing: only services join networks' },
  },
  { type: ['object', 'null'], form: 'external' },
);

/** Options of Docker's local driver. */
const volumeOptions: Attribute = {
  ...driverOptions,
  properties: {
    type: { ...text, says: 'a file system, such as nfs, tmpfs or none' },
    o: { ...text, says: 'options of mount(8), separated by commas' },
    device: {
      ...text,
      says: 'what is mounted, such as ":/export" or tmpfs',
      cluster: 'of a bind mount (o: bind) an absolute path on each host that has a replica',
    },
    size: refused(text, 'with type: tmpfs write o: size=64m; other volumes have no limits'),
  },
  additionalProperties: refused(text, 'write type, o and device'),
  cluster: 'mounted on each host while a replica there uses it',
};

const volume: Attribute = object(
  {
    name: givenName,
    driver: runsOnly(text, 'local', { enum: ['local'] }),
    labels,
    external,
    driver_opts: volumeOptions,
    'x-shoal-volume': {
      ...oneOf('per-node'),
      cluster: 'each host has a copy of its own, and a replica uses that of the host it runs on',
    },
    'x-cluster-spec': refused(
      { type: 'object', says: 'a map' },
      'there are no drivers of cluster volumes; mount the storage on the hosts, and use a bind mount',
    ),
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
  template_driver: refused(text, 'content is taken as it is; use environment, or variables in content'),
};

const wordsForDrivers = 'the content comes with the application: use file or environment';

const secret: Attribute = object(
  {
    ...fileResource,
    driver: refused(text, wordsForDrivers),
    driver_opts: refused(driverOptions, wordsForDrivers),
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
  {
    path: { ...sourcePaths, minItems: 1 },
    project_directory: sourcePath,
    env_file: { ...sourcePaths, type: ['array', 'null'] },
  },
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
  include: {
    type: ['array', 'null'],
    form: 'includes',
    items: include,
    says: 'a list of paths or of maps with path',
  },
  models: refused(named(model), 'run the model as a service, and name it in the environment'),
});
