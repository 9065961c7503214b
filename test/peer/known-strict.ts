import type { KnownDifference } from './known.ts';

/** What Shoal says at once, and docker compose when a container is made, or never. */

/** Attributes of a service whose values Shoal looks at more closely. */
const values = [
  'image|hostname|domainname|restart|platform|working_dir|stop_signal|stop_grace_period|network_mode|ipc|pid|uts|pull_policy|cpuset|mac_address|cgroup_parent',
  'mem_limit|memswap_limit|mem_swappiness|shm_size|cpus|cpu_(?:period|quota|shares|rt_period|rt_runtime)|pids_limit|storage_opt\\.\\w+',
  '(?:cap_add|cap_drop|dns|dns_opt|dns_search|device_cgroup_rules|expose|external_links|extra_hosts|links|profiles|tmpfs|volumes_from)\\[\\d+\\]',
  'blkio_config\\.(?:weight|\\w+\\[\\d+\\]\\.(?:rate|weight))',
  'devices\\[\\d+\\]\\.(?:source|target|permissions)',
  'ulimits(?:\\.\\w+|\\[.*?\\])(?:\\.(?:soft|hard))?',
  'healthcheck\\.(?:test|retries)',
  'ports\\[\\d+\\]\\.(?:target|published|protocol|mode)',
  'volumes\\[\\d+\\]\\.(?:target|source|consistency|bind\\.propagation|(?:volume|image)\\.subpath)',
  '(?:secrets|configs|build\\.secrets)\\[\\d+\\]\\.(?:uid|gid|mode)',
  'build\\.(?:tags\\[\\d+\\]|platforms\\[\\d+\\]|extra_hosts\\[\\d+\\]|shm_size|ulimits(?:\\.\\w+|\\[.*?\\])(?:\\.(?:soft|hard))?)',
  'networks\\.[^.]+\\.(?:ipv[46]_address|mac_address|interface_name|(?:aliases|link_local_ips)\\[\\d+\\])',
  'deploy\\.(?:mode|replicas|endpoint_mode|restart_policy\\.condition|(?:update|rollback)_config\\.(?:failure_action|max_failure_ratio))',
  'deploy\\.(?:placement\\.(?:constraints|preferences)\\[\\d+\\](?:\\.spread)?|resources\\.(?:limits|reservations)\\.(?:cpus|memory|pids))',
  '(?:gpus|deploy\\.resources\\.reservations\\.devices)\\[\\d+\\]\\.count',
  'deploy\\.resources\\.reservations\\.generic_resources\\[\\d+\\]\\.discrete_resource_spec\\.value',
  '(?:(?:post_start|pre_stop)\\[\\d+\\]|develop\\.watch\\[\\d+\\]\\.exec)\\.(?:command|working_dir)',
];

/** A name in a path, as it is or in quotes. */
const name = '(?:\\.[^.]+|\\["[^\\]]*"\\])';

const places = [
  `services${name}\\.(?:${values.join('|')})`,
  `networks${name}\\.(?:name|ipam\\.config\\[\\d+\\]\\.\\S+)`,
  `(?:volumes|secrets|configs)${name}\\.name`,
  `(?:secrets|configs)${name}\\.environment`,
  `models${name}\\.context_size`,
].join('|');

export const strict: readonly KnownDifference[] = [
  {
    name: 'values that nothing could be made of',
    shoalSays: new RegExp(
      `^(?:${places}): (?:.* cannot be used (?:here|as a name here);|cannot read the placement |this key is missing; add (?:rate|weight)$)`,
      'su',
    ),
  },
  {
    name: 'names that are hard to tell apart, or that no DNS has',
    shoalSays: /cannot be used as a name here; it must be a name of|which cannot be seen; take it out$/u,
  },
  {
    name: 'command lines that a shell would have to read',
    shoalSays: /: no shell reads it, so "[;&|<>()]" outside quotes means nothing;/u,
  },
  {
    name: 'two mounts, devices or files on one path',
    shoalSays: /: \S+ is taken already, by a \w+; give each its own path$/u,
  },
  {
    name: 'a mount over the root',
    shoalSays: /: nothing can be mounted over the root;/u,
  },
  {
    name: 'short volumes that Windows reads otherwise',
    shoalSays:
      /is read as a Windows drive;|: "[^"]*" has too many colons; write NAME:\/path|: "\\\\\\\\[^"]*" is not an option/u,
  },
  {
    name: 'short volumes with parts that mean nothing',
    shoalSays:
      /services\.[^.]+\.volumes\[\d+\]: (?:"[^"]*" is not an option of a (?:volume|bind mount);|"[^"]*" has an empty part;)/u,
  },
  {
    name: 'short ports with parts that mean nothing',
    shoalSays: /services\.[^.]+\.ports\[\d+\]: "[^"]*" is not (?:a protocol|a port in the container);/u,
  },
  {
    name: 'volumes without a name',
    shoalSays: /\.source: no volume is called ;/u,
  },
  {
    name: 'environment without a name',
    shoalSays: /: "=?[^"]*" is not NAME=value;|^: "=[^"]*" does not begin with NAME=;/u,
  },
  {
    name: 'keys of extends and include that nobody knows',
    shoalSays:
      /(?:services\.[^.]+\.extends|include\[\d+\])(?:\.\S+|\[.*\]): this key is not known;|include\[\d+\]\.path: (?:this key is missing|a list cannot be used here);|include\[\d+\]\.project_directory: /u,
  },
  {
    name: 'external with keys that nobody knows',
    shoalSays: /^(?:networks|volumes|secrets|configs)\.[^.]+\.external: a map cannot be used here;/u,
  },
  {
    name: 'secrets and configs without content',
    shoalSays: /^(?:secrets|configs)\.[^.]+: it has no content;/u,
  },
  {
    name: 'credential_spec with nothing or several things in it',
    shoalSays: /\.credential_spec: it (?:names nothing|has both)/u,
  },
  {
    name: 'two resources with one name',
    shoalSays: /^(?:networks|volumes|secrets|configs)\.[^.]+\.name: \S+ is called \S+ already;/u,
  },
  {
    name: 'x-cluster-spec',
    shoalSays: /\.x-cluster-spec: .* cannot be used here;/u,
  },
  {
    name: 'YAML that its specification has not',
    shoalSays:
      /^: this is not YAML: |: nothing above is anchored as &|: the tag \S+ is not known;|: the value has a NUL character;/u,
  },
  {
    name: 'sizes that are fractions',
    shoalSays: /\.(?:mem_\w+|shm_size|memory): \S+ cannot be used here; write it in quotes/u,
  },
  {
    name: 'one assignment over a map of them',
    shoalSays: /\.(?:environment|labels): a plain value cannot override a map;/u,
  },
];
