import { describe, expect, it } from 'vitest';
import { validateApplication } from '../../manager/api/validate.ts';
import { disk, surroundings } from './attribute-rows.ts';
import { faultsOf, load, summary } from './fixtures.ts';
import { settingRows } from './setting-rows.ts';

const file = (attribute: string) =>
  `name: app\nservices:\n  web:\n    image: nginx\n    ${attribute}\n${surroundings}`;

async function one(attribute: string) {
  const { application, canonical } = await load(file(attribute), { disk });
  return { application, canonical: canonical.services['web']!, spec: application.services[0]! };
}

describe('each setting of a container comes to its canonical form and spec, which the manager takes:', () => {
  it.each(settingRows)('%s', async (attribute, expected, container) => {
    const { application, canonical, spec } = await one(attribute);
    expect(canonical).toMatchObject(expected);
    expect(spec.task.container).toMatchObject(container);
    expect(validateApplication(JSON.parse(JSON.stringify(application)))).toEqual(application);
  });
});

it('what says nothing new leaves the spec as it was, so that nothing rolls', async () => {
  const plain = (await one('labels: {}')).spec;
  for (const nothing of [
    'init: false\n    privileged: false\n    tty: no',
    'cap_add: []\n    sysctls: {}\n    dns: []',
    'cpu_shares: 0\n    cpu_quota: 0\n    shm_size: 0\n    memswap_limit: 0',
    'security_opt: ["no-new-privileges:false", "label:disable"]',
    'pull_policy: missing\n    logging: { driver: json-file }\n    ipc: private',
  ]) {
    expect((await one(nothing)).spec).toEqual(plain);
  }
});

async function constraintsOf(text: string): Promise<string[]> {
  return (await one(text)).spec.task.placement.constraints;
}

it('a platform is a constraint on the node', async () => {
  expect(await constraintsOf('platform: linux/arm64/v8')).toEqual([
    'node.platform.os == linux',
    'node.platform.arch == arm64',
  ]);
  expect(
    await constraintsOf('platform: linux\n    deploy: { placement: { constraints: [node.role == worker] } }'),
  ).toEqual(['node.role == worker', 'node.platform.os == linux']);
});

/** What is written, and parts of what is said of it. */
const wrongRows: [string, string][] = [
  ['cap_add: [NET_ADMN]', 'cap_add[0]: "NET_ADMN" cannot be used here; it must be a Linux capability'],
  [
    'security_opt: [seccomp=./none.json]',
    'security_opt[0]: cannot read /app/none.json: there is no such file',
  ],
  ['security_opt: [seccomp=pw.txt]', 'security_opt[0]: the seccomp profile cannot be used: it is no JSON'],
  ['security_opt: [label=user:me]', 'security_opt[0]: .*nothing is labelled'],
  [
    'security_opt: [seccomp=unconfined, "seccomp:seccomp.json"]',
    'security_opt: it names more than one seccomp profile',
  ],
  ['runtime: a b', 'runtime: .*the name of a runtime'],
  ['blkio_config: { weight: 5 }', 'blkio_config.weight: .*a whole number from 10 to 1000'],
  ['blkio_config: { device_read_bps: [{ path: sda, rate: 1 }] }', 'device_read_bps[0].path: .*absolute path'],
  ['blkio_config: { device_read_iops: [{ path: /dev/a }] }', 'device_read_iops[0].rate: this key is missing'],
  ['blkio_config: { x-a: 1 }', 'blkio_config.x-a: this key is not known'],
  ['sysctls: { kernel.pid_max: 5 }', 'sysctls.kernel.pid_max: .*name here; it must be a kernel setting that'],
  ['ulimits: { files: 5 }', 'ulimits.files: .*it must be a limit such as nofile'],
  ['ulimits: { nofile: { soft: 5 } }', 'ulimits.nofile.hard: this key is missing'],
  ['ulimits: { nofile: { soft: 5, hard: 4 } }', 'ulimits.nofile: the soft limit is above the hard one'],
  ['ulimits: { nofile: { soft: -1, hard: 4 } }', 'the soft limit is above the hard one'],
  ['devices: [vendor/class]', 'devices[0].source: .*or vendor.com/class=name'],
  ['gpus: some', 'gpus: "some" cannot be used here; it must be all, or a list'],
  ['gpus: [{ count: 0 }]', 'gpus[0].count: it asks for no device; write a number of devices, or all'],
  ['gpus: [{ count: 1, device_ids: [a] }]', 'gpus[0].count: it has device_ids as well'],
  ['gpus: [{ driver: cdi }]', 'gpus[0]: the driver cdi wants the names of devices'],
  ['gpus: [{ driver: amd }]', 'gpus[0].driver: .*nvidia or cdi'],
  [
    'deploy: { resources: { reservations: { devices: [{ capabilities: [tpu] }] } } }',
    'devices[0].capabilities: only graphics cards are found by what they can do',
  ],
  [
    'deploy: { resources: { reservations: { devices: [{ capabilities: [x], driver: cdi, device_ids: [a] }] } } }',
    'devices[0].device_ids: the driver cdi wants full names',
  ],
  [
    'deploy: { resources: { reservations: { devices: [{ count: 1 }] } } }',
    'devices[0].capabilities: this key',
  ],
  [
    'devices: ["/dev/a:/dev/b:x"]',
    'devices[0].permissions: "x" cannot be used here; it must be some of r, w and m',
  ],
  ['device_cgroup_rules: [c]', 'device_cgroup_rules[0]: .*a rule such as c 1:3 rwm'],
  ['pid: container:x', 'pid: .*for container:NAME write service: and the name of its service'],
  ['userns_mode: private', 'userns_mode: .*no user namespace of their own'],
  ['uts: host\n    hostname: me', 'hostname: with uts: host the container has the host’s own name'],
  ['cgroup_parent: a/../../b', 'cgroup_parent: .*without ".."'],
  ['cpuset: 0-', 'cpuset: .*CPUs by number'],
  ['cpus: 1\n    cpu_quota: 5000', 'cpu_quota: the limit of cpus says the same in another way'],
  ['memswap_limit: 1m', 'memswap_limit: it limits memory and swap together'],
  ['mem_limit: 2m\n    memswap_limit: 1m', 'memswap_limit: it counts memory as well'],
  ['oom_score_adj: 1001', 'oom_score_adj: 1001 cannot be used here; it must be a whole number from -1000'],
  ['dns: [nowhere]', 'dns[0]: "nowhere" cannot be used here; it must be an IP address'],
  ['dns_search: ["a b"]', 'dns_search[0]: .*a domain such as'],
  ['extra_hosts: [a]', 'extra_hosts[0]: "a" cannot be used here; it must be NAME=ADDRESS'],
  ['extra_hosts: { a: here }', 'extra_hosts[0]: .*NAME=ADDRESS'],
  ['logging: { driver: syslog }', 'logging.driver: .*no other driver is there'],
  [
    'logging: { options: { tag: x } }',
    'logging.options.tag: not supported yet; output has max-size and max-file only',
  ],
  ['network_mode: none\n    networks: [front]', 'network_mode: the service joins networks as well'],
  ['network_mode: host\n    ports: [80]', 'ports: with network_mode: host no port can be published'],
  ['network_mode: host\n    sysctls: [net.core.somaxconn=1]', 'sysctls: with network_mode: host net.*'],
  [
    'volumes: [{ type: volume, source: data, target: /d, volume: { subpath: a/../.. } }]',
    'volumes[0].volume.subpath: .*without ".."',
  ],
  ['post_start: [{ user: a }]', 'post_start[0].command: this key is missing'],
  ['volumes: [{ type: image, target: /d }]', 'volumes[0].source: it is not the name of an image'],
  ['volumes: [{ type: image, source: "A B", target: /d }]', 'volumes[0].source: it is not the name of an'],
  [
    'volumes: [{ type: image, source: a, target: /d, image: { subpath: ../b } }]',
    'volumes[0].image.subpath: .*without ".."',
  ],
  ['volumes: [{ type: volume, target: /d, image: { subpath: b } }]', 'the mount is of type volume'],
  ['pre_start: [{ user: root }]', 'pre_start[0]: it would run the service itself'],
  ['pre_start: [{ command: a, image: "A B" }]', 'pre_start[0].image: "A B" cannot be used here'],
  ['pre_start: [{ command: a, replicas: 2 }]', 'pre_start[0].replicas: this key is not known'],
  ['platform: windows/amd64', 'platform: .*it must be linux/amd64'],
  ['pull_policy: build', 'pull_policy: .*build is not supported yet'],
  ['pull_policy: every_0s', 'pull_policy: .*'],
  ['tmpfs: "/run:bind"', 'tmpfs[0]: '],
  [
    'security_opt: ["no-new-privileges:false", no-new-privileges]',
    'security_opt[0]: it is asked for as well',
  ],
];

describe('a setting that is wrong is refused with what would be right:', () => {
  it.each(wrongRows)('%s', async (attribute, expected) => {
    const said = summary(await faultsOf(file(attribute), { disk })).join('\n');
    const [start = '', ...rest] = expected.split('.*');
    expect(said).toContain(start);
    for (const part of rest) expect(said).toContain(part);
  });
});
