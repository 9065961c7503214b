import { describe, expect, it } from 'vitest';
import type { Attribute } from './attribute.ts';
import { faultsOf, load, summary } from './fixtures.ts';
import { composeSchema } from './schema.ts';
import { deploy } from './schema-deploy.ts';
import { service } from './schema-service.ts';
import { settingRows } from './setting-rows.ts';

/** One row for every attribute of the language: written rightly it loads, and written wrongly it is refused at its place. */

type Row = readonly [attribute: string, right: readonly string[], wrong: readonly string[]];

const surroundings = `
networks: { front: , back: , fixed: { ipam: { config: [{ subnet: 10.3.0.0/16 }] } } }
volumes: { data: , cache: }
secrets: { pw: { file: pw.txt } }
configs: { page: { content: hello } }
`;
const disk = {
  '/app/pw.txt': 's3cret',
  '/app/a.env': 'A=1',
  '/app/other.yaml': 'services: { base: { image: b } }',
};

const serviceRows: readonly Row[] = [
  ['annotations', ['{ a: b }', '[a=b]'], ['5', '[{ a: b }]']],
  [
    'blkio_config',
    ['{ weight: 10 }', '{ device_write_bps: [{ path: /dev/sda, rate: 1mb }] }', '{}'],
    [
      '5',
      '{ weight: 1001 }',
      '{ weight_device: [{ weight: 10 }] }',
      '{ device_read_iops: [{ path: /a, rate: x }] }',
    ],
  ],
  ['cap_add', ['[NET_ADMIN]', '[ALL]'], ['[NOTHING]', '5']],
  ['cap_drop', ['[ALL]'], ['[5]']],
  ['cgroup', ['host', 'private'], ['other']],
  ['cgroup_parent', ['/apps', 'apps'], ['../up']],
  ['command', ['', 'run "a b"', '[a, b]', '[]', "''"], ['{ a: b }', '[[a]]', 'a | b', '"a \\""']],
  [
    'configs',
    ['[page]', '[{ source: page, target: /p, uid: "1", gid: "2", mode: 0400 }]'],
    ['[none]', 'page', '[{ target: /p }]', '[{ source: page, mode: rw }]'],
  ],
  ['container_name', ['web-1', 'My.Web_1'], ['w', '-web', '"a b"', '5', 'web\n    scale: 2']],
  ['cpu_period', ['50000', '50ms'], ['-1', 'long']],
  ['cpu_quota', ['50000', '-1'], ['-2', 'much']],
  ['cpu_rt_period', ['1000000'], ['often']],
  ['cpu_rt_runtime', ['950000', '95ms'], ['often']],
  ['cpu_shares', ['512', '"512"'], ['-1', 'all']],
  ['cpus', ['0.5', '"1.5"', '0'], ['-1', 'two']],
  ['cpuset', ['"0"', '"0-2,5"'], ['a-b']],
  [
    'depends_on',
    ['[db]', '{ db: { condition: service_healthy, required: false } }'],
    ['[none]', '{ db: {} }', '{ db: { condition: ready } }', '[web]', 'db'],
  ],
  ['deploy', ['{}', '{ replicas: 2 }'], ['5', '{ replica: 2 }']],
  ['device_cgroup_rules', ['["c 1:3 rwm"]'], ['[c]']],
  [
    'devices',
    [
      '[/dev/fuse]',
      '["/dev/a:/dev/b:r"]',
      '[vendor.com/class=name]',
      '[{ source: /dev/a, target: /dev/b, permissions: rw }]',
    ],
    ['[dev]', '[{ target: /dev/b }]'],
  ],
  ['dns', ['9.9.9.9', '[9.9.9.9, 1.1.1.1]'], ['here', '[5]']],
  ['dns_opt', ['["ndots:2"]'], ['["a b"]']],
  ['dns_search', ['example.org', '[a.org, .]'], ['"a b"']],
  ['domainname', ['example.org'], ['"a b"']],
  ['entrypoint', ['', '/bin/sh -c x', '[/bin/sh]', '[]'], ['5', '{ a: b }']],
  [
    'env_file',
    [
      'a.env',
      '[a.env]',
      '[{ path: a.env, required: true, format: raw }]',
      '[{ path: none.env, required: false }]',
    ],
    ['none.env', '[{ file: a.env }]', '[{ path: a.env, format: json }]', '[{ path: a.env, x-a: 1 }]'],
  ],
  [
    'environment',
    ['{ A: b, B: 1, C: true, D: }', '[A=b, B, C=]'],
    ['A=b', '[{ A: b }]', '{ A: [b] }', '["=b"]'],
  ],
  ['expose', ['[80, "81-82/udp"]'], ['[a]', '80']],
  [
    'extends',
    ['db', '{ service: base, file: other.yaml }'],
    ['none', '{ file: other.yaml }', '{ service: base, file: none.yaml }', '{ service: db, x-a: 1 }'],
  ],
  [
    'extra_hosts',
    ['["a=1.2.3.4", "b:1.2.3.4"]', '{ a: 1.2.3.4, b: ["[::1]"], c: host-gateway }'],
    ['[a]', '{ a: nowhere }'],
  ],
  [
    'gpus',
    [
      'all',
      '[{ count: 1 }]',
      '[{ driver: nvidia, device_ids: ["0"] }]',
      '[{ count: all, capabilities: [gpu] }]',
    ],
    ['none', '5', '[{ count: few }]', '[{ driver: other }]', '[{ count: 1, device_ids: [a] }]'],
  ],
  ['group_add', ['[video, 44]'], ['[{}]']],
  [
    'healthcheck',
    [
      '{ test: x, interval: 1s, timeout: 1s, retries: 3, start_period: 1s, start_interval: 1s }',
      '{ test: [NONE] }',
      '{ disable: true }',
      '{ test: [CMD, a] }',
    ],
    ['{ test: [RUN, a] }', '{ interval: 10 }', '{ retries: -1 }', '{ timeout: 5x }', 'x'],
  ],
  ['hostname', ['web-1', 'a.b'], ['"a b"', '-a']],
  ['image', ['nginx', 'localhost:5000/a/b:1@sha256:' + 'a'.repeat(64)], ['"A B"', '5', 'a:b:c', '""']],
  ['init', ['true', 'yes'], ['maybe', '5']],
  ['ipc', ['host', 'private', 'shareable'], ['"service:db"', 'other']],
  ['label_file', ['a.env', '[a.env]'], ['none.env', '{}']],
  ['labels', ['{ a: b, c: , d: 1 }', '[a=b, c]'], ['a=b', '{ a: {} }']],
  [
    'links',
    ['[db]', '["db:store", db]', '[]'],
    ['[none]', '[web]', 'db', '["db:a b"]', '[db]\n    networks: [front]', '[db]\n    network_mode: none'],
  ],
  [
    'logging',
    ['{ driver: json-file, options: { max-size: 1m, max-file: 3 } }'],
    ['{ driver: syslog }', '{ options: { colour: red } }'],
  ],
  ['mem_limit', ['64m', '1073741824', '1.5 GiB'], ['much', '-1']],
  ['mem_reservation', ['64m'], ['some']],
  ['mem_swappiness', ['0', '100'], ['101', '-1']],
  ['memswap_limit', ['-1', '1g\n    mem_limit: 512m'], ['some']],
  [
    'network_mode',
    ['none', 'host', '"service:db"'],
    ['"service:none"', '"container:db"', 'bridge', 'host\n    networks: [front]'],
  ],
  [
    'networks',
    [
      '[front]',
      '{ front: , back: { aliases: [a] } }',
      '{}',
      '[]',
      '{ fixed: { ipv4_address: 10.3.0.9, priority: 1, gw_priority: "2", interface_name: lan0 } }',
      '{ front: { interface_name: a }, back: { interface_name: b } }',
    ],
    [
      '[none]',
      '5',
      '{ front: { aliases: ["a b"] } }',
      'front',
      '{ front: { ipv4_address: 10.3.0.9 } }',
      '{ fixed: { ipv4_address: here } }',
      '{ fixed: { ipv4_address: 10.4.0.9 } }',
      '{ fixed: { ipv4_address: 10.3.0.9 } }\n    scale: 2',
      '{ front: { interface_name: lo } }',
      '{ front: { interface_name: sixteen-letters0 } }',
      '{ front: { interface_name: a }, back: { interface_name: a } }',
      '{ front: { priority: high } }',
    ],
  ],
  ['oom_kill_disable', ['true'], ['often']],
  ['oom_score_adj', ['-1000', '500'], ['1001', 'high']],
  ['pid', ['host', '"service:db"'], ['private', '"service:none"', '"container:db"']],
  ['pids_limit', ['100', '-1'], ['-2', 'few']],
  ['platform', ['linux/amd64', 'linux'], ['windows', '5']],
  [
    'ports',
    [
      '[80]',
      '["8080:80", "53:53/udp"]',
      '["90-91:80-81"]',
      '["8000-9000:80"]',
      '[{ target: 80, published: "8080", protocol: tcp, mode: host }]',
      '["127.0.0.1:80:80", "192.0.2.1:80:80", "[::]:81:81", "0.0.0.0::82"]',
      '["80:80/sctp", { target: 81, protocol: SCTP, host_ip: 192.0.2.1 }]',
    ],
    [
      '["a"]',
      '["1:2:3:4"]',
      '["80-81:90-92"]',
      '["127.0.1:80:80"]',
      '["80/icmp"]',
      '["[::1]:80:80"]',
      '[{ target: 80, host_ip: here }]',
      '["127.0.0.1:80:80", "80:80"]',
      '[{ published: 80 }]',
      '[{ target: 0 }]',
      '["70000:80"]',
      '80',
    ],
  ],
  [
    'post_start',
    ['[{ command: a b, user: root, privileged: true }]'],
    ['[{ user: root }]', 'a', '[{ command: a, privileged: much }]'],
  ],
  [
    'pre_start',
    ['[{ command: a b }]', '[{ image: tool, per_replica: true }]', '[]'],
    ['[{ user: root }]', 'a', '[a]', '[{ command: a, per_replica: often }]'],
  ],
  ['pre_stop', ['[{ command: [a] }]', '[]'], ['[{}]', '[a]']],
  ['privileged', ['true'], ['much']],
  ['profiles', ['[]'], ['[a b]', 'debug', '["-a"]']],
  [
    'pull_policy',
    ['always', 'never', 'missing', 'if_not_present', 'daily', 'weekly', 'every_12h'],
    ['build', 'sometimes', 'every_'],
  ],
  ['read_only', ['true'], ['partly']],
  [
    'restart',
    ['"no"', 'no', 'always', 'on-failure', 'on-failure:3', 'unless-stopped'],
    ['never', 'on-failure:x', '5'],
  ],
  ['runtime', ['crun', 'io.containerd.runc.v2'], ['/usr/bin/crun', '5', '""']],
  ['scale', ['0', '"3"'], ['-1', 'many', '1.5']],
  [
    'secrets',
    ['[pw]', '[{ source: pw, target: p, uid: 1, gid: 2, mode: "0400" }]'],
    ['[none]', '[{ source: pw, mode: 99999 }]', '[{ source: pw, owner: me }]'],
  ],
  ['security_opt', ['["no-new-privileges:true"]', '[seccomp=unconfined]'], ['[other]', '5']],
  ['shm_size', ['64m', '67108864'], ['some']],
  ['stdin_open', ['true'], ['5']],
  ['stop_grace_period', ['10s', '1m30s', '0s', '1d'], ['10', '-1s', 'soon']],
  ['stop_signal', ['SIGTERM', 'INT', '9', 'RTMIN+3'], ['SIGNONE', '99']],
  ['sysctls', ['{ net.core.somaxconn: 5 }', '[net.core.somaxconn=5]'], ['{ kernel.hostname: a }']],
  ['tmpfs', ['/run', '[/run, "/tmp:size=1m,mode=1777"]'], ['run', '["/run:colour=red"]']],
  ['tty', ['true'], ['5']],
  ['ulimits', ['{ nofile: 5, core: { soft: 1, hard: 2 } }'], ['{ none: 5 }', '{ nofile: { soft: 5 } }']],
  ['user', ['"1000:1000"', 'www-data'], ['{}']],
  ['userns_mode', ['host'], ['other']],
  ['uts', ['host'], ['other']],
  [
    'volumes',
    [
      '["data:/d:ro"]',
      '[/anonymous]',
      '["/srv:/d"]',
      '[{ type: tmpfs, target: /t, tmpfs: { size: 1m, mode: 0700 } }]',
      '[{ type: volume, source: data, target: /d, volume: { nocopy: true } }]',
      '[{ type: bind, source: /srv, target: /d, read_only: true, bind: { create_host_path: false } }]',
      '[{ type: image, source: "tools:1", target: /d, image: { subpath: bin } }]',
    ],
    [
      '["none:/d"]',
      '["./here:/d"]',
      '["a:b:c:d"]',
      '[":/x"]',
      '["v:/d"]',
      '["data:relative"]',
      '[{ type: npipe, target: /d }]',
      '[{ type: image, target: /d }]',
      '[{ target: /d }]',
      '["data:/d", "cache:/d"]',
      '[{ type: bind, target: /d }]',
    ],
  ],
  ['volumes_from', ['[db]', '["db:ro"]'], ['db', '[none]', '["container:db"]', '["db:x"]']],
  ['working_dir', ['/srv'], ['srv', '5']],
];

const deployRows: readonly Row[] = [
  ['mode', ['replicated', 'global'], ['replicated-job', 'other']],
  ['replicas', ['0', '"5"'], ['-1', '1.5', 'many', '10001']],
  ['endpoint_mode', ['vip', 'dnsrr'], ['other']],
  ['labels', ['{ a: b }', '[a=b]'], ['5']],
  [
    'placement',
    ['{ constraints: [node.role == worker], max_replicas_per_node: 1 }'],
    ['{ constraints: [nonsense] }', '{ constraints: node.role==worker }', '{ max_replicas_per_node: -1 }'],
  ],
  [
    'resources',
    [
      '{ limits: { cpus: "0.5", memory: 64M, pids: 5 }, reservations: { cpus: 0.1, memory: 1m } }',
      '{ reservations: { devices: [{ capabilities: [gpu], count: 1 }] } }',
      '{ reservations: { devices: [{ capabilities: [any], driver: cdi, device_ids: [a.b/c=d] }] } }',
    ],
    [
      '{ reservations: { devices: [{ count: 1 }] } }',
      '{ reservations: { devices: [{ capabilities: [tpu] }] } }',
      '{ limits: { cpus: x } }',
      '{ limits: { memory: x } }',
      '{ reservations: { pids: 5 } }',
      '{ limits: { memory: 1m }, reservations: { memory: 2m } }',
    ],
  ],
  [
    'restart_policy',
    ['{ condition: on-failure, delay: 1s, max_attempts: 3, window: 1m }'],
    ['{ condition: always }', '{ delay: 5 }', '{ max_attempts: -1 }'],
  ],
  [
    'update_config',
    [
      '{ parallelism: 2, delay: 1s, failure_action: rollback, monitor: 1s, max_failure_ratio: 0.1, order: start-first }',
    ],
    ['{ failure_action: stop }', '{ order: both }', '{ max_failure_ratio: 2 }'],
  ],
  [
    'rollback_config',
    ['{ parallelism: 0, failure_action: continue }'],
    ['{ failure_action: rollback }', '{ monitor: long }'],
  ],
];

const topRows: readonly Row[] = [
  ['version', ['"3.8"', '3'], ['[]']],
  ['name', ['shop', 'My Shop'], ['5', '"***"']],
  [
    'include',
    ['[other.yaml]', '[{ path: other.yaml, project_directory: ., env_file: a.env }]'],
    ['other.yaml', '[none.yaml]', '[{ file: other.yaml }]'],
  ],
  [
    'networks',
    [
      '{ n: }',
      '{ n: { name: a, driver: overlay, internal: true, labels: [a=b], ipam: { config: [{ subnet: 10.1.0.0/16 }] }, enable_ipv4: true, enable_ipv6: false, external: false } }',
      '{ n: { external: true, name: a } }',
      '{ n: { external: { name: a } } }',
      '{ n: { external: true, internal: true } }',
      '{ n: { ipam: { config: [{ subnet: 10.1.0.0/16, ip_range: 10.1.5.0/24, gateway: 10.1.0.1, aux_addresses: { a: 10.1.0.2 } }] } } }',
      '{ n: { driver_opts: { com.docker.network.driver.mtu: 1400 } } }',
    ],
    [
      '[n]',
      '{ n: { ipam: { config: [{ subnet: 10.1.0.0/16, ip_range: 10.2.5.0/24 }] } } }',
      '{ n: { ipam: { config: [{ ip_range: 10.2.5.0/24 }] } } }',
      '{ n: { ipam: { config: [{ subnet: 10.1.0.0/16, gateway: 10.2.0.1 }] } } }',
      '{ n: { ipam: { config: [{ subnet: 10.1.0.0/16, aux_addresses: { a: here } }] } } }',
      '{ n: { driver_opts: { com.docker.network.driver.mtu: 12 } } }',
      '{ n: { driver_opts: { colour: red } } }',
      '{ n: { driver: macvlan } }',
      '{ n: { ipam: { config: [{ subnet: here }] } } }',
      '{ n: { enable_ipv6: true } }',
      '{ n: { external: maybe } }',
      '{ n: { external: { driver: a } } }',
      '{ n: { name: a, external: { name: b } } }',
      '{ n: { external: true, name: host } }',
      '{ "a b": }',
    ],
  ],
  [
    'volumes',
    [
      '{ v: }',
      '{ v: { name: a, driver: local, labels: { a: b }, external: false } }',
      '{ v: { external: true, name: a, x-a: 1 } }',
      '{ v: { external: { name: a } } }',
      '{ v: { driver_opts: { type: tmpfs, o: "size=1m", device: tmpfs } } }',
      '{ v: { driver_opts: { type: none, o: "ro,bind", device: /srv } } }',
      '{ v: { driver_opts: {} } }',
      '{ a: { external: true, name: x }, b: { external: true, name: x } }',
    ],
    [
      '[v]',
      '{ v: { driver: nfs } }',
      '{ v: { external: true, driver: local } }',
      '{ v: { external: true, labels: [a] } }',
      '{ v: { driver_opts: { type: tmpfs } } }',
      '{ v: { driver_opts: { device: /dev/sdb1 } } }',
      '{ v: { driver_opts: { o: bind, device: ./data } } }',
      '{ v: { driver_opts: { o: bind, device: "" } } }',
      '{ v: { driver_opts: { type: -t, device: x } } }',
      '{ v: { driver_opts: { type: nfs, device: ":/x", size: 1g } } }',
      '{ v: { driver_opts: { type: nfs, device: ":/x", addr: nas } } }',
      '{ a: { external: true, name: x }, b: { name: x } }',
    ],
  ],
  [
    'secrets',
    [
      '{ s: { file: pw.txt, name: other, labels: { a: b } } }',
      '{ s: { environment: FROM } }',
      '{ s: { external: true } }',
      '{ s: { external: true, file: none.txt } }',
    ],
    [
      '{ s: }',
      '{ s: {} }',
      '{ s: { file: none.txt } }',
      '{ s: { environment: NONE } }',
      '{ s: { file: pw.txt, environment: FROM } }',
      '{ s: { content: x } }',
      '{ s: { external: false } }',
      '{ s: { external: true, template_driver: golang } }',
    ],
  ],
  [
    'configs',
    ['{ c: { content: x } }', '{ c: { file: pw.txt } }', '{ c: { environment: FROM } }'],
    ['{ c: {} }', '{ c: { content: x, file: pw.txt } }', '{ c: { content: [] } }'],
  ],
  [
    'services',
    ['{ a: { image: a } }', '{ a-b_c.d: { image: a } }'],
    ['[]', '{}', '{ a: 5 }', '{ "-a": { image: a } }', '{ a: {} }', '{ 5: { image: a } }'],
  ],
  ['x-any', ['[1, { a: b }]'], []],
];

const given = { disk, environment: { FROM: 'outside' } };

function ofService(attribute: string, value: string): string {
  const image = attribute === 'image' ? '' : 'image: nginx\n    ';
  return `services:\n  db: { image: redis }\n  web:\n    ${image}${attribute}: ${value}\n${surroundings}`;
}

const ofDeploy = (attribute: string, value: string) => ofService('deploy', `{ ${attribute}: ${value} }`);

function ofTop(attribute: string, value: string): string {
  return attribute === 'services'
    ? `services: ${value}\n`
    : `services: { one: { image: a } }\n${attribute}: ${value}\n`;
}

const pairs = (rows: readonly Row[], side: 1 | 2) =>
  rows.flatMap((row) => row[side].map((value) => [row[0], value] as const));

describe.each([
  ['service', serviceRows, ofService, service],
  ['deploy', deployRows, ofDeploy, deploy],
  ['the top level', topRows, ofTop, composeSchema],
] as const)('an attribute of %s', (_, rows, write, schema) => {
  it.each(pairs(rows, 1))('%s: %s loads', async (attribute, value) => {
    await load(write(attribute, value), given);
  });

  it.each(pairs(rows, 2))('%s: %s is refused, with its place', async (attribute, value) => {
    const faults = await faultsOf(write(attribute, value), given);
    const text = write(attribute, value).split('\n');
    const line = 1 + text.findIndex((one) => one.includes(`${attribute}: ${value}`.split('\n')[0]!));
    expect(faults.map((fault) => fault.line)).toContain(line);
  });

  it('has a row in this table, or is refused for a reason', () => {
    const elsewhere = settingRows.map(([written]) => written.split(':')[0]);
    const known = new Set([...rows.map(([attribute]) => attribute), ...elsewhere]);
    const missing = Object.entries(schema.properties ?? {})
      .filter(([name, { notYet }]) => notYet === undefined && !known.has(name))
      .map(([name]) => name);
    expect(missing).toEqual([]);
  });
});

/** Every attribute that is refused, by a path in which `[]` is an item and `*` an entry. */
function refusedPaths(attribute: Attribute, path: readonly string[]): [string[], string][] {
  const own = Object.entries(attribute.properties ?? {}).flatMap(([key, child]): [string[], string][] =>
    child.notYet === undefined ? refusedPaths(child, [...path, key]) : [[[...path, key], child.notYet]],
  );
  const items = attribute.items === undefined ? [] : refusedPaths(attribute.items, [...path, '[]']);
  const { additionalProperties: entry } = attribute;
  return [...own, ...items, ...(typeof entry === 'object' ? refusedPaths(entry, [...path, '*']) : [])];
}

function nested(path: readonly string[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return {};
  return key === '[]' ? [nested(rest)] : { [key === '*' ? 'web' : key]: nested(rest) };
}

it.each(refusedPaths(composeSchema, []))('%j is refused with its reason', async (path, reason) => {
  const shown = path
    .map((key) => (key === '*' ? 'web' : key))
    .join('.')
    .replaceAll('.[]', '[0]');
  const lines = summary(await faultsOf(JSON.stringify(nested(path)), given));
  expect(lines.join('\n')).toContain(`${shown}: not supported yet; ${reason}`);
});
