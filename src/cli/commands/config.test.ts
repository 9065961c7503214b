import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseArguments } from '../arguments.ts';
import type { Context } from '../command.ts';
import { command } from './config.ts';

const text = `
services:
  web:
    image: \${REGISTRY:-docker.io}/nginx:\${TAG:?no tag}
    command: ["serve", "$$HOME"]
    ports: ["\${PORT}:80"]
    depends_on: [db]
    networks: [front]
    secrets: [key]
    deploy: { replicas: "\${REPLICAS:-2}" }
  db:
    image: redis\${SUFFIX:+-\${SUFFIX}}
    volumes: ["data:/data"]
    env_file: none.env
  debug: { image: busybox, profiles: [tools] }
networks: { front: , back: }
volumes: { data: , other: }
secrets: { key: { file: missing.txt } }
`;

let directory: string;

beforeAll(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'shoal-config-')), 'shop');
  await mkdir(directory);
  await writeFile(join(directory, 'compose.yaml'), text);
});
afterAll(() => rm(join(directory, '..'), { recursive: true }));

async function config(...words: string[]): Promise<{ out: string; notes: string }> {
  let out = '';
  let notes = '';
  const context: Context = {
    output: {
      print: (line) => (out += `${line}\n`),
      write: (_, chunk) => (out += String(chunk)),
      note: (line) => (notes += `${line}\n`),
      line: () => undefined,
      columns: 0,
      colour: false,
    },
    environment: { TAG: '1', PORT: '8080' },
    workingDirectory: directory,
    signal: new AbortController().signal,
    client: () => Promise.reject(new Error('config needs no daemon')),
  };
  expect(await command.run(context, parseArguments(command, words))).toBe(0);
  return { out, notes };
}

/** The same with the environment file that `db` wants. */
async function configWithFile(...words: string[]): Promise<{ out: string; notes: string }> {
  await writeFile(join(directory, 'none.env'), 'A=1\n');
  try {
    return await config(...words);
  } finally {
    await rm(join(directory, 'none.env'));
  }
}

describe('config', () => {
  it.each<[string[], string]>([
    [['--services'], 'db\nweb\n'],
    [['--services', '--no-interpolate'], 'db\ndebug\nweb\n'],
    [['--services', '--profile', 'tools'], 'db\ndebug\nweb\n'],
    [['--images'], 'redis\ndocker.io/nginx:1\n'],
    [['--networks'], 'default\nfront\n'],
    [['--volumes'], 'data\n'],
    [['--profiles'], 'tools\n'],
    [['--environment'], 'COMPOSE_PROJECT_NAME=shop\nPORT=8080\nTAG=1\n'],
  ])('%j prints one a line, and needs none of the files that services name', async (words, lines) => {
    const { out } = await config(...words);
    expect(out.split('\n').toSorted()).toEqual(lines.split('\n').toSorted());
  });

  it('--variables prints each variable with what stands for it', async () => {
    expect((await config('--variables')).out).toBe(`NAME      REQUIRED  DEFAULT VALUE  ALTERNATE VALUE
PORT      false
REGISTRY  false     docker.io
REPLICAS  false     2
SUFFIX    false                    -\${SUFFIX}
TAG       true
`);
    const byName = JSON.parse((await config('--variables', '--format', 'json')).out) as object;
    expect(Object.keys(byName)).toHaveLength(5);
    expect(byName).toMatchObject({
      TAG: { Name: 'TAG', DefaultValue: '', PresenceValue: '', Required: true },
      SUFFIX: { PresenceValue: '-${SUFFIX}' },
    });
    expect((await config('--variables', '--format', 'yaml')).out).toContain('TAG:\n  Name: TAG\n');
  });

  it('--no-interpolate leaves variables as they are written', async () => {
    const { out } = await config('--no-interpolate', '--format', 'json');
    expect(JSON.parse(out)).toMatchObject({
      name: 'shop',
      services: {
        web: {
          image: '${REGISTRY:-docker.io}/nginx:${TAG:?no tag}',
          command: ['serve', '$$HOME'],
          ports: ['${PORT}:80'],
          depends_on: { db: { condition: 'service_started', required: true } },
          deploy: { replicas: '${REPLICAS:-2}' },
        },
      },
    });
  });

  it('warns of a missing secret, and prints the model all the same', async () => {
    const { out, notes } = await configWithFile();
    expect(out).toContain('image: docker.io/nginx:1');
    expect(notes).toMatch(/compose.yaml:18:25: warning: secrets.key.file: cannot read .*missing.txt/u);
  });

  it('fails when an environment file is missing', async () => {
    await expect(config()).rejects.toMatchObject({ code: 'invalid_file' });
  });

  it('prints only the services that are named, what they depend on, and what these use', async () => {
    const { out } = await configWithFile('--format', 'json', 'db');
    expect(Object.keys((JSON.parse(out) as { services: object }).services)).toEqual(['db']);
    expect(out).not.toContain('"front"');
    expect(out).not.toContain('"other"');
    expect(out).toContain('"data"');
    const both = await configWithFile('--format', 'json', 'web');
    expect(Object.keys((JSON.parse(both.out) as { services: object }).services)).toEqual(['db', 'web']);
    await expect(configWithFile('nobody')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('prints a service that is named also when its profile is not active', async () => {
    const { out } = await configWithFile('--format', 'json', 'debug');
    expect(Object.keys((JSON.parse(out) as { services: object }).services)).toEqual(['debug']);
  });

  it('--hash prints a hash that scaling does not change, and a new image does', async () => {
    const { out } = await configWithFile('--hash', '*');
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line).toMatch(/^(?:db|web) [0-9a-f]{64}$/u);
    await writeFile(join(directory, 'more.yaml'), 'services: { web: { deploy: { replicas: 5 } } }');
    const files = ['-f', 'compose.yaml', '-f', 'more.yaml'];
    expect((await configWithFile(...files, '--hash', '*')).out).toBe(out);
    await writeFile(join(directory, 'more.yaml'), 'services: { web: { image: other } }');
    const changed = (await configWithFile(...files, '--hash', 'web')).out;
    expect(changed).toMatch(/^web /u);
    expect(out).not.toContain(changed.trim());
  });

  it('--services prints each after those that it depends on', async () => {
    const chain =
      'services: { a: { image: a, depends_on: [c, b] }, b: { image: b, depends_on: [d] }, c: { image: c }, d: { image: d } }';
    await writeFile(join(directory, 'chain.yaml'), chain);
    expect((await config('-f', 'chain.yaml', '--services')).out).toBe('d\nb\nc\na\n');
  });

  it('--no-normalize leaves out what nobody wrote', async () => {
    const { out } = await configWithFile('--no-normalize', '--format', 'json', 'web');
    const model = JSON.parse(out) as { services: Record<string, object>; networks: object };
    expect(model).toMatchObject({ name: 'shop', networks: { front: {} }, secrets: { key: {} } });
    expect(model.networks).toEqual({ front: { ipam: {} } });
    expect(Object.keys(model.services)).toEqual(['db', 'web']);
    expect(model.services['db']).not.toHaveProperty('networks');
    expect(model.services['db']).toMatchObject({ environment: { A: '1' } });
    expect(model.services['web']).toMatchObject({ secrets: [{ source: 'key' }] });
  });

  it('--no-env-resolution reads no environment files, and prints their names', async () => {
    const { out } = await config('--no-env-resolution', '--format', 'json');
    const { db } = (JSON.parse(out) as { services: Record<string, object> }).services;
    expect(db).toMatchObject({ env_file: [{ path: join(directory, 'none.env') }] });
    expect(db).not.toHaveProperty('environment');
  });

  it('--no-path-resolution leaves paths as they are written, those of other files from here', async () => {
    await mkdir(join(directory, 'part'), { recursive: true });
    const part =
      'services: { part: { image: p, env_file: [p.env, /etc/hostname], secrets: [s] } }\nsecrets: { s: { file: ./s.txt } }';
    await writeFile(join(directory, 'part', 'compose.yaml'), part);
    await writeFile(join(directory, 'part', 'p.env'), 'P=1');
    const text =
      'include: [part/compose.yaml]\nservices: { own: { image: o, env_file: ./o.env, configs: [c], extends: { file: part/compose.yaml, service: part } } }\nconfigs: { c: { file: ../c.txt } }';
    await writeFile(join(directory, 'paths.yaml'), text);
    const words = ['-f', 'paths.yaml', '--no-path-resolution', '--no-env-resolution', '--format', 'json'];
    expect(JSON.parse((await config(...words)).out)).toMatchObject({
      services: {
        own: { env_file: [{ path: 'part/p.env' }, { path: '/etc/hostname' }, { path: './o.env' }] },
        part: { env_file: [{ path: 'part/p.env' }, { path: '/etc/hostname' }] },
      },
      secrets: { s: { file: 'part/s.txt' } },
      configs: { c: { file: '../c.txt' } },
    });
  });

  it('--models prints the names of the models themselves', async () => {
    const text =
      'services: { a: { image: a, models: [m, n] } }\nmodels: { m: { model: ai/small }, n: { model: ai/large } }';
    await writeFile(join(directory, 'models.yaml'), text);
    expect((await config('-f', 'models.yaml', '--models')).out).toBe('ai/small\nai/large\n');
  });

  it('--no-path-resolution leaves the source of a bind mount as it is written', async () => {
    const text = 'services: { a: { image: a, volumes: ["./here:/d", "../up:/e"] } }';
    await writeFile(join(directory, 'mounts.yaml'), text);
    const words = ['-f', 'mounts.yaml', '--format', 'json'];
    const sourcesOf = async (...more: string[]) => {
      const { services } = JSON.parse((await config(...words, ...more)).out) as {
        services: { a: { volumes: { source: string }[] } };
      };
      return services.a.volumes.map(({ source }) => source);
    };
    expect(await sourcesOf('--no-path-resolution')).toEqual(['./here', '../up']);
    expect(await sourcesOf()).toEqual([join(directory, 'here'), join(directory, '../up')]);
  });

  it('--no-consistency prints what refers to nothing', async () => {
    await writeFile(
      join(directory, 'loose.yaml'),
      'services: { a: { image: a, networks: [none], depends_on: [a] } }',
    );
    await expect(config('-f', 'loose.yaml')).rejects.toMatchObject({ code: 'invalid_file' });
    expect((await config('-f', 'loose.yaml', '--no-consistency')).out).toContain('none: null');
  });

  it('pins the images of hooks and mounts too, but not those that services build', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const text = `
services:
  own: { image: "x.org/own@${digest}" }
  a:
    image: "x.org/a@${digest}"
    pre_start: [{ command: a, image: "redis@${digest}" }]
    volumes: [{ type: image, source: "redis:8@${digest}", target: /a }, { type: image, source: own, target: /b }]
`;
    await writeFile(join(directory, 'hooks.yaml'), text);
    const { out } = await config('-f', 'hooks.yaml', '--resolve-image-digests', '--format', 'json');
    expect(JSON.parse(out)).toMatchObject({
      services: {
        a: {
          pre_start: [{ image: `docker.io/library/redis@${digest}` }],
          volumes: [{ source: `docker.io/library/redis@${digest}` }, { source: 'own' }],
        },
      },
    });
    const lock = await config('-f', 'hooks.yaml', '--lock-image-digests', '--format', 'json');
    expect(Object.keys((JSON.parse(lock.out) as { services: { a: object } }).services.a)).toEqual([
      'image',
      'volumes',
    ]);
  });

  it('--lock-image-digests prints a file with nothing but images', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const fixed = `services: { a: { image: "redis:8@${digest}", user: me }, b: { image: "x.org/b@${digest}" } }`;
    await writeFile(join(directory, 'fixed.yaml'), fixed);
    const { out } = await config('-f', 'fixed.yaml', '--lock-image-digests');
    expect(out).toBe(`services:
  a:
    image: docker.io/library/redis@${digest}
  b:
    image: x.org/b@${digest}
`);
    const whole = await config('-f', 'fixed.yaml', '--resolve-image-digests', '--format', 'json');
    expect(JSON.parse(whole.out)).toMatchObject({
      name: 'shop',
      services: { a: { image: `docker.io/library/redis@${digest}`, user: 'me' } },
    });
  });

  it('--output writes a file that reads as the same again, and --quiet nothing', async () => {
    const printed = await configWithFile();
    const { out } = await configWithFile('-o', 'out.yaml');
    expect(out).toBe('');
    expect(await readFile(join(directory, 'out.yaml'), 'utf8')).toBe(printed.out);
    expect((await configWithFile('-f', 'out.yaml')).out).toBe(printed.out);
    expect((await configWithFile('--quiet')).out).toBe('');
  });

  it('warns of what shoal up refuses and prints it, and refuses it when it only checks', async () => {
    await writeFile(join(directory, 'limited.yaml'), 'services: { db: { storage_opt: { size: 1g } } }');
    const files = ['-f', 'compose.yaml', '-f', 'limited.yaml'];
    const { out, notes } = await configWithFile(...files);
    expect(out).toContain('    storage_opt:\n      size: 1g\n');
    expect(notes).toContain('limited.yaml:1:19: warning: services.db.storage_opt: shoal up refuses this: ');
    expect((await configWithFile(...files, '--services')).out).toBe('db\nweb\n');
    await expect(configWithFile(...files, '--quiet')).rejects.toMatchObject({ code: 'not_supported' });
  });

  it.each([
    [['--images', '--no-interpolate'], 'invalid_argument'],
    [['--services', '--images'], 'invalid_argument'],
    [['--format', 'xml'], 'invalid_argument'],
    [['--hash', 'nobody'], 'not_found'],
  ])('refuses %j', async (words, code) => {
    await expect(configWithFile(...words)).rejects.toMatchObject({ code });
  });

  it('says that up would refuse an application of too many objects, and prints it', async () => {
    const many = join(directory, 'many.yaml');
    const services = Array.from({ length: 1000 }, (_, index) => `  s${index}: { image: a }\n`);
    await writeFile(many, `services:\n${services.join('')}`);
    const { out, notes } = await config('-f', many);
    expect(out).toContain('s999:');
    expect(notes).toContain('shoal up would refuse it');
    expect(notes).toContain('are 1001 together, and an application has at most 1000');
  });
});
