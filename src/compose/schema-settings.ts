import {
  boolean,
  bytes,
  integer,
  integerFrom,
  labels,
  object,
  oneOf,
  refused,
  runsOnly,
  text,
} from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { device } from './schema-devices.ts';
import { address, extraHosts, patterned, texts, ulimits } from './schema-parts.ts';

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

const domain = patterned(
  '^(?:\\.|[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?\\.?)$',
  'a domain such as example.org',
);

/** What belongs to the container's own namespaces; everything else would change the host. */
const sysctls: Attribute = {
  ...labels,
  runsNames: {
    pattern:
      '^(?:net\\.[a-z0-9_.*/-]+|fs\\.mqueue\\.[a-z_]+|kernel\\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$',
    says: 'a kernel setting that containers have their own of: net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*',
  },
};

const logOption: Attribute = { type: 'string', says: 'a string, a number or nothing' };

const logOptions: Attribute = {
  type: 'object',
  form: 'logOptions',
  properties: {
    'max-size': {
      ...runsOnly(logOption, bytes.says!, { is: 'bytes' }),
      cluster: 'of one file; 10 MiB when it is not said',
    },
    'max-file': runsOnly(logOption, 'a number of files from 1 to 99', { pattern: '^[1-9]\\d?$' }),
  },
  additionalProperties: refused(logOption, 'output has max-size and max-file only'),
  says: 'a map of options',
};

const drivers =
  'json-file or local (output is kept on the hosts and read with shoal logs; no other driver is there)';

const networkModes = 'none, host, bridge, service:NAME or container:NAME';

const networkModesRun =
  'none, host or service:NAME (for container:NAME write service: and the name of its service; for a network of its own leave it out)';

const besideOther =
  'with service: each replica runs on the host of that service’s replica of the same number';

const pullPolicies =
  'always, never, missing, if_not_present, daily, weekly or every_ and a duration, such as every_12h';

/** What containers are given beside the usual, and how far they are shut off. */
export const settingsAttributes: Record<string, Attribute> = {
  annotations: labels,
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
    form: 'filledTexts',
    cluster: 'asked for names that are not the cluster’s',
  },
  dns_opt: texts(
    'a list of resolver options',
    patterned('^[a-z0-9-]+(?::\\d+)?$', 'an option such as ndots:2'),
  ),
  dns_search: texts('a domain or a list of domains', domain),
  domainname: domain,
  extra_hosts: { ...extraHosts, cluster: 'host-gateway is the host that the replica is on' },
  group_add: {
    type: 'array',
    form: 'wholeTexts',
    items: text,
    merge: 'append',
    says: 'a list of groups, names of the image or numbers',
  },
  init: { ...boolean, cluster: 'the hosts must have tini-static, docker-init or catatonit' },
  ipc: {
    ...runsOnly(
      patterned(
        '^(?:host|private|shareable|none|service:.+|container:.+)$',
        'host, private, shareable, none, service:NAME or container:NAME',
      ),
      'host, private, shareable or service:NAME (for container:NAME write service: and the name of its service)',
      { pattern: '^(?:host|private|shareable|service:.+)$' },
    ),
    cluster: besideOther,
  },
  logging: object(
    { driver: runsOnly(text, drivers, { enum: ['json-file', 'local'] }), options: logOptions },
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
    ...runsOnly({ ...text, pattern: '.', says: networkModes }, networkModesRun, {
      pattern: '^(?:none|host|service:.+)$',
    }),
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
    ...runsOnly(
      {
        ...patterned('^(?:host|service:.+|container:.+)$', 'host, service:NAME or container:NAME'),
        type: ['string', 'null'],
      },
      'host or service:NAME (for container:NAME write service: and the name of its service)',
      { pattern: '^(?:host|service:.+)$' },
    ),
    cluster: besideOther,
  },
  platform: {
    ...runsOnly(
      patterned('^[a-z0-9_.-]+(?:/[a-zA-Z0-9_.-]+){0,2}$', 'a platform such as linux/arm64 or linux/arm/v7'),
      'linux/amd64, linux/arm64 or the like',
      { pattern: '^linux(?:/[a-z0-9_]+(?:/[a-z0-9]+)?)?$' },
    ),
    cluster: 'a replica goes only to a host of that kind; the variant is not looked at',
  },
  privileged: boolean,
  pull_policy: {
    ...runsOnly(
      { type: 'string', is: 'pullPolicy', says: `${pullPolicies}, refresh or build` },
      `${pullPolicies} (build is not supported yet)`,
      { pattern: '^(?!build$|refresh$)' },
    ),
    cluster: 'followed on each host on its own',
  },
  read_only: boolean,
  runtime: {
    ...runsOnly(
      { ...text, says: 'the name of a runtime' },
      'the name of a runtime, such as crun or io.containerd.kata.v2',
      { pattern: '^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$' },
    ),
    cluster: 'a replica goes only to a host that has it',
  },
  security_opt: {
    ...texts('a list of options', {
      ...text,
      runs: {
        pattern:
          '^(?:no-new-privileges(?:[:=](?:true|false))?|(?:seccomp|apparmor)[:=].+|systempaths[:=]unconfined|label[:=]disable)$',
        says: 'no-new-privileges:true, seccomp=unconfined, seccomp=PROFILE.json, apparmor=PROFILE, systempaths=unconfined or label=disable (nothing is labelled)',
      },
    }),
    merge: 'append',
    cluster:
      'a seccomp profile is a file that is read where the command runs; an AppArmor profile must be loaded on every host that may run the service, and without one nothing is confined by AppArmor',
  },
  shm_size: bytes,
  stdin_open: boolean,
  sysctls,
  tty: boolean,
  ulimits,
  userns_mode: runsOnly(text, 'host: containers have no user namespace of their own', { enum: ['host'] }),
  uts: runsOnly(patterned('^(?:host|service:.+|container:.+)$', 'host'), 'host', { enum: ['host'] }),
};
