import { describe, expect, it } from 'vitest';
import { expectAttributes, faultsOf, load, summary } from './fixtures.ts';
import type { CanonicalService } from './model.ts';

/** The service `web` of the files, each laid over the one before. */
async function merged(...files: string[]): Promise<CanonicalService> {
  const given = files.map((text, index) => ({ content: text, name: `${index}.yaml` }));
  const { canonical } = await load('', { files: given, projectDirectory: '/app' });
  return canonical.services['web']!;
}

const rest =
  'networks: { front: , back: }\nvolumes: { data: , other: }\nconfigs: { c: { content: x }, d: { content: y } }';

function base(attribute: string): string {
  return `services: { web: { image: nginx, ${attribute} } }\n${rest}`;
}

function over(attribute: string): string {
  return `services: { web: { ${attribute} } }`;
}

describe('a later file over an earlier one:', () => {
  it.each<[string, string, object]>([
    ['user: a', 'user: b', { user: 'b' }],
    ['user: a', 'hostname: b', { user: 'a', hostname: 'b' }],
    ['user: a', 'user: ', { user: 'a' }],
    ['command: [a, b]', 'command: c', { command: ['c'] }],
    ['command: [a, b]', 'command: ', { command: undefined }],
    ['entrypoint: [a, b]', 'entrypoint: [c]', { entrypoint: ['c'] }],
    [
      'healthcheck: { test: a, retries: 2 }',
      'healthcheck: { test: [CMD, b] }',
      { healthcheck: { test: ['CMD', 'b'], retries: 2 } },
    ],
    ['environment: { A: 1, B: 1 }', 'environment: [B=2, C=3]', { environment: { A: '1', B: '2', C: '3' } }],
    ['labels: [a=1]', 'labels: { b: 2 }', { labels: { a: '1', b: '2' } }],
    [
      'ports: ["80:80", "81:81"]',
      'ports: ["80:80", "82:82"]',
      { ports: [{ published: '80' }, { published: '81' }, { published: '82' }] },
    ],
    [
      'ports: ["8000-8001:8000-8001"]',
      'ports: [{ target: 8001, published: 8001, mode: host }]',
      {
        ports: [
          { target: 8000, mode: 'ingress' },
          { target: 8001, mode: 'host' },
        ],
      },
    ],
    [
      'volumes: ["data:/d", "data:/e"]',
      'volumes: ["other:/d:ro"]',
      { volumes: [{ source: 'other', target: '/d', read_only: true }, { target: '/e' }] },
    ],
    ['configs: [c]', 'configs: [{ source: d, target: /c }]', { configs: [{ source: 'd', target: '/c' }] }],
    ['depends_on: []', 'depends_on: {}', { depends_on: undefined }],
    [
      'networks: [front]',
      'networks: { back: { aliases: [a] }, front: { aliases: [b] } }',
      { networks: { front: { aliases: ['b'] }, back: { aliases: ['a'] } } },
    ],
    [
      'deploy: { replicas: 2, placement: { constraints: [node.role == worker] } }',
      'deploy: { placement: { constraints: [node.role == worker, node.id != x] } }',
      { deploy: { replicas: 2, placement: { constraints: ['node.role == worker', 'node.id != x'] } } },
    ],
    ['profiles: []', 'profiles: []', { profiles: undefined }],
    ['ports: ["80:80"], user: a', 'ports: !reset [], user: !reset null', { image: 'nginx' }],
    ['ports: ["80:80"]', 'ports: !override ["81:81"]', { ports: [{ published: '81' }] }],
    ['environment: { A: 1, B: 2 }', 'environment: { A: !reset null }', { environment: { B: '2' } }],
    [
      'deploy: { replicas: 2, labels: { a: b } }',
      'deploy: !override { replicas: 3 }',
      { deploy: { replicas: 3 } },
    ],
  ])('%s + %s', async (below, above, expected) => {
    const service = await merged(base(below), over(above));
    expectAttributes(service, expected);
    if (above.includes('!reset') && above.includes('ports')) {
      expect(service).not.toHaveProperty('ports');
      expect(service).not.toHaveProperty('user');
    }
    if (below.startsWith('ports: ["80:80", "81')) expect(service.ports).toHaveLength(3);
    if (above.includes('A: !reset')) expect(service.environment).toEqual({ B: '2' });
    if (above.includes('!override { replicas')) expect(service.deploy).toEqual({ replicas: 3 });
  });

  it('documents of one file are laid over one another in the same way', async () => {
    expect(await merged(`${base('user: a')}\n---\n${over('user: b')}`)).toMatchObject({ user: 'b' });
  });

  it('refuses a value of another kind, at the place that says it', async () => {
    const files = [
      { content: base('deploy: { replicas: 2 }'), name: 'a.yaml' },
      { content: over('deploy: [a]'), name: 'b.yaml' },
    ];
    const faults = await faultsOf('', { files });
    expect(faults[0]).toMatchObject({ file: 'b.yaml', line: 1, column: 28, path: 'services.web.deploy' });
    expect(faults[0]?.message).toBe('a list cannot override a map');
  });

  it('keeps the place in the file that said what is wrong', async () => {
    const files = [
      { content: base('user: 1'), name: 'a.yaml' },
      { content: over('hostname: "-"'), name: 'b.yaml' },
    ];
    const places = (await faultsOf('', { files })).map(({ file, path }) => `${file} ${path}`);
    expect(places).toEqual(['a.yaml services.web.user', 'b.yaml services.web.hostname']);
  });

  it('lets a fragment be incomplete as long as the whole is not', async () => {
    const below =
      'services: { db: { image: x }, web: { image: y, depends_on: { db: { condition: service_healthy } } } }';
    const above = 'services: { web: { depends_on: { db: { required: false } } } }';
    expect((await merged(below, above)).depends_on).toEqual({
      db: { condition: 'service_healthy', required: false },
    });
  });
});

describe('extends', () => {
  const disk = {
    '/app/common/base.yaml': `
services:
  base: { extends: { file: ../root.yaml, service: root }, env_file: base.env, environment: { B: base }, ports: ["80:80"] }
networks: { hidden: }
`,
    '/app/common/base.env': 'FROM_FILE=1',
    '/app/root.yaml': 'services: { root: { image: "root:${TAG:-1}", user: root, environment: { B: root } } }',
    '/app/loop.yaml': 'services: { a: { extends: { file: compose.yaml, service: web } } }',
    '/app/nets.yaml': 'services: { a: { image: a, networks: [lost] } }\nnetworks: { lost: }',
  };

  it('lays a service over one of the same file', async () => {
    const { canonical } = await load(
      'services: { base: { image: a, environment: { A: 1 } }, web: { extends: base, environment: { B: 2 } } }',
    );
    expect(canonical.services['web']).toMatchObject({ image: 'a', environment: { A: '1', B: '2' } });
    expect(canonical.services['web']).not.toHaveProperty('extends');
  });

  it('follows files, and reads the paths in them relative to them', async () => {
    const text =
      'services: { web: { extends: { file: common/base.yaml, service: base }, environment: { C: web } } }';
    const { canonical } = await load(text, { disk, environment: { TAG: '2' } });
    expect(canonical.services['web']).toMatchObject({
      image: 'root:2',
      user: 'root',
      environment: { B: 'base', C: 'web', FROM_FILE: '1' },
      ports: [{ published: '80' }],
    });
    expect(canonical.networks).not.toHaveProperty('hidden');
  });

  it('lets !reset and !override reach the base, and what lies below in other files', async () => {
    const files = [
      {
        content:
          'services: { web: { image: a, user: me, ports: ["1:1"] }, base: { image: b, ports: ["2:2"] } }',
        name: 'a',
      },
      {
        content:
          'services: { base: { ports: ["3:3"] }, web: { extends: base, user: !reset null, ports: !override ["4:4"] } }',
        name: 'b',
      },
    ];
    const { canonical } = await load('', { files });
    expect(canonical.services['web']).not.toHaveProperty('user');
    expect(canonical.services['web']!.ports).toMatchObject([{ published: '4' }]);
    expect(canonical.services['web']!.ports).toHaveLength(1);
  });

  it.each<[string, string]>([
    [
      'services: { web: { extends: { file: none.yaml, service: a } } }',
      'cannot read /app/none.yaml: there is no such file',
    ],
    [
      'services: { web: { extends: { file: root.yaml, service: nope } } }',
      'root.yaml has no service called nope',
    ],
    [
      'services: { web: { image: a, extends: { file: loop.yaml, service: a } } }',
      'the services extend each other: compose.yaml:web -> loop.yaml:a -> compose.yaml:web',
    ],
    [
      'services: { web: { extends: b }, b: { image: b, extends: web } }',
      'the services extend each other: compose.yaml:web -> compose.yaml:b -> compose.yaml:web',
    ],
    ['services: { web: { extends: { file: nets.yaml, service: a } } }', 'no network is called lost'],
  ])('refuses %s', async (text, message) => {
    expect((await faultsOf(text, { disk })).map((fault) => fault.message)).toContain(message);
  });
});

describe('include', () => {
  const disk = {
    '/app/db/compose.yaml':
      'services: { db: { image: "db:${TAG:-1}", env_file: db.env, environment: { SEEN: }, volumes: ["data:/data"] } }\nvolumes: { data: }',
    '/app/db/.env': 'TAG=7\nSEEN=inside',
    '/app/db/db.env': 'A=1',
    '/app/other.yaml': 'services: { db: { image: other } }',
    '/app/over.yaml': 'services: { db: { user: me } }',
    '/app/a.yaml': 'include: [b.yaml]',
    '/app/b.yaml': 'include: [a.yaml]',
    '/app/empty.env': '',
  };
  const web = 'services: { web: { image: web, depends_on: [db] } }';

  it('builds what an included project builds in its own directory', async () => {
    const built = { '/app/db/build.yaml': 'services: { db: { image: a, build: { dockerfile: D } } }' };
    const given = { disk: { ...disk, ...built } };
    const contextOf = async (include: string) =>
      (await load(`include: [${include}]\n${web}`, given)).canonical.services['db']!.build!.context;
    expect(await contextOf('db/build.yaml')).toBe('/app/db');
    expect(await contextOf('{ path: db/build.yaml, project_directory: other }')).toBe('/app/other');
  });

  it('brings in a project with its own directory and environment, which stays inside', async () => {
    const { canonical } = await load(`include: [db/compose.yaml]\n${web}`, { disk });
    expect(canonical.services['db']).toMatchObject({
      image: 'db:7',
      environment: { A: '1', SEEN: 'inside' },
    });
    expect(canonical.volumes).toMatchObject({ data: { name: 'app_data' } });
    expect(canonical).not.toHaveProperty('include');
  });

  it('lets the outer environment win', async () => {
    const { canonical } = await load(`include: [db/compose.yaml]\n${web}`, {
      disk,
      environment: { TAG: '9' },
    });
    expect(canonical.services['db']!.image).toBe('db:9');
  });

  it('takes several paths as one project, another directory, and other environment files', async () => {
    const { canonical } = await load(
      `include: [{ path: [db/compose.yaml, over.yaml], project_directory: db, env_file: empty.env }]\n${web}`,
      { disk },
    );
    expect(canonical.services['db']).toMatchObject({ image: 'db:1', user: 'me' });
  });

  it('warns of two that say different things of one resource, and lays the first over the second', async () => {
    const { canonical, warnings } = await load(`include: [over.yaml, other.yaml]\n${web}`, { disk });
    expect(canonical.services['db']).toMatchObject({ image: 'other', user: 'me' });
    expect(warnings.map(({ file, path, message }) => `${file} ${path} ${message}`)).toEqual([
      'other.yaml services.db over.yaml is included before and has another db under services, which lies over this one',
    ]);
  });

  it('is laid under the file that includes it', async () => {
    const { canonical } = await load('include: [other.yaml]\nservices: { db: { user: me } }', { disk });
    expect(canonical.services['db']).toMatchObject({ image: 'other', user: 'me' });
  });

  it.each<[string, RegExp]>([
    [
      'include: [a.yaml]\nservices: { web: { image: a } }',
      /include each other: compose.yaml -> a.yaml -> b.yaml -> a.yaml/u,
    ],
    ['include: [none.yaml]\nservices: { web: { image: a } }', /cannot read \/app\/none.yaml/u],
    ['include: a.yaml\nservices: { web: { image: a } }', /"a.yaml" cannot be used here/u],
    [
      'include:\n  - { path: db/compose.yaml, env_file: none.env }\nservices: { web: { image: a } }',
      /^2:\d+ .*cannot read \/app\/none.env/u,
    ],
    ['include: [{ file: a.yaml }]\nservices: { web: { image: a } }', /this key is not known/u],
  ])('refuses %j', async (text, message) => {
    expect(summary(await faultsOf(text, { disk })).join('\n')).toMatch(message);
  });
});

describe('profiles', () => {
  const text = `services:
  web: { image: web, depends_on: { debug: { condition: service_started, required: false } } }
  debug: { image: debug, profiles: [debug, dev] }
`;
  const keys = async (...given: Parameters<typeof load>) =>
    (await load(...given)).application.services.map(({ key }) => key);

  it('leave out services unless they are active', async () => {
    expect(await keys(text)).toEqual(['web']);
    expect(await keys(text, { profiles: ['dev'] })).toEqual(['debug', 'web']);
    expect(await keys(text, { profiles: ['*'] })).toEqual(['debug', 'web']);
    expect(await keys(text, { environment: { COMPOSE_PROFILES: 'x, debug' } })).toEqual(['debug', 'web']);
  });

  it('are asked for when a service needs one that is left out', async () => {
    const faults = await faultsOf(
      'services: { web: { image: a, depends_on: [b] }, b: { image: b, profiles: [p] } }',
    );
    expect(summary(faults)).toEqual([
      '1:43 services.web.depends_on.b: b is only there with the profile p, which is not active; activate it with --profile p, or say required: false',
    ]);
  });
});
