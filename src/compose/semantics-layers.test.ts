import { describe, expect, it } from 'vitest';
import { faultsOf, load, summary } from './fixtures.ts';

/** How included files and extended services become part of an application, fact by fact. */

type Given = Parameters<typeof load>[1];

const disk = {
  '/app/lib/base.yaml': `
include: [none.yaml]
services:
  base: { extends: { file: ../root.yaml, service: root }, env_file: base.env, secrets: [key], networks: [lost] }
  paths: { image: a, label_file: labels, env_file: base.env, depends_on: [db], profiles: [p], volumes: ["lost:/x"] }
networks: { lost: }
secrets: { key: { file: key.txt } }
`,
  '/app/lib/base.env': 'FROM=lib',
  '/app/lib/labels': 'from=lib',
  '/app/root.yaml': 'services: { root: { image: root, healthcheck: { disable: true } } }',
  '/app/key.txt': 'k',
};

describe('extends', () => {
  const services = async (text: string, given: Given = {}) =>
    (await load(text, { disk, ...given })).canonical.services;
  const around = 'networks: { lost: }\nvolumes: { lost: }\nsecrets: { key: { file: key.txt } }';

  it('lays a service over one of the same file, or of another, and so on', async () => {
    const { web } = await services(
      `services: { web: { extends: { file: lib/base.yaml, service: base }, user: me } }\n${around}`,
    );
    expect(web).toMatchObject({
      image: 'root',
      user: 'me',
      environment: { FROM: 'lib' },
      healthcheck: { disable: true },
    });
  });

  it('reads a path of the other file relative to that file', async () => {
    const { web } = await services(
      `services: { db: { image: d }, web: { extends: { file: lib/base.yaml, service: paths }, profiles: !reset [] } }\n${around}`,
    );
    expect(web).toMatchObject({ environment: { FROM: 'lib' }, labels: { from: 'lib' } });
  });

  it('inherits depends_on and profiles', async () => {
    const text = `services: { db: { image: d }, web: { extends: { file: lib/base.yaml, service: paths } } }\n${around}`;
    expect(Object.keys(await services(text))).toEqual(['db']);
    const { web } = await services(text, { profiles: ['p'] });
    expect(web!.depends_on).toEqual({ db: { condition: 'service_started', required: true } });
  });

  it('brings no networks, volumes, secrets or includes of the other file', async () => {
    const lines = summary(
      await faultsOf('services: { web: { extends: { file: lib/base.yaml, service: base } } }', { disk }),
    );
    expect(lines.join('\n')).toMatch(/no network is called lost/u);
    expect(lines.join('\n')).toMatch(/no secret is called key/u);
    expect(lines.join('\n')).not.toContain('none.yaml');
  });

  it('is refused when there is no such service or file, or it comes round', async () => {
    const fault = async (text: string) =>
      (await faultsOf(text, { disk })).map(({ message }) => message).join('\n');
    expect(await fault('services: { web: { image: a, extends: none } }')).toBe(
      'this file has no service called none',
    );
    expect(await fault('services: { web: { image: a, extends: { file: root.yaml, service: none } } }')).toBe(
      'root.yaml has no service called none',
    );
    expect(await fault('services: { a: { image: a, extends: b }, b: { extends: a } }')).toMatch(
      /extend each other: compose.yaml:a -> compose.yaml:b -> compose.yaml:a/u,
    );
  });
});

describe('include', () => {
  const model = async (text: string, given: Given = {}) => (await load(text, given)).canonical;
  const part = `
services:
  db: { image: "db:\${TAG:-none}", environment: [INSIDE], env_file: db.env, secrets: [key], configs: [page] }
secrets: { key: { environment: INSIDE } }
configs: { page: { environment: INSIDE } }
`;
  const parts = {
    '/app/part/compose.yaml': part,
    '/app/part/.env': 'TAG=1\nINSIDE=from .env',
    '/app/part/db.env': 'SEEN=${INSIDE-nothing}',
    '/app/other.env': 'INSIDE=from other.env',
    '/app/up/db.env': 'SEEN=up',
    '/app/more.yaml': 'services: { db: { user: more } }',
  };
  const contentOf = async (text: string) => {
    const { application } = await load(text, { disk: parts });
    return [...application.secrets, ...application.configs].map(({ data }) =>
      Buffer.from(data, 'base64').toString(),
    );
  };

  it('takes variables from .env beside the included file, which nobody else sees', async () => {
    const text =
      'include: [part/compose.yaml]\nservices: { web: { image: "w:${TAG:-none}", environment: [INSIDE] } }';
    const { db, web } = (await model(text, { disk: parts })).services;
    expect(db).toMatchObject({ image: 'db:1', environment: { INSIDE: 'from .env', SEEN: 'from .env' } });
    expect(web).toMatchObject({ image: 'w:none', environment: { INSIDE: null } });
  });

  it('takes secrets and configs from there as well', async () => {
    expect(await contentOf('include: [part/compose.yaml]')).toEqual(['from .env', 'from .env']);
    expect(await contentOf('include: [{ path: part/compose.yaml, env_file: other.env }]')).toEqual([
      'from other.env',
      'from other.env',
    ]);
  });

  it('takes variables from env_file instead, and from the including project before either', async () => {
    const text = 'include: [{ path: part/compose.yaml, env_file: other.env }]';
    expect((await model(text, { disk: parts })).services['db']).toMatchObject({
      image: 'db:none',
      environment: { INSIDE: 'from other.env' },
    });
    const outside = { environment: { INSIDE: 'outside', TAG: '9' }, disk: parts };
    expect((await model(text, outside)).services['db']).toMatchObject({
      image: 'db:9',
      environment: { INSIDE: 'outside' },
    });
  });

  it('takes variables from no file with env_file: /dev/null', async () => {
    const text = 'include: [{ path: part/compose.yaml, env_file: /dev/null }]';
    const { warnings } = await load(
      `${text}\nsecrets: { key: !override { file: db.env } }\nconfigs: { page: !override { content: x } }`,
      { disk: { ...parts, '/app/db.env': '' } },
    );
    expect(warnings).toEqual([]);
    expect((await faultsOf(text, { disk: parts })).map(({ message }) => message)).toEqual([
      'the variable INSIDE is not set',
      'the variable INSIDE is not set',
    ]);
  });

  it('merges several paths, with the directory of the first or the one that is said', async () => {
    expect(
      (await model('include: [{ path: [part/compose.yaml, more.yaml] }]', { disk: parts })).services['db'],
    ).toMatchObject({ user: 'more', environment: { SEEN: 'from .env' } });
    const text = 'include: [{ path: part/compose.yaml, project_directory: up, env_file: part/.env }]';
    expect((await model(text, { disk: parts })).services['db']).toMatchObject({
      environment: { SEEN: 'up' },
    });
  });

  it('lies below the file that includes it, and below all of it: !reset reaches it', async () => {
    const text =
      'include: [part/compose.yaml]\nservices: { db: { user: me, secrets: !reset [], environment: !override { A: 1 } } }';
    const { db } = (await model(text, { disk: parts })).services;
    expect(db).toMatchObject({ image: 'db:1', user: 'me', environment: { A: '1' } });
    expect(db).not.toHaveProperty('secrets');
  });

  it('brings services that are over their bases already, whatever the including file calls its own', async () => {
    const inner = 'services: { base: { image: inner, user: inner }, db: { extends: base } }';
    const text =
      'include: [inner.yaml]\nservices: { base: { image: outer }, web: { extends: db, tty: true } }';
    const { services } = await model(text, { disk: { '/app/inner.yaml': inner } });
    expect(services).toMatchObject({
      base: { image: 'outer', user: 'inner' },
      db: { image: 'inner', user: 'inner' },
      web: { image: 'inner', user: 'inner', tty: true },
    });
  });

  it('is merged as usual when two files given with -f include the same names', async () => {
    const files = [
      { content: 'include: [part/compose.yaml]', name: 'a' },
      { content: 'include: [more.yaml]', name: 'b' },
    ];
    const { canonical, warnings } = await load('', { files, disk: parts });
    expect(canonical.services['db']).toMatchObject({ image: 'db:1', user: 'more' });
    expect(warnings).toEqual([]);
  });

  it('is refused when it comes round', async () => {
    const circle = { '/app/a.yaml': 'include: [b.yaml]', '/app/b.yaml': 'include: [a.yaml]' };
    const [fault] = await faultsOf('include: [a.yaml]\nservices: { web: { image: a } }', { disk: circle });
    expect(fault!.message).toBe('the files include each other: compose.yaml -> a.yaml -> b.yaml -> a.yaml');
  });
});
