import { boolean, bytes, closed, integer, integerFrom, labels, object, oneOf, text } from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { device, deviceRequests } from './schema-devices.ts';

/** A list of texts, joined with an earlier file's without identical entries. */
function texts(says: string, item: Attribute = text): Attribute {
  return { type: 'array', form: 'texts', items: item, says };
}

function patterned(pattern: string, says: string): Attribute {
  return { type: 'string', pattern, says };
}

const capabilities = texts('a list of capabilities', {
  type: 'string',
  is: 'capability',
  says: 'a Linux capability, such as NET_ADMIN, or ALL',
});

const microseconds: Attribute = {
  ...integerFrom(0),
  form: 'microseconds',
  says: 'microseconds, or a duration such as 50ms',
};

const address: Attribute = { type: 'string', is: 'address', says: 'an IP address' };

const domain = patterned(
  '^(?:\\.|[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?\\.?)$',
  'a domain such as example.org',
);

const limit: Attribute = { ...integer, minimum: -1, says: 'a whole number, or -1 for no limit' };

/** Limits of a process, by name (getrlimit(2)). */
const ulimits: Attribute = {
  type: 'object',
  form: 'ulimits',
  says: 'a map of limit to a number, or to soft and hard',
  propertyNames: {
    pattern:
      '^(?:as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$',
    says: 'a limit such as nofile, nproc, memlock or core',
  },
  additionalProperties: object(
    { soft: limit, hard: limit },
    { required: ['soft', 'hard'], merge: 'replace' },
  ),
};

/** What belongs to the container's own namespaces; everything else would change the host. */
const sysctls: Attribute = {
  ...labels,
  propertyNames: {
    pattern:
      '^(?:net\\.[a-z0-9_.*/-]+|fs\\.mqueue\\.[a-z_]+|kernel\\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$',
    says: 'a kernel setting that containers have their own of: net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*',
  },
};

const blockDevice = patterned('^/', 'the absolute path of a device on the hosts');
const blockWeight = integerFrom(10, 1000);

function blockRates(what: string): Attribute {
  return {
    type: 'array',
    items: closed({ path: blockDevice, rate: { ...bytes, says: what } }, { required: ['path', 'rate'] }),
    says: 'a list of maps with path and rate',
  };
}

const operations = 'a number of operations a second';

const blockIo: Attribute = closed(
  {
    weight: { ...blockWeight, cluster: 'only on hosts whose kernel has weights (BFQ)' },
    weight_device: {
      type: 'array',
      items: closed({ path: blockDevice, weight: blockWeight }, { required: ['path', 'weight'] }),
      says: 'a list of maps with path and weight',
    },
    device_read_bps: blockRates('a size a second, such as 12mb'),
    device_write_bps: blockRates('a size a second, such as 12mb'),
    device_read_iops: blockRates(operations),
    device_write_iops: blockRates(operations),
  },
  {
    cluster:
      'the devices are those of the host that a replica is on; one that lacks them refuses it: keep the service to those that have them by a placement constraint',
  },
);

const logOptions: Attribute = {
  ...object(
    {
      'max-size': { ...bytes, cluster: 'of one file; 10 MiB when it is not said' },
      'max-file': {
        ...patterned('^[1-9]\\d?$', 'a number of files from 1 to 99, in quotes'),
        form: 'numericText',
      },
    },
    { additionalProperties: false },
  ),
};

const drivers =
  'json-file or local (output is kept on the hosts and read with shoal logs; no other driver is there)';

/** What containers are given beside the usual, and how far they are shut off. */
export const settingsAttributes: Record<string, Attribute> = {
  annotations: labels,
  blkio_config: blockIo,
  cap_add: capabilities,
  cap_drop: capabilities,
  cgroup: oneOf('host', 'private'),
  cgroup_parent: {
    ...patterned('^(?!.*(?:^|/)\\.\\.(?:/|$)).+$', 'the path of a control group without ".."'),
    cluster:
      'an absolute path is taken as it is on every host; any other is below the engine’s own control group',
  },
  cpu_period: microseconds,
  cpu_quota: { ...integer, minimum: -1, says: 'microseconds in each period, or -1 for no limit' },
  cpu_rt_period: microseconds,
  cpu_rt_runtime: microseconds,
  cpu_shares: integerFrom(0, 262_144),
  cpuset: {
    ...patterned('^\\d+(?:-\\d+)?(?:,\\d+(?:-\\d+)?)*$', 'CPUs by number, such as 0-2,5'),
    cluster: 'the numbers are those of the host that a replica is on; one that lacks them refuses it',
  },
  device_cgroup_rules: {
    ...texts(
      'a list of rules',
      patterned('^[acb] (?:\\d+|\\*):(?:\\d+|\\*) [rwm]{1,3}$', 'a rule such as c 1:3 rwm'),
    ),
    merge: 'append',
  },
  devices: {
    type: 'array',
    form: 'devices',
    items: device,
    merge: { by: 'target' },
    says: 'a list of devices such as /dev/fuse, /dev/fuse:/dev/fuse:rw or vendor.com/class=name',
    cluster:
      'a device by its path must be on every host that may run the service: keep it to those by a placement constraint',
  },
  dns: {
    ...texts('an address or a list of addresses', address),
    cluster: 'asked for names that are not the cluster’s',
  },
  dns_opt: texts(
    'a list of resolver options',
    patterned('^[a-z0-9-]+(?::\\d+)?$', 'an option such as ndots:2'),
  ),
  dns_search: texts('a domain or a list of domains', domain),
  domainname: domain,
  extra_hosts: {
    type: 'array',
    form: 'extraHosts',
    items: { type: 'string', is: 'extraHost', says: 'NAME=ADDRESS, or NAME=host-gateway' },
    says: 'a list of NAME=ADDRESS or a map of name to address',
    cluster: 'host-gateway is the host that the replica is on',
  },
  gpus: deviceRequests({ form: 'gpus' }),
  group_add: {
    type: 'array',
    form: 'exposed',
    items: text,
    merge: 'append',
    says: 'a list of groups, names of the image or numbers',
  },
  init: { ...boolean, cluster: 'the hosts must have tini-static, docker-init or catatonit' },
  ipc: {
    ...patterned(
      '^(?:host|private|shareable|service:[^:]+)$',
      'host, private, shareable or service:NAME (for container:NAME write service: and the name of its service)',
    ),
    cluster: 'with service: each replica runs on the host of that service’s replica of the same number',
  },
  logging: object(
    { driver: { ...oneOf('json-file', 'local'), says: drivers }, options: logOptions },
    { merge: 'driver', cluster: 'without options 3 files of 10 MiB are kept of each replica' },
  ),
  mem_swappiness: { ...integerFrom(0, 100), cluster: 'only on hosts with control groups of version 1' },
  memswap_limit: {
    type: 'string',
    form: 'bytes',
    is: 'bytesOrNone',
    says: 'a size such as 1g, or -1 for no limit',
  },
  network_mode: {
    ...patterned(
      '^(?:none|host|service:[^:]+)$',
      'none, host or service:NAME (for container:NAME write service: and the name of its service; for a network of its own leave it out)',
    ),
    cluster:
      'host: whatever the program listens on is open on the hosts that run it, and no service name leads there; service: each replica runs on the host of that service’s replica of the same number, and is reached by that service’s name',
  },
  oom_kill_disable: { ...boolean, cluster: 'only on hosts with control groups of version 1' },
  oom_score_adj: {
    ...integer,
    minimum: -1000,
    maximum: 1000,
    says: 'a whole number from -1000 to 1000',
  },
  pid: {
    ...patterned(
      '^(?:host|service:[^:]+)$',
      'host or service:NAME (for container:NAME write service: and the name of its service)',
    ),
    cluster: 'with service: each replica runs on the host of that service’s replica of the same number',
  },
  platform: {
    ...patterned('^linux(?:/[a-z0-9_]+(?:/[a-z0-9]+)?)?$', 'linux/amd64, linux/arm64 or the like'),
    cluster: 'a replica goes only to a host of that kind; the variant is not looked at',
  },
  privileged: boolean,
  pull_policy: {
    type: 'string',
    is: 'pullPolicy',
    says: 'always, never, missing, if_not_present, daily, weekly or every_ and a duration, such as every_12h (build is not supported yet)',
    cluster: 'followed on each host on its own',
  },
  read_only: boolean,
  runtime: {
    ...patterned(
      '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$',
      'the name of a runtime, such as crun or io.containerd.kata.v2',
    ),
    cluster: 'a replica goes only to a host that has it',
  },
  security_opt: {
    ...texts(
      'a list of options',
      patterned(
        '^(?:no-new-privileges(?:[:=](?:true|false))?|(?:seccomp|apparmor)[:=].+|systempaths[:=]unconfined|label[:=]disable)$',
        'no-new-privileges:true, seccomp=unconfined, seccomp=PROFILE.json, apparmor=PROFILE, systempaths=unconfined or label=disable (nothing is labelled)',
      ),
    ),
    merge: 'append',
    cluster:
      'a seccomp profile is a file that is read where the command runs; an AppArmor profile must be loaded on every host that may run the service, and without one nothing is confined by AppArmor',
  },
  shm_size: bytes,
  stdin_open: boolean,
  sysctls,
  tty: boolean,
  ulimits,
  userns_mode: { ...oneOf('host'), says: 'host: containers have no user namespace of their own' },
  uts: { ...oneOf('host'), says: 'host' },
  volumes_from: {
    type: 'array',
    merge: 'append',
    items: patterned(
      '^(?!container:)[^:]+(?::r[ow])?$',
      'SERVICE, SERVICE:ro or SERVICE:rw (for container:NAME write the name of its service)',
    ),
    says: 'a list of services',
    cluster:
      'each replica runs on the host of that service’s replica of the same number; of its mounts the binds and volumes are taken over',
  },
};
