/**
 * What a service can say of its containers beside the usual: as it is written, in canonical form, and as part of the
 * container's spec. The tests check each row; the fuzzer begins with them.
 */
export const settingRows: readonly (readonly [written: string, canonical: object, container: object])[] = [
  ['init: true', { init: true }, { settings: { init: true } }],
  ['privileged: yes', { privileged: true }, { settings: { privileged: true } }],
  ['read_only: true', { read_only: true }, { settings: { readOnly: true } }],
  ['tty: true\n    stdin_open: "true"', { tty: true }, { settings: { tty: true, openStdin: true } }],
  [
    'cap_add: [NET_ADMIN, cap_sys_time]\n    cap_drop: [ALL]',
    { cap_add: ['NET_ADMIN', 'cap_sys_time'], cap_drop: ['ALL'] },
    { settings: { capabilitiesAdd: ['NET_ADMIN', 'cap_sys_time'], capabilitiesDrop: ['ALL'] } },
  ],
  [
    'security_opt: ["no-new-privileges:true", seccomp=unconfined, "apparmor:unconfined", "label:disable"]',
    {},
    { settings: { noNewPrivileges: true, seccomp: 'unconfined' } },
  ],
  [
    'security_opt: [no-new-privileges, systempaths=unconfined]',
    {},
    { settings: { systemPaths: 'unconfined' } },
  ],
  [
    'security_opt: [seccomp=./seccomp.json, "apparmor:strict"]',
    { security_opt: ['seccomp=./seccomp.json', 'apparmor:strict'] },
    {
      settings: {
        seccomp: {
          defaultAction: 'SCMP_ACT_ALLOW',
          syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO' }],
        },
        apparmor: 'strict',
      },
    },
  ],
  ['security_opt: ["seccomp:builtin", apparmor=unconfined]', {}, {}],
  ['security_opt: ["apparmor=:part:strict"]', {}, { settings: { apparmor: ':part:strict' } }],
  ['runtime: crun', { runtime: 'crun' }, { settings: { runtime: 'crun' } }],
  [
    'blkio_config: { weight: "300", weight_device: [{ path: /dev/a, weight: 400 }], device_read_bps: [{ path: /dev/a, rate: 12mb }], device_write_iops: [{ path: /dev/a, rate: 30 }] }',
    { blkio_config: { weight: 300, device_read_bps: [{ path: '/dev/a', rate: '12582912' }] } },
    {
      settings: {
        blockIo: {
          weight: 300,
          weightDevices: [{ path: '/dev/a', weight: 400 }],
          readBytes: [{ path: '/dev/a', rate: 12_582_912 }],
          writeOperations: [{ path: '/dev/a', rate: 30 }],
        },
      },
    },
  ],
  [
    'sysctls: { net.core.somaxconn: 1024 }',
    { sysctls: { 'net.core.somaxconn': '1024' } },
    { settings: { sysctls: { 'net.core.somaxconn': '1024' } } },
  ],
  ['sysctls: [kernel.shmmax=1]', {}, { settings: { sysctls: { 'kernel.shmmax': '1' } } }],
  [
    'ulimits: { nproc: 65535, nofile: { soft: 20000, hard: "40000" }, memlock: -1 }',
    { ulimits: { nproc: 65_535, nofile: { soft: 20_000, hard: 40_000 } } },
    {
      settings: {
        ulimits: {
          memlock: { soft: -1, hard: -1 },
          nofile: { soft: 20_000, hard: 40_000 },
          nproc: { soft: 65_535, hard: 65_535 },
        },
      },
    },
  ],
  ['shm_size: 1gb', { shm_size: '1073741824' }, { settings: { sharedMemoryBytes: 1_073_741_824 } }],
  ['group_add: [mail, 900]', { group_add: ['mail', '900'] }, { settings: { groups: ['mail', '900'] } }],
  ['domainname: example.org', {}, { settings: { domainName: 'example.org' } }],
  ['annotations: [a=b]', { annotations: { a: 'b' } }, { settings: { annotations: { a: 'b' } } }],
  [
    'devices: [/dev/fuse, "/dev/a:/dev/b:r", "/dev/c::rw", { source: /dev/d, permissions: m }]',
    {
      devices: [
        { source: '/dev/fuse', target: '/dev/fuse', permissions: 'rwm' },
        { source: '/dev/a', target: '/dev/b', permissions: 'r' },
        { source: '/dev/c', target: '/dev/c', permissions: 'rw' },
        { source: '/dev/d', target: '/dev/d', permissions: 'm' },
      ],
    },
    { settings: { devices: [{ permissions: 'rwm' }, { target: '/dev/b' }, {}, { target: '/dev/d' }] } },
  ],
  [
    'devices: ["vendor.com/class=name:1", /dev/fuse]',
    { devices: [{ source: 'vendor.com/class=name:1' }, { source: '/dev/fuse' }] },
    { settings: { cdi: [{ device: 'vendor.com/class=name:1' }], devices: [{ source: '/dev/fuse' }] } },
  ],
  ['gpus: all', { gpus: [{ count: -1 }] }, { settings: { cdi: [{ device: 'nvidia.com/gpu=all' }] } }],
  [
    'gpus: [{ count: 2 }, { device_ids: ["0", GPU-1] }, { driver: nvidia, capabilities: [utility] }]',
    { gpus: [{ count: 2 }, { device_ids: ['0', 'GPU-1'] }, { driver: 'nvidia' }] },
    {
      settings: {
        cdi: [
          { kind: 'nvidia.com/gpu', count: 2 },
          { device: 'nvidia.com/gpu=0' },
          { device: 'nvidia.com/gpu=GPU-1' },
          { device: 'nvidia.com/gpu=all' },
        ],
      },
    },
  ],
  [
    'deploy: { resources: { reservations: { devices: [{ capabilities: [gpu], count: all }, { capabilities: [x], driver: cdi, device_ids: [a.b/c=d] }] } } }',
    { deploy: { resources: { reservations: { devices: [{ count: -1 }, { driver: 'cdi' }] } } } },
    { settings: { cdi: [{ device: 'nvidia.com/gpu=all' }, { device: 'a.b/c=d' }] } },
  ],
  [
    'device_cgroup_rules: ["c 1:3 mr", "a *:* rwm"]',
    {},
    { settings: { deviceRules: ['c 1:3 mr', 'a *:* rwm'] } },
  ],
  ['ipc: host\n    pid: host\n    uts: host', {}, { settings: { ipc: 'host', pid: 'host', uts: 'host' } }],
  [
    'post_start: [{ command: "a b", user: root }]\n    pre_stop: [{ command: [c], working_dir: /d, environment: [E=1, F] }]',
    { post_start: [{ command: ['a', 'b'], user: 'root' }] },
    {
      postStart: [{ command: ['a', 'b'], user: 'root', environment: {} }],
      preStop: [{ command: ['c'], workingDirectory: '/d', environment: { E: '1' } }],
    },
  ],
  [
    'post_start: [{ command: a, privileged: true }]\n    pre_stop: [{ command: a, privileged: false }]',
    { post_start: [{ command: ['a'], privileged: true }] },
    { postStart: [{ privileged: true }], preStop: [{ command: ['a'], environment: {} }] },
  ],
  [
    'pre_start: [{ command: a "b c", environment: [E=1, F] }, { image: tool, user: root, working_dir: /d, privileged: yes, per_replica: true }]',
    { pre_start: [{ command: ['a', 'b c'] }, { image: 'tool', per_replica: true }] },
    {
      preStart: [
        { command: ['a', 'b c'], environment: { E: '1' }, perReplica: false },
        {
          image: 'tool',
          environment: {},
          user: 'root',
          workingDirectory: '/d',
          privileged: true,
          perReplica: true,
        },
      ],
    },
  ],
  ['network_mode: host', { network_mode: 'host', networks: {} }, { settings: { network: 'host' } }],
  ['network_mode: none', { network_mode: 'none', networks: {} }, {}],
  [
    'volumes: [{ type: volume, source: data, target: /d, volume: { subpath: a/b } }]',
    {},
    { mounts: [{ source: 'app_data', subpath: 'a/b' }] },
  ],
  ['ipc: shareable\n    userns_mode: host', { ipc: 'shareable' }, { settings: { ipc: 'shareable' } }],
  [
    'cgroup: private\n    cgroup_parent: /mine',
    {},
    { settings: { cgroup: 'private', cgroupParent: '/mine' } },
  ],
  [
    'cpuset: "0-2,5"\n    cpu_shares: 73\n    cpu_quota: 50000\n    cpu_period: 100ms',
    { cpu_period: 100_000, cpu_quota: 50_000 },
    { settings: { cpu: { set: '0-2,5', shares: 73, quotaUs: 50_000, periodUs: 100_000 } } },
  ],
  [
    'cpu_rt_runtime: "400"\n    cpu_rt_period: 1400us',
    { cpu_rt_runtime: 400, cpu_rt_period: 1400 },
    { settings: { cpu: { realtimeRuntimeUs: 400, realtimePeriodUs: 1400 } } },
  ],
  [
    'mem_limit: 1m\n    memswap_limit: -1\n    mem_swappiness: 0\n    oom_kill_disable: true',
    { memswap_limit: '-1' },
    { settings: { memory: { withSwapBytes: -1, swappiness: 0, disableOomKill: true } } },
  ],
  ['oom_score_adj: -500', { oom_score_adj: -500 }, { settings: { oomScoreAdjust: -500 } }],
  [
    'dns: 9.9.9.9\n    dns_search: [a.org, b.org]\n    dns_opt: [ndots:2, use-vc]',
    { dns: ['9.9.9.9'] },
    { names: { dnsServers: ['9.9.9.9'], dnsSearch: ['a.org', 'b.org'], dnsOptions: ['ndots:2', 'use-vc'] } },
  ],
  [
    'extra_hosts: ["a=10.0.0.1", "b:10.0.0.2", "here:host-gateway", "six=[::1]"]',
    { extra_hosts: ['a=10.0.0.1', 'b=10.0.0.2', 'here=host-gateway', 'six=::1'] },
    {
      names: {
        extraHosts: [
          { name: 'a', address: '10.0.0.1' },
          { name: 'b', address: '10.0.0.2' },
          { name: 'here', address: 'host-gateway' },
          { name: 'six', address: '::1' },
        ],
      },
    },
  ],
  [
    'extra_hosts: { a: 10.0.0.1, b: [10.0.0.2, "::2"] }',
    { extra_hosts: ['a=10.0.0.1', 'b=10.0.0.2', 'b=::2'] },
    {},
  ],
  [
    'logging: { driver: json-file, options: { max-size: 10m, max-file: 5 } }',
    { logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } } },
    { logs: { fileBytesMax: 10_485_760, filesMax: 5 } },
  ],
  ['logging: { driver: local }', { logging: { driver: 'local' } }, {}],
  ['pull_policy: always', { pull_policy: 'always' }, { pullPolicy: { kind: 'always' } }],
  ['pull_policy: never', {}, { pullPolicy: { kind: 'never' } }],
  ['pull_policy: if_not_present', { pull_policy: 'missing' }, {}],
  ['pull_policy: weekly', {}, { pullPolicy: { kind: 'every', intervalMs: 604_800_000 } }],
  ['pull_policy: every_1h30m', {}, { pullPolicy: { kind: 'every', intervalMs: 5_400_000 } }],
  [
    'tmpfs: ["/run:exec,uid=33,size=1k", /tmp]',
    {},
    {
      mounts: [
        { type: 'tmpfs', target: '/run', sizeBytes: 1024, options: ['exec', 'uid=33'] },
        { type: 'tmpfs', target: '/tmp' },
      ],
    },
  ],
  [
    'volumes: [{ type: bind, source: /a, target: /b, bind: { propagation: rslave, recursive: disabled } }]',
    {},
    { mounts: [{ type: 'bind', propagation: 'rslave', notRecursive: true }] },
  ],
  [
    'volumes: [{ type: image, source: "tools:1", target: /t }, { type: image, source: tools, target: /u, image: { subpath: a/b } }]',
    {},
    {
      mounts: [
        { type: 'image', source: 'tools:1', target: '/t' },
        { type: 'image', source: 'tools', target: '/u', subpath: 'a/b' },
      ],
    },
  ],
  [
    'volumes: [{ type: volume, source: data, target: /d, consistency: cached }]',
    {},
    { mounts: [{ type: 'volume', source: 'app_data' }] },
  ],
];
