import {
  boolean,
  bytes,
  closed,
  commandLine,
  duration,
  integer,
  integerFrom,
  ipv4Address,
  keyValues,
  labels,
  refused,
  object,
  oneOf,
  runsOnly,
  text,
} from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { build, develop } from './schema-build.ts';
import { cpus, deploy, replicasMax } from './schema-deploy.ts';
import { machineAttributes } from './schema-machine.ts';
import { hooks, initContainers } from './schema-hooks.ts';
import { mounts, tmpfsPaths } from './schema-mounts.ts';
import { address, driverOptions, fileReferences, macAddress } from './schema-parts.ts';
import { settingsAttributes } from './schema-settings.ts';

const healthcheck: Attribute = object({
  test: {
    type: ['array', 'null'],
    items: text,
    form: 'healthcheckTest',
    is: 'healthcheckTest',
    says: 'a command line, or a list that begins with CMD, CMD-SHELL or NONE',
    merge: 'replace',
  },
  interval: duration,
  timeout: duration,
  start_period: duration,
  start_interval: duration,
  retries: integerFrom(0),
  disable: boolean,
});

const port: Attribute = object(
  {
    target: integerFrom(1, 65_535),
    published: {
      type: 'string',
      form: 'published',
      is: 'published',
      says: 'a port from 0 to 65535 or a range such as 8000-8010',
    },
    host_ip: {
      ...runsOnly(
        address,
        'an IPv4 address of hosts; 0.0.0.0 and :: stand for all (no port is open on IPv6)',
        {
          is: 'hostAddress',
        },
      ),
      cluster:
        'open only on hosts that have this address, and only there; 127.0.0.1: for programs of the hosts',
    },
    protocol: { ...oneOf('tcp', 'udp', 'sctp'), form: 'lowerCase' },
    mode: oneOf('ingress', 'host'),
    name: { ...text, cluster: 'says something to readers only' },
    app_protocol: { ...text, cluster: 'says something to readers only: nothing on the way reads it' },
  },
  { required: ['target'] },
);

const dependsOn: Attribute = {
  type: 'object',
  form: 'dependsOn',
  says: 'a list of services or a map of service to condition',
  additionalProperties: object(
    {
      condition: oneOf('service_started', 'service_healthy', 'service_completed_successfully'),
      required: boolean,
      restart: { ...boolean, cluster: 'rolled once an update of the other service is complete' },
    },
    { required: ['condition'] },
  ),
};

const dnsName: Attribute = {
  type: 'string',
  pattern: '^[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$',
  maxLength: 253,
  says: 'a DNS name',
};

const link: Attribute = {
  type: 'string',
  pattern: '^[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?(?::[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_])?)?$',
  maxLength: 317,
  says: 'a service, or a service and another name for it, such as db or db:store',
};

const serviceNetworks: Attribute = {
  type: 'object',
  form: 'serviceNetworks',
  says: 'a list of networks or a map of network to options',
  additionalProperties: object(
    {
      aliases: { type: 'array', items: dnsName, says: 'a list of DNS names' },
      ipv4_address: {
        ...ipv4Address,
        cluster: 'only with one replica, and where the network has a subnet',
      },
      ipv6_address: refused(
        address,
        'networks have no IPv6 addresses; use the name of the service, or an alias',
      ),
      link_local_ips: refused(
        { type: 'array', items: address, says: 'a list of IP addresses' },
        'the cluster gives each replica its address; use the name of the service',
      ),
      mac_address: refused(macAddress, 'it follows from the address that the cluster gives'),
      driver_opts: refused(driverOptions, 'networks have no drivers to choose from; leave it out'),
      interface_name: {
        type: 'string',
        pattern: '^(?!lo$)[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}$',
        says: 'a name of at most 15 letters, digits, "_", "." and "-", and not lo',
      },
      priority: { ...integer, cluster: 'networks are joined from the highest to the lowest' },
      gw_priority: {
        ...integer,
        cluster: 'the highest of those that are not internal has the default route',
      },
    },
    { type: ['object', 'null'] },
  ),
};

const envFiles: Attribute = {
  type: 'array',
  form: 'envFiles',
  says: 'a path, a list of paths or a list of maps with path',
  cluster: 'read where the command runs',
  merge: { by: 'path' },
  items: closed(
    { path: { ...text, form: 'projectPath' }, required: boolean, format: oneOf('raw') },
    { required: ['path'] },
  ),
};

const profile: Attribute = {
  type: 'string',
  pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$',
  says: 'a name of letters, digits, ".", "_" and "-"',
};

const exposed: Attribute = {
  type: 'string',
  pattern: '^\\d{1,5}(?:-\\d{1,5})?(?:/(?:tcp|udp|sctp|TCP|UDP|SCTP))?$',
  says: 'a port or a range, such as 8000 or 8000-8010/udp',
};

/** A service: all that the language has. */
export const service: Attribute = object({
  image: {
    type: 'string',
    is: 'imageReference',
    says: 'the name of an image, such as redis:8 or docker.io/library/redis:8',
  },
  command: commandLine,
  entrypoint: commandLine,
  environment: { ...keyValues, cluster: 'a name without a value takes the one where the command runs' },
  env_file: envFiles,
  ports: {
    type: 'array',
    form: 'ports',
    items: port,
    merge: { by: 'port' },
    says: 'a list of ports',
    cluster: 'with mode ingress open on every host, with mode host on those that have a replica',
  },
  networks: serviceNetworks,
  volumes: mounts,
  secrets: fileReferences('secrets'),
  configs: fileReferences('configs'),
  depends_on: dependsOn,
  healthcheck,
  labels,
  user: { type: 'string', says: 'a user in quotes, such as "1000:1000" or www-data' },
  working_dir: { type: 'string', is: 'absolutePath', says: 'an absolute path in the container' },
  hostname: {
    type: 'string',
    pattern: '^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?$',
    cluster: 'all replicas have the same',
    maxLength: 63,
    says: 'a host name (RFC 1123) of at most 63 characters',
  },
  stop_signal: {
    type: 'string',
    form: 'numericText',
    is: 'signal',
    says: 'a signal, such as SIGTERM or SIGQUIT',
  },
  stop_grace_period: duration,
  'x-shoal-keep-scale': {
    ...boolean,
    cluster:
      'whether `up` leaves the number of replicas as `shoal scale` has made it; without it only where the file says no number',
  },
  restart: {
    type: 'string',
    is: 'restart',
    says: 'no, always, on-failure, on-failure:N or unless-stopped',
    cluster: 'on whichever host fits; deploy.restart_policy wins; always and unless-stopped mean the same',
  },
  deploy,
  extends: closed(
    { service: text, file: { ...text, form: 'sourcePath' } },
    { form: 'extends', required: ['service'], says: 'the name of a service, or a map with service and file' },
  ),
  profiles: {
    type: 'array',
    items: profile,
    says: 'a list of names',
    cluster: 'chosen where the command runs',
  },
  scale: { ...integerFrom(0, replicasMax), cluster: 'as deploy.replicas, which must not say otherwise' },
  cpus: { ...cpus, cluster: 'as deploy.resources.limits.cpus' },
  mem_limit: { ...bytes, cluster: 'as deploy.resources.limits.memory' },
  mem_reservation: { ...bytes, cluster: 'as deploy.resources.reservations.memory' },
  pids_limit: { ...integer, minimum: -1, says: 'a whole number, or -1 for no limit' },
  expose: {
    type: 'array',
    form: 'wholeTexts',
    items: exposed,
    says: 'a list of ports',
    cluster: 'says something to readers only: services of a network reach all ports of one another',
  },
  tmpfs: tmpfsPaths,
  label_file: {
    type: 'array',
    form: 'texts',
    items: { ...text, form: 'projectPath' },
    merge: 'append',
    says: 'a path or a list of paths',
    cluster: 'read where the command runs',
  },
  links: {
    type: 'array',
    items: link,
    says: 'a list of services, each with another name if wished, such as db:store',
    cluster: 'the other name is known to this service only; both must be on one network',
  },
  container_name: {
    type: 'string',
    pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]+$',
    maxLength: 253,
    says: 'a name of at least two letters, digits, ".", "_" and "-" that begins with a letter or digit',
    cluster: 'only with one replica: one more name of it on its networks',
  },
  ...settingsAttributes,
  pre_start: initContainers,
  post_start: hooks('a replica counts as running, and its healthcheck begins, once they have ended well'),
  pre_stop: hooks(
    'run before the stop signal when a replica is stopped on purpose, for stop_grace_period at most',
  ),
  build,
  develop,
  ...machineAttributes,
});
