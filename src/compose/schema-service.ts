import {
  boolean,
  bytes,
  closed,
  commandLine,
  duration,
  fileMode,
  integer,
  integerFrom,
  ipv4Address,
  keyValues,
  labels,
  refused,
  object,
  oneOf,
  text,
} from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { cpus, deploy, replicasMax } from './schema-deploy.ts';
import { hooks, initContainers } from './schema-hooks.ts';
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
      type: 'string',
      is: 'hostAddress',
      says: 'an IPv4 address of hosts; 0.0.0.0 and :: stand for all (no port is open on IPv6)',
      cluster:
        'open only on hosts that have this address, and only there; 127.0.0.1: for programs of the hosts',
    },
    protocol: { ...oneOf('tcp', 'udp', 'sctp'), form: 'lowerCase' },
    mode: oneOf('ingress', 'host'),
    ...refused({
      name: 'ports have no names; leave it out',
      app_protocol: 'nothing on the way reads the protocol; leave it out',
    }),
  },
  { required: ['target'] },
);

const volumeSubpath: Attribute = {
  type: 'string',
  pattern: '^(?!/)(?!(?:.*/)?\\.\\.(?:/|$)).+$',
};

const volumeOptions: Attribute = object({
  nocopy: boolean,
  subpath: {
    ...volumeSubpath,
    says: 'the path of a folder in the volume, without ".."',
    cluster: 'the folder must be in the volume on the host that the replica is on',
  },
  ...refused({
    labels: 'write the labels where the volume is defined',
  }),
});

const mount: Attribute = object(
  {
    type: {
      ...oneOf('volume', 'bind', 'tmpfs', 'image'),
      says: 'volume, bind, tmpfs or image (others are not supported yet)',
      cluster: 'image: what the image source names holds, read-only, pulled as the service’s own',
    },
    source: { ...text, cluster: 'of a bind mount an absolute path, on each host that has a replica' },
    target: {
      type: 'string',
      form: 'cleanPath',
      is: 'absolutePath',
      says: 'an absolute path in the container',
    },
    read_only: boolean,
    bind: object({
      create_host_path: boolean,
      propagation: oneOf('private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'),
      recursive: {
        ...oneOf('enabled', 'disabled'),
        says: 'enabled or disabled (others are not supported yet)',
      },
      ...refused({ selinux: 'nothing is labelled; label the folder on the hosts' }),
    }),
    volume: volumeOptions,
    tmpfs: object({ size: bytes, mode: fileMode }),
    consistency: { ...oneOf('consistent', 'cached', 'delegated'), cluster: 'has no effect on Linux' },
    image: object({
      subpath: { ...volumeSubpath, says: 'the path of a folder or file in the image, without ".."' },
    }),
  },
  { required: ['type', 'target'] },
);

function fileReferences(form: 'secrets' | 'configs'): Attribute {
  const reference = object(
    {
      source: text,
      target: { type: 'string', is: 'fileName', says: 'the path of a file in the container' },
      uid: {
        type: 'string',
        form: 'numericText',
        pattern: '^\\d{1,9}$',
        says: 'a number in quotes, such as "103"',
      },
      gid: {
        type: 'string',
        form: 'numericText',
        pattern: '^\\d{1,9}$',
        says: 'a number in quotes, such as "103"',
      },
      mode: fileMode,
    },
    { required: ['source'] },
  );
  return {
    type: 'array',
    form,
    items: reference,
    merge: { by: form === 'secrets' ? 'secret' : 'config' },
    says: `a list of names or of maps with source and target`,
  };
}

const dependsOn: Attribute = {
  type: 'object',
  form: 'dependsOn',
  says: 'a list of services or a map of service to condition',
  additionalProperties: object(
    {
      condition: oneOf('service_started', 'service_healthy', 'service_completed_successfully'),
      required: boolean,
      restart: { ...boolean, is: 'false', says: 'false: restarting with a dependency is not supported yet' },
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
      ...refused({
        ipv6_address: 'networks have no IPv6 addresses; use the name of the service, or an alias',
        link_local_ips: 'the cluster gives each replica its address; use the name of the service',
        mac_address: 'it follows from the address that the cluster gives',
        driver_opts: 'networks have no drivers to choose from; leave it out',
      }),
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
  pattern: '^\\d{1,5}(?:-\\d{1,5})?(?:/(?:tcp|udp|sctp))?$',
  says: 'a port or a range, such as 8000 or 8000-8010/udp',
};

const tmpfs: Attribute = {
  type: 'string',
  is: 'tmpfs',
  says: 'a path in the container, with options of mount, such as /run:size=64m,mode=1777,exec',
};

/** A service, issue by issue nearer to the whole of Compose. */
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
  volumes: {
    type: 'array',
    form: 'mounts',
    items: mount,
    merge: { by: 'target' },
    says: 'a list of volumes',
    cluster: 'a named volume is on each host its own: keep the service to one host by a placement constraint',
  },
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
    form: 'exposed',
    items: exposed,
    says: 'a list of ports',
    cluster: 'says something to readers only: services of a network reach all ports of one another',
  },
  tmpfs: { type: 'array', form: 'texts', items: tmpfs, says: 'a path or a list of paths' },
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
  ...refused({
    attach: 'shoal up attaches to nothing; shoal logs shows the output of the services that are named',
    build: 'build the image elsewhere, push it to a registry, and name it with image',
    cpu_count: 'it is for Windows; use deploy.resources.limits.cpus',
    cpu_percent: 'it is for Windows; use deploy.resources.limits.cpus',
    credential_spec: 'it is for Windows',
    develop:
      'it is for one machine; run it there with docker compose watch, and give the result to the cluster',
    external_links: 'join a network of the other service and call it by its full name, APPLICATION_SERVICE',
    isolation: 'it is for Windows',
    mac_address: 'it follows from the address that the cluster gives',
    models: 'run the model as a service, and name it in the environment',
    provider: 'it starts programs on one machine; run what it provides as a service, or name its address',
    pull_refresh_after: 'write pull_policy: every_12h or the like',
    storage_opt:
      'the file systems of containers cannot be limited: overlayfs has no quotas; write to a tmpfs with a size, or to a volume',
    use_api_socket: 'the API is open to those with a certificate only; mount no socket of the host',
  }),
});
