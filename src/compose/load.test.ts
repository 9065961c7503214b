import { describe, expect, it } from 'vitest';
import { codeOf, messageOf } from '../util/errors.ts';
import { faultsOf, load, memoryFiles, summary } from './fixtures.ts';
import { loadApplication, loadProjectPlace } from './load.ts';

const web = 'services: { web: { image: nginx } }';
const imageOf = async (...given: Parameters<typeof load>) =>
  (await load(...given)).application.services[0]!.task.container.image;

describe('the project name', () => {
  it.each<[string, Parameters<typeof load>[1], string]>([
    [web, {}, 'app'],
    [`name: Shop App\n${web}`, {}, 'shopapp'],
    [`name: \${STAGE:-dev}-shop\n${web}`, { environment: { STAGE: 'test' } }, 'test-shop'],
    [`name: shop\n${web}`, { environment: { COMPOSE_PROJECT_NAME: 'env' } }, 'env'],
    [`name: shop\n${web}`, { environment: { COMPOSE_PROJECT_NAME: 'env' }, projectName: 'asked' }, 'asked'],
    [`name: shop\n${web}`, { disk: { '/app/.env': 'COMPOSE_PROJECT_NAME=dotenv' } }, 'dotenv'],
    [web, { projectDirectory: '/srv/__My Project!' }, 'myproject'],
  ])('of %j with %j is %s', async (text, given, name) => {
    expect((await load(text, given)).application.name).toBe(name);
  });

  it('is a variable to the file', async () => {
    expect(await imageOf('services: { web: { image: "x/${COMPOSE_PROJECT_NAME}" } }')).toBe('x/app');
  });

  it('is refused when it is asked for and malformed', async () => {
    expect(summary(await faultsOf(web, { projectName: 'A B' }))[0]).toMatch(
      /"A B" is not a project name; it must be/u,
    );
    expect(summary(await faultsOf(web, { projectDirectory: '/' }))[0]).toMatch(/add name: NAME/u);
  });
});

describe('the project name alone', () => {
  const nameOf = (text: string, environment = {}) =>
    loadProjectPlace({
      files: [{ path: 'compose.yaml' }],
      environment,
      workingDirectory: '/app',
      fileSystem: memoryFiles({ '/app/compose.yaml': text }),
    });
  const needy = 'services: { web: { image: "x:${TAG:?say which}", env_file: gone.env } }';

  it.each([
    [needy, {}, 'app'],
    [`name: shop\n${needy}`, {}, 'shop'],
    [`name: \${STAGE}-shop\n${needy}`, { STAGE: 'test' }, 'test-shop'],
    ['services: { web: { imge: x } }', {}, 'app'],
  ])('of %j with %j needs neither variables nor files: %s', async (text, environment, name) => {
    expect(await nameOf(text, environment)).toEqual({ name, directory: '/app' });
  });

  it.each([
    [
      `name: \${STAGE:?say which}\n${needy}`,
      /Cannot tell the application: variables of its name have no value/,
    ],
    ['services: {', /Cannot read compose\.yaml: one error/],
  ])('of %j is an error when it cannot be told', async (text, message) => {
    await expect(nameOf(text)).rejects.toThrow(message);
  });
});

describe('the environment of interpolation', () => {
  const text = 'services: { web: { image: "x:${TAG:-none}" } }';
  it.each<[string, Parameters<typeof load>[1], string]>([
    ['nothing', {}, 'x:none'],
    ['.env', { disk: { '/app/.env': 'TAG=dotenv' } }, 'x:dotenv'],
    [
      'the process before .env',
      { disk: { '/app/.env': 'TAG=dotenv' }, environment: { TAG: 'process' } },
      'x:process',
    ],
    [
      'no .env when it is disabled',
      { disk: { '/app/.env': 'TAG=dotenv' }, environment: { COMPOSE_DISABLE_ENV_FILE: 'true' } },
      'x:none',
    ],
    [
      'named files instead of .env, the last winning',
      { disk: { '/app/.env': 'TAG=dotenv', '/app/a': 'TAG=a', '/app/b': 'TAG=b' }, envFiles: ['a', 'b'] },
      'x:b',
    ],
    ['COMPOSE_ENV_FILES', { disk: { '/app/a': 'TAG=a' }, environment: { COMPOSE_ENV_FILES: 'a' } }, 'x:a'],
    [
      '.env of the project directory',
      { disk: { '/srv/.env': 'TAG=srv' }, projectDirectory: '/srv' },
      'x:srv',
    ],
  ])('is %s', async (_, given, image) => {
    expect(await imageOf(text, given)).toBe(image);
  });

  it('is refused when a named file is missing or wrong, with the line', async () => {
    expect(summary(await faultsOf(web, { envFiles: ['none'] }))[0]).toMatch(/cannot read \/app\/none/u);
    const [fault] = await faultsOf(web, { disk: { '/app/.env': 'A=1\nB C' } });
    expect(fault).toMatchObject({ file: '.env', line: 2, sourceLine: 'B C' });
  });

  it('warns of a variable that is not set once, with its place, and not where it is not used', async () => {
    const { warnings } = await load('services: { web: { image: "a$X", command: "$X ${Y:-y$Z} ${W:+$V}" } }');
    expect(summary(warnings).map((line) => line.split(',')[0])).toEqual([
      '1:27 services.web.image: the variable X is not set',
      '1:43 services.web.command: the variable Z is not set',
    ]);
  });
});

describe('the environment of a service', () => {
  const disk = { '/app/one.env': 'A=one\nB=one\nC=one', '/app/two.env': 'B=two\nR=${FROM}-${OWN}-${A}' };
  it('takes values over files, and later files over earlier ones', async () => {
    const { application } = await load(
      'services: { web: { image: x, env_file: [one.env, two.env], environment: { C: own, OWN: mine, FROM: , GONE: } } }',
      { disk, environment: { FROM: 'outside' } },
    );
    expect(application.services[0]!.task.container.environment).toEqual({
      A: 'one',
      B: 'two',
      C: 'own',
      FROM: 'outside',
      OWN: 'mine',
      R: 'outside-mine-one',
    });
  });
});

describe('the files', () => {
  it('are found by their default names, here or above, with the override beside them', async () => {
    const fileSystem = memoryFiles({
      '/app/compose.yaml': 'services: { web: { image: base, user: me } }',
      '/app/compose.override.yaml': 'services: { web: { image: over } }',
      '/app/docker-compose.yml': 'services: { other: { image: other } }',
    });
    const { application } = await loadApplication({
      files: [],
      environment: {},
      fileSystem,
      workingDirectory: '/app/deep/down',
    });
    expect(application.name).toBe('app');
    expect(application.services[0]!.task.container).toMatchObject({ image: 'over', user: 'me' });
  });

  it('are named by COMPOSE_FILE', async () => {
    const disk = { '/app/a.yaml': web, '/app/b.yaml': 'services: { web: { image: b } }' };
    expect(await imageOf('', { files: [], disk, environment: { COMPOSE_FILE: 'a.yaml:b.yaml' } })).toBe('b');
  });

  it('may come from standard input, in the working directory', async () => {
    const { application } = await load('', { files: [{ content: web }] });
    expect(application).toMatchObject({ name: 'app' });
    expect((await faultsOf('', { files: [{ content: 'a' }] }))[0]).toMatchObject({
      file: '(stdin)',
      line: 1,
    });
  });

  it('are refused when there is none', async () => {
    const error: unknown = await loadApplication({
      files: [],
      environment: {},
      fileSystem: memoryFiles({}),
      workingDirectory: '/app',
    }).catch((fault: unknown) => fault);
    expect([codeOf(error), messageOf(error)]).toEqual([
      'not_found',
      'Cannot find a Compose file: there is no compose.yaml here or above',
    ]);
  });

  it('are refused when they are not UTF-8', async () => {
    const disk = { '/app/bad.yaml': new Uint8Array([0x61, 0xff]) };
    const [fault] = await faultsOf('', { files: [{ path: 'bad.yaml' }], disk });
    expect(fault?.message).toBe('/app/bad.yaml is not UTF-8 text');
  });
});

describe('secrets', () => {
  it('are refused when they are too large', async () => {
    const disk = { '/app/big': new Uint8Array(600 * 1024) };
    const [fault] = await faultsOf(
      `${web.replace(' } }', ', secrets: [s] } }')}\nsecrets: { s: { file: big } }`,
      { disk },
    );
    expect(fault).toMatchObject({ path: 'secrets.s.file', line: 2 });
  });

  it('with other content have another name, so that their services roll', async () => {
    const nameWith = async (content: string) => {
      const disk = { '/app/pw': content };
      return (
        await load(`${web.replace(' } }', ', secrets: [s] } }')}\nsecrets: { s: { file: pw } }`, { disk })
      ).application.secrets[0]!.name;
    };
    expect(await nameWith('a')).not.toBe(await nameWith('b'));
    expect(await nameWith('a')).toBe(await nameWith('a'));
  });
});
