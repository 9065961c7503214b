import {
  boolean,
  bytes,
  closed,
  duration,
  fileMode,
  integer,
  integerFrom,
  keyValues,
  labels,
  notYet,
  object,
  oneOf,
  text,
} from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { cpus, deploy, replicasMax } from './schema-deploy.ts';
import { settingsAttributes } from './schema-settings.ts';

const commandLine: Attribute = {
  type: ['array', 'null'],
  items: text,
  form: 'command',
  says: 'a string, which is split into words, or a list of words',
  merge: 'replace',
};

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
    protocol: { ...oneOf('tcp', 'udp'), form: 'lowerCase', says: 'tcp or udp (sctp is not supported yet)' },
    mode: oneOf('ingress', 'host'),
    ...notYet('name app_protocol'),
    host_ip: { notYet: 'published ports are open on every address of the hosts' },
  },
  { required: ['target'] },
);

const volumeOptions: Attribute = object({ nocopy: boolean, ...notYet('subpath labels') });

const mount: Attribute = object(
  {
    type: {
      ...oneOf('volume', 'bind', 'tmpfs'),
      says: 'volume, bind or tmpfs (others are not supported yet)',
    },
    source: text,
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
      ...notYet('selinux'),
    }),
    volume: volumeOptions,
    tmpfs: object({ size: bytes, mode: fileMode }),
    consistency: { ...oneOf('consistent', 'cached', 'delegated'), cluster: 'has no effect on Linux' },
    ...notYet('image'),
  },
  { required: ['type', 'target'] },
);

function fileReferences(form: 'secrets' | 'configs'): Attribute {
  const reference = object(
    {
      source: text,
      target: text,
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
    merge: { by: 'target' },
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

const serviceNetworks: Attribute = {
  type: 'object',
  form: 'serviceNetworks',
  says: 'a list of networks or a map of network to options',
  additionalProperties: object(
    {
      aliases: { type: 'array', items: dnsName, says: 'a list of DNS names' },
      ...notYet(
        'ipv4_address ipv6_address link_local_ips mac_address driver_opts interface_name priority gw_priority',
      ),
    },
    { type: ['object', 'null'] },
  ),
};

const envFiles: Attribute = {
  type: 'array',
  form: 'envFiles',
  says: 'a path, a list of paths or a list of maps with path',
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
  environment: keyValues,
  env_file: envFiles,
  ports: { type: 'array', form: 'ports', items: port, merge: { by: 'port' }, says: 'a list of ports' },
  networks: serviceNetworks,
  volumes: {
    type: 'array',
    form: 'mounts',
    items: mount,
    merge: { by: 'target' },
    says: 'a list of volumes',
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
  restart: { type: 'string', is: 'restart', says: 'no, always, on-failure, on-failure:N or unless-stopped' },
  deploy,
  extends: closed(
    { service: text, file: { ...text, form: 'projectPath' } },
    { form: 'extends', required: ['service'], says: 'the name of a service, or a map with service and file' },
  ),
  profiles: { type: 'array', items: profile, says: 'a list of names' },
  scale: integerFrom(0, replicasMax),
  cpus,
  mem_limit: bytes,
  mem_reservation: bytes,
  pids_limit: { ...integer, minimum: -1, says: 'a whole number, or -1 for no limit' },
  expose: { type: 'array', form: 'exposed', items: exposed, says: 'a list of ports' },
  tmpfs: { type: 'array', form: 'texts', items: tmpfs, says: 'a path or a list of paths' },
  label_file: {
    type: 'array',
    form: 'texts',
    items: { ...text, form: 'projectPath' },
    merge: 'append',
    says: 'a path or a list of paths',
  },
  ...settingsAttributes,
  ...notYet(
    `attach blkio_config build container_name cpu_count cpu_percent credential_spec external_links gpus isolation
    links mac_address models network_mode post_start pre_start pre_stop pull_refresh_after runtime storage_opt
    use_api_socket volumes_from`,
  ),
  develop: { notYet: 'it is for one machine' },
  provider: { notYet: 'it is for one machine' },
});
