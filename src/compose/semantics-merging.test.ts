import { describe, expect, it } from 'vitest';
import { expectAttributes, faultsOf, load } from './fixtures.ts';
import type { CanonicalModel } from './model.ts';

/** How several files become one application, fact by fact. */

/** The model of several files, the later over the earlier. */
async function merged(...texts: string[]): Promise<CanonicalModel> {
  const files = texts.map((content, index) => ({ content, name: `${index}.yaml` }));
  return (await load('', { files, disk: environmentFiles })).canonical;
}

const environmentFiles = { '/app/a.env': 'A=a', '/app/b.env': 'A=b', '/app/l': 'l=file', '/app/m': 'l=more' };

const rest = `
networks: { front: , back: }
volumes: { data: , other: }
secrets: { s: { environment: A }, t: { environment: A } }
configs: { c: { content: x }, d: { content: y } }
`;

async function both(below: string, above: string) {
  const base = `services: { web: { image: nginx, ${below} }, db: { image: a }, cache: { image: b } }\n${rest}`;
  const model = await load('', {
    files: [{ content: base }, { content: `services: { web: { ${above} } }` }],
    environment: { A: 'outside' },
    disk: environmentFiles,
  });
  return model.canonical.services['web'];
}

describe('a later file', () => {
  it.each<[string, string, string, object]>([
    ['replaces a plain value', 'user: a', 'user: b', { user: 'b' }],
    [
      'keeps what is there where it says nothing',
      'user: a, tty: true',
      'user: , tty: ',
      { user: 'a', tty: true },
    ],
    [
      'joins maps',
      'deploy: { replicas: 2 }',
      'deploy: { mode: replicated }',
      { deploy: { replicas: 2, mode: 'replicated' } },
    ],
    ['joins lists', 'group_add: [a]', 'group_add: [b]', { group_add: ['a', 'b'] }],
    ['replaces command whole', 'command: [a, b]', 'command: [c]', { command: ['c'] }],
    ['replaces entrypoint whole', 'entrypoint: [a, b]', 'entrypoint: c', { entrypoint: ['c'] }],
    ['clears command with nothing', 'command: [a]', 'command: ', { command: undefined }],
    [
      'replaces the test of a healthcheck, and joins the rest',
      'healthcheck: { test: [CMD, a], retries: 2 }',
      'healthcheck: { test: b, interval: 1s }',
      { healthcheck: { test: ['CMD-SHELL', 'b'], retries: 2, interval: '1s' } },
    ],
    [
      'clears the test of a healthcheck with nothing',
      'healthcheck: { test: [CMD, a], retries: 2 }',
      'healthcheck: { test: }',
      { healthcheck: { test: null, retries: 2 } },
    ],
    [
      'disables a healthcheck that has a test',
      'healthcheck: { test: a }',
      'healthcheck: { disable: true }',
      { healthcheck: { test: ['CMD-SHELL', 'a'], disable: true } },
    ],
    [
      'replaces a ulimit whole, and joins the others',
      'ulimits: { nofile: { soft: 1, hard: 2 }, core: 5 }',
      'ulimits: { nofile: 9 }',
      { ulimits: { nofile: 9, core: 5 } },
    ],
    [
      'joins the options of logging with the same driver',
      'logging: { driver: json-file, options: { max-size: 1m } }',
      'logging: { driver: json-file, options: { max-file: 2 } }',
      { logging: { options: { 'max-size': '1m', 'max-file': '2' } } },
    ],
    [
      'joins the options of logging without a driver',
      'logging: { driver: local, options: { max-size: 1m } }',
      'logging: { options: { max-file: 2 } }',
      { logging: { driver: 'local', options: { 'max-size': '1m', 'max-file': '2' } } },
    ],
    [
      'joins environment by name, however it is written',
      'environment: [A=1, B=1]',
      'environment: { B: 2, C: 3 }',
      { environment: { A: '1', B: '2', C: '3' } },
    ],
    [
      'takes a name without a value from outside',
      'environment: { A: 1 }',
      'environment: [A]',
      { environment: { A: 'outside' } },
    ],
    [
      'takes a name with nothing from outside, too',
      'environment: { A: 1 }',
      'environment: { A: }',
      { environment: { A: 'outside' } },
    ],
    [
      'joins labels by name',
      'labels: { a: 1, b: 1 }',
      'labels: [b=2, c]',
      { labels: { a: '1', b: '2', c: '' } },
    ],
    ['joins annotations by name', 'annotations: { a: 1 }', 'annotations: [a=2]', { annotations: { a: '2' } }],
    [
      'joins sysctls by name',
      'sysctls: { net.core.somaxconn: 1 }',
      'sysctls: [net.core.somaxconn=2]',
      { sysctls: { 'net.core.somaxconn': '2' } },
    ],
    [
      'joins the labels of deploy by name',
      'deploy: { labels: [a=1] }',
      'deploy: { labels: { a: 2 } }',
      { deploy: { labels: { a: '2' } } },
    ],
    [
      'joins depends_on by service',
      'depends_on: [db]',
      'depends_on: { cache: { condition: service_healthy } }',
      {
        depends_on: {
          db: { condition: 'service_started', required: true },
          cache: { condition: 'service_healthy', required: true },
        },
      },
    ],
    [
      'says the condition anew when it names a service in a list',
      'depends_on: { db: { condition: service_healthy } }',
      'depends_on: [db]',
      { depends_on: { db: { condition: 'service_started' } } },
    ],
    [
      'joins networks by name',
      'networks: [front]',
      'networks: { front: { aliases: [a] }, back: }',
      { networks: { front: { aliases: ['a'] }, back: null } },
    ],
    [
      'keeps what is said of a network when it names it only',
      'networks: { front: { aliases: [a] } }',
      'networks: [front]',
      { networks: { front: { aliases: ['a'] } } },
    ],
    [
      'replaces the volume at the same target, in place',
      'volumes: ["data:/a", "data:/b:ro"]',
      'volumes: ["other:/a:ro"]',
      { volumes: [{ source: 'other', target: '/a', read_only: true }, { target: '/b' }] },
    ],
    [
      'tells /x and /run/secrets/x apart as targets of volumes',
      'volumes: ["data:/x"]',
      'volumes: ["other:/run/secrets/x"]',
      { volumes: [{ target: '/x' }, { target: '/run/secrets/x' }] },
    ],
    [
      'replaces the device at the same target',
      'devices: ["/dev/a:/dev/x"]',
      'devices: ["/dev/b:/dev/x:r"]',
      { devices: [{ source: '/dev/b', target: '/dev/x', permissions: 'r' }] },
    ],
    [
      'replaces the config at the same target, where / is the default',
      'configs: [c]',
      'configs: [{ source: d, target: /c }]',
      { configs: [{ source: 'd', target: '/c' }] },
    ],
    [
      'replaces the secret at the same target, where /run/secrets is the default',
      'secrets: [s]',
      'secrets: [{ source: t, target: /run/secrets/s }]',
      { secrets: [{ source: 't', target: '/run/secrets/s' }] },
    ],
    [
      'replaces the port that is published the same',
      'ports: ["80:8080"]',
      'ports: [{ target: 8080, published: "80", mode: host }]',
      { ports: [{ mode: 'host' }] },
    ],
    [
      'adds a port with another protocol',
      'ports: ["80:80"]',
      'ports: ["80:80/udp"]',
      { ports: [{ protocol: 'tcp' }, { protocol: 'udp' }] },
    ],
    [
      'replaces one port of a range',
      'ports: ["80-81:80-81"]',
      'ports: [{ target: 81, published: "81", mode: host }]',
      {
        ports: [
          { target: 80, mode: 'ingress' },
          { target: 81, mode: 'host' },
        ],
      },
    ],
    [
      'has its environment files read last',
      'env_file: [a.env]',
      'env_file: [b.env]',
      { environment: { A: 'b' } },
    ],
    [
      'says an environment file anew in its place',
      'env_file: [b.env, a.env]',
      'env_file: [{ path: b.env, required: false }]',
      { environment: { A: 'a' } },
    ],
    ['has its label files read last', 'label_file: l', 'label_file: m', { labels: { l: 'more' } }],
    ['repeats nothing in dns', 'dns: 9.9.9.9', 'dns: [9.9.9.9, 1.1.1.1]', { dns: ['9.9.9.9', '1.1.1.1'] }],
    [
      'repeats nothing in dns_search and dns_opt',
      'dns_search: a.org, dns_opt: ["ndots:1"]',
      'dns_search: [a.org], dns_opt: ["ndots:1"]',
      { dns_search: ['a.org'], dns_opt: ['ndots:1'] },
    ],
    [
      'says the options of a tmpfs anew',
      'tmpfs: ["/a:size=1m", /b]',
      'tmpfs: "/a:size=2m"',
      { tmpfs: ['/a:size=2m', '/b'] },
    ],
    [
      'takes away a plain value with an empty one',
      'hostname: a, user: b',
      'hostname: "", user: ""',
      { hostname: undefined, user: undefined },
    ],
    [
      'repeats nothing in tmpfs and expose',
      'tmpfs: /a, expose: [1]',
      'tmpfs: [/a, /b], expose: ["1", "2"]',
      { tmpfs: ['/a', '/b'], expose: ['1', '2'] },
    ],
    [
      'repeats nothing in cap_add and cap_drop',
      'cap_add: [NET_ADMIN], cap_drop: [ALL]',
      'cap_add: [NET_ADMIN], cap_drop: [ALL]',
      { cap_add: ['NET_ADMIN'], cap_drop: ['ALL'] },
    ],
    [
      'repeats nothing in extra_hosts that is the same',
      'extra_hosts: ["a:1.1.1.1"]',
      'extra_hosts: { a: [1.1.1.1, 2.2.2.2] }',
      { extra_hosts: ['a=1.1.1.1', 'a=2.2.2.2'] },
    ],
    [
      'repeats nothing in the aliases of a network',
      'networks: { front: { aliases: [a] } }',
      'networks: { front: { aliases: [a, b] } }',
      { networks: { front: { aliases: ['a', 'b'] } } },
    ],
    [
      'repeats nothing in security_opt, group_add and device_cgroup_rules',
      'security_opt: ["no-new-privileges:true"], group_add: [a], device_cgroup_rules: ["c 1:3 r"]',
      'security_opt: ["no-new-privileges:true"], group_add: [a], device_cgroup_rules: ["c 1:3 r"]',
      { security_opt: ['no-new-privileges:true'], group_add: ['a'], device_cgroup_rules: ['c 1:3 r'] },
    ],
    [
      'adds placement constraints',
      'deploy: { placement: { constraints: [node.role == worker] } }',
      'deploy: { placement: { constraints: [node.id != x] } }',
      { deploy: { placement: { constraints: ['node.role == worker', 'node.id != x'] } } },
    ],
    [
      'adds hooks',
      'post_start: [{ command: a }]',
      'post_start: [{ command: b }]',
      { post_start: [{ command: ['a'] }, { command: ['b'] }] },
    ],
  ])('%s', async (_, below, above, expected) => {
    expectAttributes(await both(below, above), expected);
  });

  it.each<[string, string, string, object]>([
    [
      'replaces such a volume whole',
      'volumes: ["data:/b:ro"]',
      'volumes: ["data:/b"]',
      { volumes: [{ type: 'volume', source: 'data', target: '/b', volume: {} }] },
    ],
    [
      'replaces logging whole when the drivers differ',
      'logging: { driver: json-file, options: { max-size: 1m } }',
      'logging: { driver: local }',
      { logging: { driver: 'local' } },
    ],
    [
      'takes a key of a map away with !reset',
      'environment: { B: 1, C: 2 }',
      'environment: { B: !reset null }',
      { environment: { C: '2' } },
    ],
    [
      'takes an attribute away with !reset',
      'ports: ["80:80"], user: me',
      'ports: !reset [], user: !reset null',
      {},
    ],
    [
      'replaces without merging with !override',
      'labels: { a: 1 }, cap_add: [ALL]',
      'labels: !override { b: 2 }, cap_add: !override [CHOWN]',
      { labels: { b: '2' }, cap_add: ['CHOWN'] },
    ],
  ])('%s, and leaves nothing behind', async (_, below, above, expected) => {
    const { image, networks, ...rest } = (await both(below, above))!;
    expect([image, networks]).toEqual(['nginx', { default: null }]);
    expect(rest).toEqual(expected);
  });

  it('joins the subnet of a network by field, and replaces it by another one', async () => {
    const base =
      'services: { web: { image: a, networks: [n] } }\nnetworks: { n: { ipam: { config: [{ subnet: 10.1.0.0/16 }] } } }';
    const over = (subnet: string) =>
      `networks: { n: { ipam: { config: [{ subnet: ${subnet}, x-note: here }] } } }`;
    const configOf = async (subnet: string) =>
      (await merged(base, over(subnet))).networks!['n']!.ipam!.config;
    expect(await configOf('10.1.0.0/16')).toEqual([{ subnet: '10.1.0.0/16', 'x-note': 'here' }]);
    expect(await configOf('10.2.0.0/16')).toEqual([{ subnet: '10.2.0.0/16', 'x-note': 'here' }]);
  });

  it('cannot make a list or plain value of a map, nor a map of a list', async () => {
    const messages = async (below: string, above: string) => {
      const files = [
        { content: `services: { web: { image: a, ${below} } }` },
        { content: `services: { web: { ${above} } }` },
      ];
      return (await faultsOf('', { files })).map(({ message }) => message);
    };
    expect(await messages('deploy: { replicas: 1 }', 'deploy: [a]')).toContain(
      'a list cannot override a map',
    );
    expect(await messages('healthcheck: { retries: 1 }', 'healthcheck: a')).toContain(
      'a plain value cannot override a map',
    );
    expect(await messages('cap_add: [ALL]', 'cap_add: { a: b }')).toContain('a map cannot override a list');
  });

  it('can make anything of a plain value', async () => {
    const model = await merged('services: { web: { image: a } }\nx-note: 5', 'x-note: { a: [1] }');
    expect(model['x-note']).toEqual({ a: [1] });
  });

  it('takes a whole service or resource away with !reset', async () => {
    const model = await merged(
      'services: { web: { image: a, volumes: ["other:/d"] }, db: { image: b } }\nvolumes: { data: , other: }',
      'services: { db: !reset null }\nvolumes: { data: !reset {} }',
    );
    expect(Object.keys(model.services)).toEqual(['web']);
    expect(Object.keys(model.volumes!)).toEqual(['other']);
  });
});

describe('a single file', () => {
  it.each<[string, string, object]>([
    ['may repeat a port', 'ports: ["80:80", "80:80"]', { ports: [{ published: '80' }] }],
    [
      'may say a port of a range anew',
      'ports: ["80-81:80-81", { target: 81, published: "81", mode: host }]',
      { ports: [{ mode: 'ingress' }, { mode: 'host' }] },
    ],
    [
      'may repeat a volume',
      'volumes: ["data:/d", "data:/d"]',
      { volumes: [{ source: 'data', target: '/d' }] },
    ],
    ['may repeat an environment file', 'env_file: [a.env, b.env, a.env]', { environment: { A: 'b' } }],
    ['may repeat a capability', 'cap_add: [ALL, ALL]', { cap_add: ['ALL'] }],
    ['may repeat words of a command', 'command: [a, a]', { command: ['a', 'a'] }],
  ])('%s', async (_, attribute, expected) => {
    expect(await both(attribute, '')).toMatchObject(expected);
  });
});
