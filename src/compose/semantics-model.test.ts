import { describe, expect, it } from 'vitest';
import { faultsOf, load, summary } from './fixtures.ts';
import { parseShortMount } from './mounts.ts';
import { parseShortPort } from './ports.ts';

/** Paths, ports, volumes, names and profiles, fact by fact. */

type Given = Parameters<typeof load>[1];

const of = (attribute: string) => `services: { web: { image: nginx, ${attribute} } }`;

async function faults(text: string, given: Given = {}): Promise<string> {
  return summary(await faultsOf(text, given)).join('\n');
}

describe('paths', () => {
  const web = async (text: string, given: Given) => (await load(text, given)).canonical.services['web'];
  const at = (directory: string) => ({
    [`${directory}/a.env`]: `AT=${directory}`,
    [`${directory}/labels`]: `at=${directory}`,
  });
  const text = of('env_file: a.env, label_file: labels');

  it.each<[string, Given, string]>([
    [
      'the directory of the first file',
      {
        files: [{ path: 'one/a.yaml' }, { path: 'two/b.yaml' }],
        disk: { '/app/one/a.yaml': text, '/app/two/b.yaml': of(''), ...at('/app/one'), ...at('/app/two') },
      },
      '/app/one',
    ],
    [
      'that of the first file also for those in other directories',
      {
        files: [{ path: 'one/a.yaml' }, { path: 'two/b.yaml' }],
        disk: { '/app/one/a.yaml': of(''), '/app/two/b.yaml': text, ...at('/app/one'), ...at('/app/two') },
      },
      '/app/one',
    ],
    [
      'the project directory, when one is said',
      { projectDirectory: '/srv', disk: { ...at('/srv'), ...at('/app') } },
      '/srv',
    ],
    ['the working directory for standard input', { files: [{ content: text }], disk: at('/app') }, '/app'],
  ])('are relative to %s', async (_, given, directory) => {
    expect(await web(text, given)).toMatchObject({
      environment: { AT: directory },
      labels: { at: directory },
    });
  });

  it('that begin with ~ are in the home directory', async () => {
    const given = { environment: { HOME: '/home/me' }, disk: { '/home/me/a.env': 'A=home' } };
    expect(await web(of('env_file: ~/a.env'), given)).toMatchObject({ environment: { A: 'home' } });
  });

  it('of secrets and configs are relative to the same directory', async () => {
    const files = 'secrets: { s: { file: ./s.txt } }\nconfigs: { c: { file: ../c.txt } }';
    const { canonical } = await load(`${of('secrets: [s], configs: [c]')}\n${files}`, {
      disk: { '/app/s.txt': 's', '/c.txt': 'c' },
    });
    expect(canonical).toMatchObject({
      secrets: { s: { file: '/app/s.txt' } },
      configs: { c: { file: '/c.txt' } },
    });
  });

  it.each<[string, string[], string, string[]]>([
    [
      'compose.yaml before all others',
      ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'],
      'compose.yaml',
      ['compose.yaml is read, and compose.yml, docker-compose.yml, docker-compose.yaml beside it is not'],
    ],
    [
      'compose.yml before docker-compose.yml',
      ['compose.yml', 'docker-compose.yml'],
      'compose.yml',
      ['compose.yml is read, and docker-compose.yml beside it is not'],
    ],
    [
      'docker-compose.yml before docker-compose.yaml',
      ['docker-compose.yml', 'docker-compose.yaml'],
      'docker-compose.yml',
      ['docker-compose.yml is read, and docker-compose.yaml beside it is not'],
    ],
    ['an override file over it', ['compose.yaml', 'compose.override.yml'], 'compose.override.yml', []],
    [
      'an override file of the other name, too',
      ['compose.yaml', 'docker-compose.override.yaml'],
      'docker-compose.override.yaml',
      [],
    ],
    [
      'one override file only',
      ['compose.yaml', 'compose.override.yml', 'compose.override.yaml'],
      'compose.override.yml',
      ['compose.override.yml is read, and compose.override.yaml beside it is not'],
    ],
  ])('without -f: %s', async (_, names, user, messages) => {
    const disk = Object.fromEntries(names.map((name) => [`/srv/${name}`, of(`user: "${name}"`)]));
    const { canonical, warnings } = await load('', { files: [], disk, workingDirectory: '/srv/deep/down' });
    expect(canonical.services['web']!.user).toBe(user);
    expect(canonical.name).toBe('srv');
    expect(warnings.map(({ message }) => message)).toEqual(messages);
  });
});

describe('a port in short form', () => {
  const port = (target: number, published?: string, more: object = {}) => ({
    target,
    protocol: 'tcp',
    mode: 'ingress',
    ...(published === undefined ? {} : { published }),
    ...more,
  });

  it.each<[string, string, object[]]>([
    ['is published on any port', '3000', [port(3000)]],
    ['is published on a port', '80:8080', [port(8080, '80')]],
    ['has a protocol, in any case', '53:53/UDP', [port(53, '53', { protocol: 'udp' })]],
    ['is a range of ports', '3000-3002', [port(3000), port(3001), port(3002)]],
    ['is a range on a range, in pairs', '9090-9091:80-81', [port(80, '9090'), port(81, '9091')]],
    ['is one on any port of a range', '8000-9000:80', [port(80, '8000-9000')]],
    ['is on any port of an address', '127.0.0.1::80', [port(80, undefined, { host_ip: '127.0.0.1' })]],
    ['is on a port of an address', '127.0.0.1:90:80', [port(80, '90', { host_ip: '127.0.0.1' })]],
    [
      'is on an address of version 6 in brackets',
      '[::1]:6001:6001',
      [port(6001, '6001', { host_ip: '::1' })],
    ],
    ['is on an address of version 6 without any', '::1:6000:6000', [port(6000, '6000', { host_ip: '::1' })]],
    ['is the last there is', '0:65535', [port(65535, '0')]],
  ])('%s', (_, text, ports) => {
    expect(parseShortPort(text)).toEqual({ ports });
  });

  it.each<[string, string, RegExp]>([
    [
      'has ranges that differ in length',
      '8000-8002:80-81',
      /the ranges differ in length: 3 on the hosts, 2 in the container/u,
    ],
    ['has no address', '127.0.1:80:80', /"127.0.1" is not an IP address/u],
    ['has no protocol', '80/icmp', /"icmp" is not a protocol/u],
    ['has no port in the container', '80:', /"" is not a port in the container/u],
    ['is too large', '80:65536', /"65536" is not a port in the container/u],
    ['is too large on the hosts', '65536:80', /is not a port/u],
    ['runs backwards', '81-80', /is not a port in the container/u],
    ['is no number', 'http', /is not a port in the container/u],
  ])('is refused when it %s', (_, text, fault) => {
    expect(parseShortPort(text)).toMatchObject({ fault: expect.stringMatching(fault) as string });
  });

  it('may be a number in the file, and is published as text', async () => {
    const { canonical } = await load(of('ports: [80, "81:82", { target: 83, published: 84 }]'));
    expect(canonical.services['web']!.ports).toMatchObject([
      { target: 80 },
      { published: '81' },
      { published: '84' },
    ]);
  });

  it('is refused beside network_mode: host', async () => {
    expect(await faults(of('network_mode: host, ports: ["80:80"]'))).toMatch(
      /with network_mode: host no port can be published/u,
    );
  });
});

describe('a volume in short form', () => {
  const bind = {};

  it.each<[string, string, object]>([
    ['is named', 'data:/d', { type: 'volume', source: 'data', target: '/d', volume: {} }],
    [
      'is named also with a slash in it',
      'foo/bar:/d',
      { type: 'volume', source: 'foo/bar', target: '/d', volume: {} },
    ],
    ['has no name when there is a target only', '/d', { type: 'volume', target: '/d' }],
    ['is bound when it begins with a slash', '/srv:/d', { type: 'bind', source: '/srv', target: '/d', bind }],
    ['is bound when it begins with a dot', './srv:/d', { type: 'bind', source: './srv', target: '/d', bind }],
    ['is bound when it begins with ~', '~/srv:/d', { type: 'bind', source: '~/srv', target: '/d', bind }],
    [
      'is read only',
      'data:/d:ro',
      { type: 'volume', source: 'data', target: '/d', read_only: true, volume: {} },
    ],
    ['is written to', 'data:/d:rw', { type: 'volume', source: 'data', target: '/d', volume: {} }],
    [
      'is not filled from the image',
      'data:/d:nocopy,ro',
      { type: 'volume', source: 'data', target: '/d', read_only: true, volume: { nocopy: true } },
    ],
    [
      'has a propagation',
      '/srv:/d:rslave',
      { type: 'bind', source: '/srv', target: '/d', bind: { ...bind, propagation: 'rslave' } },
    ],
    [
      'has a label',
      '/srv:/d:Z',
      { type: 'bind', source: '/srv', target: '/d', bind: { ...bind, selinux: 'Z' } },
    ],
    [
      'has a target without detours',
      'data:/a/./b/../d/',
      { type: 'volume', source: 'data', target: '/a/d', volume: {} },
    ],
    [
      'may say how consistent it is, which means nothing',
      '/srv:/d:cached',
      { type: 'bind', source: '/srv', target: '/d', bind },
    ],
  ])('%s', (_, text, mount) => {
    expect(parseShortMount(text)).toEqual({ mount, ignored: [] });
  });

  it.each<[string, string, RegExp]>([
    ['has an empty part', ':/x', /has an empty part/u],
    ['has too many parts', 'a:/b:ro:c', /has too many colons/u],
    ['has a name of one letter, which is a drive elsewhere', 'v:/d', /"v" is read as a Windows drive/u],
    ['has an option that nobody knows', 'data:/d:or', /"or" is not an option of a volume/u],
  ])('is refused when it %s', (_, text, fault) => {
    expect(parseShortMount(text)).toMatchObject({ fault: expect.stringMatching(fault) as string });
  });

  it('may have an option of a bind mount on a named volume, which is warned of', async () => {
    const { warnings } = await load(`${of('volumes: ["data:/d:z"]')}\nvolumes: { data: }`);
    expect(summary(warnings)).toEqual([
      '1:44 services.web.volumes[0]: "z" means nothing to a mount of type volume, and is left out',
    ]);
  });

  it('is refused when the volume is not defined', async () => {
    expect(await faults(of('volumes: ["foo/bar:/d"]'))).toMatch(/no volume is called foo\/bar/u);
  });

  it('is refused when something else is mounted there', async () => {
    const lines = await faults(
      `${of('volumes: ["data:/d", "data:/e"], tmpfs: [/d], secrets: [{ source: s, target: /e }]')}\nvolumes: { data: }\nsecrets: { s: { environment: A } }`,
      { environment: { A: '1' } },
    );
    expect(lines).toMatch(/tmpfs\[0\]: \/d is taken already, by a volume/u);
    expect(lines).toMatch(/secrets\[0\]: \/e is taken already, by a volume/u);
  });
});

describe('names', () => {
  const nameOf = async (text: string, given: Given = {}) => (await load(text, given)).application.name;
  const named = (name: string) => `name: ${name}\n${of('')}`;

  it.each<[string, string, Given, string]>([
    [
      'as asked, before all',
      named('file'),
      { projectName: 'asked', environment: { COMPOSE_PROJECT_NAME: 'env' } },
      'asked',
    ],
    [
      'from the environment, before the file',
      named('file'),
      { environment: { COMPOSE_PROJECT_NAME: 'env' } },
      'env',
    ],
    [
      'from .env, before the file',
      named('file'),
      { disk: { '/app/.env': 'COMPOSE_PROJECT_NAME=dotenv' } },
      'dotenv',
    ],
    [
      'from the last file that has one',
      '',
      { files: [{ content: named('one') }, { content: named('two') }, { content: of('') }] },
      'two',
    ],
    ['from the last document that has one', `${named('one')}\n---\n${named('two')}`, {}, 'two'],
    ['with variables', named('"${A}-b"'), { environment: { A: 'a' } }, 'a-b'],
    ['in lower case, without what names cannot have', named('"_My Shop!"'), {}, 'myshop'],
    ['from the directory, in the same way', of(''), { projectDirectory: '/srv/My.Shop' }, 'myshop'],
    ['from the directory when the file leaves it empty', named('""'), {}, 'app'],
  ])('of the project: %s', async (_, text, given, name) => {
    expect(await nameOf(text, given)).toBe(name);
  });

  it('of the project are refused when asked for as they cannot be, or empty', async () => {
    expect(await faults(of(''), { projectName: 'My' })).toMatch(/"My" is not a project name/u);
    expect(await faults(of(''), { environment: { COMPOSE_PROJECT_NAME: '-a' } })).toMatch(
      /"-a" \(from COMPOSE_PROJECT_NAME\) is not a project name/u,
    );
    expect(await faults(of(''), { projectDirectory: '/' })).toMatch(/the folder gives no project name/u);
    expect(await faults(named('"***"'))).toMatch(/the project name is empty/u);
    expect(await faults(named('"${NONE:-}"'))).toMatch(/the project name is empty/u);
  });

  it('of the project are a variable', async () => {
    const { canonical } = await load(`name: shop\n${of('user: "$COMPOSE_PROJECT_NAME"')}`);
    expect(canonical.services['web']!.user).toBe('shop');
  });

  it('of resources begin with the project’s, unless they are said', async () => {
    const { canonical } = await load(
      `name: shop\n${of('networks: [n, m], volumes: ["vol:/d"], configs: [c]')}\nnetworks: { n: , m: { name: own } }\nvolumes: { vol: }\nconfigs: { c: { content: x } }`,
    );
    expect(canonical).toMatchObject({
      networks: { n: { name: 'shop_n' }, m: { name: 'own' } },
      volumes: { vol: { name: 'shop_vol' } },
      configs: { c: { name: 'shop_c' } },
    });
  });

  it('of keys that nobody knows are refused, and version is warned of', async () => {
    expect(await faults(of('imago: x'))).toMatch(
      /services.web.imago: this key is not known; did you mean image\?/u,
    );
    const { warnings } = await load(`version: "3.8"\n${of('')}`);
    expect(summary(warnings)).toEqual(['1:10 version: version is obsolete and means nothing; leave it out']);
  });

  it('x-… is an extension where it can be one, and a name under services and networks', async () => {
    const { canonical } = await load(
      'x-a: 1\nservices: { x-web: { image: a, x-b: 2, networks: [x-net] } }\nnetworks: { x-net: }',
    );
    expect(canonical).toMatchObject({
      'x-a': 1,
      services: { 'x-web': { 'x-b': 2, networks: { 'x-net': null } } },
    });
  });
});

describe('profiles', () => {
  const text = 'services: { web: { image: a }, debug: { image: b, profiles: [one, two] } }';
  const keys = async (given: Given, content = text) =>
    Object.keys((await load(content, given)).canonical.services);

  it.each<[string, Given, string[]]>([
    ['leave out a service of none that is active', {}, ['web']],
    ['keep one of any that is', { profiles: ['two'] }, ['debug', 'web']],
    [
      'may be in the environment, with commas',
      { environment: { COMPOSE_PROFILES: 'x, one' } },
      ['debug', 'web'],
    ],
    [
      'that are asked for stand instead of those in the environment',
      { profiles: ['x'], environment: { COMPOSE_PROFILES: 'one' } },
      ['web'],
    ],
    ['are all active with *', { profiles: ['*'] }, ['debug', 'web']],
  ])('%s', async (_, given, expected) => {
    expect(await keys(given)).toEqual(expected);
  });

  it('of a dependency must be active when it is required', async () => {
    const needing = (more: string) =>
      `services: { web: { image: a, depends_on: { b: { condition: service_started${more} } } }, b: { image: b, profiles: [p] } }`;
    expect(await faults(needing(''))).toMatch(/b is only there with the profile p, which is not active/u);
    expect(await keys({}, needing(', required: false'))).toEqual(['web']);
  });
});

describe('networks and dependencies', () => {
  it('the default network is there when a service uses it', async () => {
    const networksOf = async (text: string) => Object.keys((await load(text)).canonical.networks ?? {});
    expect(await networksOf(of(''))).toEqual(['default']);
    expect(await networksOf(of('networks: {}'))).toEqual(['default']);
    expect(
      await networksOf(`${of('networks: [n]')}\nnetworks: { n: , default: { internal: true } }`),
    ).toEqual(['n']);
    expect(await networksOf(of('network_mode: host'))).toEqual([]);
  });

  it('network_mode and networks are never together', async () => {
    expect(await faults(`${of('network_mode: none, networks: [n]')}\nnetworks: { n: }`)).toMatch(
      /the service joins networks as well/u,
    );
  });

  it('a circle of dependencies is refused', async () => {
    expect(
      await faults('services: { a: { image: a, depends_on: [b] }, b: { image: b, depends_on: [a] } }'),
    ).toMatch(/in a circle: a -> b -> a/u);
  });
});
