import type { Row } from './table-rows.ts';

/** The attributes within those of a service. */

const build: readonly Row[] = [
  ['context', ['.', 'git@example.org:a.git', '/abs'], ['5', '[.]']],
  ['dockerfile', ['Other'], ['5']],
  ['dockerfile_inline', ['"FROM a"'], ['5', '[FROM a]']],
  ['args', ['{ A: 1, B: }', '[A=1, B]'], ['A=1', '{ A: [] }']],
  [
    'additional_contexts',
    ['{ a: ../a, b: "docker-image://alpine" }', '[a=https://example.org]', '{ a: "service:built" }'],
    ['5', '{ a: 5, b: [] }', '{ a: "service:none" }', '{ a: "service:db" }'],
  ],
  ['labels', ['{ a: b }', '[a=b]'], ['5']],
  ['cache_from', ['["type=registry,ref=a"]'], ['a', '[5]']],
  ['cache_to', ['["type=inline"]'], ['a', '[{}]']],
  ['no_cache', ['true'], ['often']],
  ['no_cache_filter', ['stage', '[one, two]'], ['5', '{ a: b }']],
  ['pull', ['true'], ['often']],
  ['network', ['host', 'none'], ['5', '[host]']],
  ['target', ['stage'], ['5']],
  ['shm_size', ['64m', '1048576'], ['much']],
  ['extra_hosts', ['["a=1.2.3.4"]', '{ a: 1.2.3.4 }'], ['[a]', '5']],
  ['isolation', ['default'], ['5']],
  ['privileged', ['true'], ['much']],
  ['secrets', ['[pw]', '[{ source: pw, target: p }]'], ['[none]', 'pw', '[{ target: p }]']],
  ['secrets[].source', ['pw'], ['none', '5']],
  ['secrets[].target', ['p'], ['5']],
  ['secrets[].uid', ['"7"', '7'], ['me']],
  ['secrets[].gid', ['"7"'], ['me']],
  ['secrets[].mode', ['0400', '"0400"'], ['rw']],
  ['ssh', ['[default]', '[id=./key]', '{ default: , id: ./key }'], ['default', '[5, {}]']],
  ['tags', ['[a:1, example.org/a]'], ['a', '["A B"]']],
  ['ulimits', ['{ nofile: 5 }', '{ nofile: { soft: 1, hard: 2 } }'], ['{ none: 5 }', '5']],
  ['ulimits.*.soft', ['1'], ['few']],
  ['ulimits.*.hard', ['"2"'], ['-2']],
  [
    'platforms',
    ['[linux/amd64, linux/arm64]'],
    ['linux/amd64', '[a/b/c/d]', '[linux/arm64] }\n    platform: linux/amd64\n    x-a: {'],
  ],
  ['provenance', ['true', 'mode=max', 'no'], ['[]', '{}']],
  ['sbom', ['false', '"generator=a"'], ['[]']],
  ['entitlements', ['[network.host]'], ['network.host', '[5]']],
];

const hook: readonly Row[] = [
  ['command', ['a b', '[a, b]'], ['[]', '5']],
  ['user', ['root'], ['5']],
  ['working_dir', ['/srv'], ['srv']],
  ['environment', ['{ A: 1 }', '[A]'], ['A', '5']],
];

const policy: readonly Row[] = [
  ['parallelism', ['0', '"2"'], ['-1', 'all']],
  ['delay', ['1s', '0s'], ['5', 'soon']],
  ['monitor', ['1s'], ['long']],
  ['max_failure_ratio', ['0.1', '"1"'], ['2', 'half']],
  ['order', ['stop-first', 'start-first'], ['both']],
];

const deviceRequest: readonly Row[] = [
  ['capabilities', [], ['gpu', '[5]'], ['[gpu]', '[gpu, compute]']],
  ['driver', [], ['5'], ['nvidia']],
  ['count', [], ['-2', 'some', '1, device_ids: [a]'], ['all', '2', '"2"']],
  ['device_ids', [], ['a', '[{}]'], ['["0", GPU-1]', '[0]']],
  ['options', [], ['5'], ['{ a: b }', '[a=b]']],
];

const throttles: readonly Row[] = ['read', 'write']
  .flatMap((way) => [`device_${way}_bps`, `device_${way}_iops`])
  .flatMap((name): Row[] => [
    [name, ['[]'], ['5', '[{ path: /dev/sda }]'], ['[{ path: /dev/sda, rate: 1000 }]']],
    [`${name}[].path`, [], ['5'], ['/dev/sda']],
    [`${name}[].rate`, [], ['fast', '-1'], ['"1mb"', '1000']],
  ]);

const deploy: readonly Row[] = [
  ['mode', ['replicated', 'global'], ['other', '5'], ['replicated-job', 'global-job', 'global, replicas: 2']],
  ['replicas', ['0', '"5"'], ['-1', '1.5', 'many', '10001']],
  ['endpoint_mode', ['vip', 'dnsrr'], ['other'], ['dnsrr }\n    ports: [80]\n    x-a: {']],
  ['labels', ['{ a: b }', '[a=b]'], ['5']],
  ['placement', ['{}'], ['{ constraint: [] }', '5']],
  ['placement.constraints', ['[node.role == worker]'], ['[nonsense]', 'node.role==worker']],
  ['placement.max_replicas_per_node', ['1', '"0"'], ['-1']],
  ['placement.preferences', ['[]', '[{ spread: node.labels.zone }]'], ['[zone]', '5', '[{ spread: zone }]']],
  ['placement.preferences[].spread', ['node.labels.zone', 'engine.labels.a'], ['5', 'node.id']],
  ['resources', ['{}'], ['5', '{ limit: {} }']],
  ['resources.limits', ['{ cpus: "0.5", memory: 64M, pids: 5 }'], ['{ cpu: 1 }']],
  ['resources.limits.cpus', ['1', '"0.5"'], ['x', '-1']],
  ['resources.limits.memory', ['64M'], ['x'], ['1m }, reservations: { memory: 2m']],
  ['resources.limits.pids', ['5'], ['-1']],
  ['resources.reservations', ['{ cpus: 0.1, memory: 1m }'], ['{ pids: 5 }']],
  ['resources.reservations.cpus', ['0.1'], ['few']],
  ['resources.reservations.memory', ['1m'], ['some']],
  [
    'resources.reservations.generic_resources',
    ['[]'],
    ['5', '[{ kind: gpu }]'],
    ['[{ discrete_resource_spec: { kind: gpu, value: 2 } }]'],
  ],
  [
    'resources.reservations.generic_resources[].discrete_resource_spec',
    [],
    ['5', '{ name: a }'],
    ['{ kind: ssd, value: "1" }'],
  ],
  ['resources.reservations.generic_resources[].discrete_resource_spec.kind', [], ['5'], ['ssd']],
  ['resources.reservations.generic_resources[].discrete_resource_spec.value', [], ['many', '-1'], ['2']],
  ['resources.reservations.devices', ['[]'], ['5', '[{ driver: a }]'], ['[{ capabilities: [gpu] }]']],
  ['restart_policy', ['{}'], ['always', '{ conditions: any }']],
  ['restart_policy.condition', ['none', 'on-failure', 'any'], ['always']],
  ['restart_policy.delay', ['1s'], ['5']],
  ['restart_policy.max_attempts', ['3'], ['-1']],
  ['restart_policy.window', ['1m'], ['long']],
  ['update_config', ['{}'], ['5', '{ parallel: 1 }']],
  ['update_config.failure_action', ['continue', 'rollback', 'pause'], ['stop']],
  ['rollback_config', ['{}'], ['5', '{ parallel: 1 }']],
  ['rollback_config.failure_action', ['continue', 'pause'], ['rollback']],
  ...below('update_config', policy),
  ...below('rollback_config', policy),
  ...below('resources.reservations.devices[]', deviceRequest),
];

const volumes: readonly Row[] = [
  ['type', ['volume', 'tmpfs', 'bind, source: /s'], ['other', 'bind'], ['npipe', 'cluster', 'image']],
  ['source', ['data', '/s, type: bind'], ['none', '5'], ['./s, type: bind', 'data, type: tmpfs']],
  ['target', ['/other'], ['other', '5']],
  ['read_only', ['true'], ['mostly']],
  ['consistency', ['consistent', 'cached', 'delegated'], ['other']],
  ['bind', ['{}', '{ propagation: shared }'], ['5']],
  ['bind.create_host_path', ['false'], ['5']],
  ['bind.propagation', ['rslave'], ['other']],
  ['bind.recursive', ['enabled', 'disabled'], ['other'], ['writable', 'readonly']],
  ['bind.selinux', ['z', 'Z'], ['y']],
  ['volume', ['{}', '{ nocopy: true }'], ['5', '{ copy: true }']],
  ['volume.nocopy', ['true'], ['5']],
  ['volume.subpath', ['a/b'], ['/a', 'a/../b']],
  ['volume.labels', ['{}'], ['5'], ['{ a: b }', '[a=b]']],
  ['tmpfs', ['{}', '{ size: 1m }'], ['5', '{ sizes: 1m }']],
  ['tmpfs.size', ['1m', '1024'], ['much']],
  ['tmpfs.mode', ['0700', '"0700"'], ['rw']],
  ['image', [], ['5', '{ path: a }'], ['{ subpath: a }']],
  ['image.subpath', [], ['/a', '5'], ['a/b']],
];

const networks: readonly Row[] = [
  ['aliases', ['[a, b.c]'], ['a', '["a b"]']],
  ['ipv4_address', [], ['here', '5', '"2001:3984:3989::10"'], ['172.16.238.10']],
  ['ipv6_address', [], ['here'], ['"2001:3984:3989::10"']],
  ['link_local_ips', ['[]'], ['57.123.22.11', '[here]'], ['[57.123.22.11]']],
  ['mac_address', [], ['here'], ['02:42:ac:11:65:43']],
  ['driver_opts', ['{}'], ['5', '{ a: [] }'], ['{ a: b, c: 1 }']],
  ['interface_name', ['eth7'], ['5', '"a b"', 'lo', 'sixteen-letters0']],
  ['priority', ['1000'], ['high']],
  ['gw_priority', ['1', '"1"'], ['high']],
];

const ports: readonly Row[] = [
  ['target', ['80', '"80"'], ['0', '70000', 'http']],
  ['published', ['"8080"', '8080', '"8000-8010"'], ['http', '70000']],
  ['protocol', ['tcp', 'UDP', 'SCTP'], ['icmp']],
  ['mode', ['ingress', 'host'], ['other']],
  ['name', ['web'], ['5']],
  ['app_protocol', ['http'], ['5']],
  ['host_ip', ['127.0.0.1', '"::"'], ['here', '127.0.1'], ['"::1"']],
];

/** Rows below a path. */
function below(path: string, rows: readonly Row[]): Row[] {
  return rows.map(([name, ...rest]) => [`${path}.${name}`, ...rest]);
}

/** Rows of which nothing runs. */
function refusedAll(rows: readonly Row[]): Row[] {
  return rows.map(([name, right, wrong, refused = []]) => [name, [], wrong, [...right, ...refused]]);
}

const privileged: Row = ['privileged', ['false'], ['much'], ['true']];

export const rowsWithin: readonly Row[] = [
  ...below('build', build),
  ...below('deploy', deploy),
  ...below('volumes[]', volumes),
  ...below('networks.*', networks),
  ...below('ports[]', ports),
  ...below('blkio_config', throttles),
  ['blkio_config.weight', [], ['5', '1001', 'heavy'], ['10', '"300"']],
  ['blkio_config.weight_device', ['[]'], ['5', '[{ path: /dev/sda }]'], ['[{ path: /dev/sda, weight: 10 }]']],
  ['blkio_config.weight_device[].path', [], ['5'], ['/dev/sda']],
  ['blkio_config.weight_device[].weight', [], ['5'], ['400']],
  ['credential_spec.config', [], ['5'], ['a']],
  ['credential_spec.file', [], ['5'], ['a.json']],
  ['credential_spec.registry', [], ['5'], ['a']],
  ...['secrets', 'configs'].flatMap((kind): Row[] => [
    [`${kind}[].source`, [kind === 'secrets' ? 'pw' : 'page'], ['none', '5']],
    [`${kind}[].target`, ['/etc/it', 'it'], ['5']],
    [`${kind}[].uid`, ['"103"', '103'], ['me']],
    [`${kind}[].gid`, ['"103"'], ['me']],
    [`${kind}[].mode`, ['0440', '"0440"'], ['rw', '99999']],
  ]),
  [
    'depends_on.*.condition',
    ['service_started', 'service_healthy', 'service_completed_successfully'],
    ['ready'],
  ],
  ['depends_on.*.required', ['false'], ['5']],
  ['depends_on.*.restart', ['false'], ['5'], ['true']],
  ['develop.watch', ['[]', '[{ path: ., action: restart }]'], ['5', '[{ path: . }]', '[{ action: sync }]']],
  ['develop.watch[].path', ['./src'], ['""', '5']],
  [
    'develop.watch[].action',
    ['rebuild', 'restart', 'sync, target: /a', 'sync+exec, target: /a'],
    ['sync', 'copy'],
  ],
  ['develop.watch[].target', ['/a'], ['5']],
  ['develop.watch[].ignore', ['a/', '[a/, b/]'], ['5']],
  ['develop.watch[].include', ['a/', '[a/]'], ['{}']],
  ['develop.watch[].initial_sync', ['true'], ['5']],
  ['develop.watch[].exec', ['{ command: a }'], ['a', '{ user: root }']],
  ...below('develop.watch[].exec', [...hook, ['privileged', ['true'], ['much']]]),
  ['devices[].source', ['/dev/a'], ['a', '5'], ['vendor.com/class=name']],
  ['devices[].target', ['/dev/b'], ['b']],
  ['devices[].permissions', ['r', 'rwm'], ['x', 'rr']],
  ['env_file[].path', ['a.env'], ['none.env', '5']],
  ['env_file[].required', ['true', 'false'], ['5']],
  ['env_file[].format', ['raw'], ['json']],
  ['extends.service', ['db'], ['none', '5']],
  ['extends.file', ['other.yaml'], ['none.yaml', '5']],
  ...below('gpus[]', deviceRequest),
  ['healthcheck.test', ['x', '[CMD, a]', '[CMD-SHELL, a]', '[NONE]'], ['[RUN, a]', '5']],
  ['healthcheck.interval', ['1s', '1m30s'], ['10', '5x']],
  ['healthcheck.timeout', ['1s'], ['5x']],
  ['healthcheck.start_period', ['1s'], ['5']],
  ['healthcheck.start_interval', ['1s', '1s, start_period: 5s'], ['5']],
  ['healthcheck.retries', ['3', '"3"'], ['-1']],
  ['healthcheck.disable', ['true', 'false', 'true, test: a'], ['5']],
  ['logging.driver', ['json-file', 'local'], ['5'], ['syslog', 'none']],
  ['logging.options', ['{ max-size: 1m, max-file: 3 }', '{}'], ['5', '{ a: [] }'], ['{ tag: x }']],
  ['logging.options.max-size', ['1m', '1024'], ['{}'], ['much']],
  ['logging.options.max-file', ['3', '"3"'], ['[]'], ['0', '100']],
  ['models.*.endpoint_var', [], ['5'], ['A']],
  ['models.*.model_var', [], ['5'], ['A']],
  ...below('pre_start[]', refusedAll([...hook, ['privileged', ['true'], ['much']]])),
  ['pre_start[].image', [], ['5'], ['migrate:1']],
  ['pre_start[].per_replica', [], ['5'], ['true']],
  ...below('post_start[]', [...hook, privileged]),
  ...below('pre_stop[]', [...hook, privileged]),
  ['provider.type', [], ['5'], ['awesome']],
  ['provider.options', [], ['5', '{ a: {} }'], ['{ a: b, c: [1, d], e: true }']],
  ['ulimits.*.soft', ['1'], ['few']],
  ['ulimits.*.hard', ['2', '-1'], ['few'], ['0']],
];
