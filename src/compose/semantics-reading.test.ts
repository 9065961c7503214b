import { describe, expect, it } from 'vitest';
import { faultsOf, load, summary } from './fixtures.ts';

/**
 * How Compose files are read, fact by fact: each row is named by its fact. What follows the specification's prose only in
 * part follows compose-go, which is what users of `docker compose` have.
 */

type Given = Parameters<typeof load>[1];

async function web(text: string, given: Given = {}) {
  const { canonical } = await load(text, given);
  return canonical.services['web'];
}

const of = (attribute: string) => `services: { web: { image: nginx, ${attribute} } }`;

async function faults(text: string, given: Given = {}): Promise<string> {
  return summary(await faultsOf(text, given)).join('\n');
}

describe('stages', () => {
  it.each<[string, string, Given, object]>([
    [
      'a further document of a file overrides those before it',
      'services: { web: { image: a, user: me } }\n---\nservices: { web: { image: b } }',
      {},
      { image: 'b', user: 'me' },
    ],
    [
      'variables are replaced before an include is read',
      'include: ["${WHICH}.yaml"]\nservices: { web: { user: me } }',
      {
        environment: { WHICH: 'one' },
        disk: { '/app/one.yaml': 'services: { web: { image: one } }' },
      },
      { image: 'one', user: 'me' },
    ],
    [
      'includes are read before extends: a service can extend an included one',
      'include: [base.yaml]\nservices: { web: { extends: base, user: me } }',
      { disk: { '/app/base.yaml': 'services: { base: { image: base } }' } },
      { image: 'base', user: 'me' },
    ],
    [
      'what a service extends lies below what is included under its name',
      'include: [web.yaml]\nservices: { base: { image: base, user: base }, web: { extends: base } }',
      { disk: { '/app/web.yaml': 'services: { web: { image: included } }' } },
      { image: 'included', user: 'base' },
    ],
    [
      'a service of a profile that is not active may name what is not there',
      'services: { web: { image: a }, off: { image: b, profiles: [p], networks: [none], env_file: none.env } }',
      {},
      { image: 'a' },
    ],
  ])('%s', async (_, text, given, expected) => {
    expect(await web(text, given)).toMatchObject(expected);
  });

  it('a file without a document adds nothing, and is warned of', async () => {
    const files = [
      { content: of('user: me'), name: 'a' },
      { content: '# nothing yet\n', name: 'b' },
    ];
    const { canonical, warnings } = await load('', { files });
    expect(canonical.services['web']!.user).toBe('me');
    expect(warnings.map(({ file, message }) => `${file}: ${message}`)).toEqual([
      'b: the file is empty, and adds nothing',
    ]);
    expect(await faults('# nothing\n---\n')).toBe(
      '1:1 services: the application has no services; add one under services',
    );
    const extending = 'services: { web: { image: a, extends: { file: none.yaml, service: b } } }';
    expect(await faults(extending, { disk: { '/app/none.yaml': '' } })).toMatch(
      /none.yaml has no service called b/u,
    );
  });

  it('keys are strings', async () => {
    expect(await faults('services: { 123: { image: a } }')).toMatch(/services: the key 123 is not a string/u);
    expect(await faults('123: a')).toMatch(/the key 123 is not a string at the top level/u);
  });

  it('only the merged whole is checked against the schema', async () => {
    const files = [
      {
        content: 'services: { db: { image: a }, web: { depends_on: { db: { required: false } } } }',
        name: 'a',
      },
      {
        content: 'services: { web: { image: b, depends_on: { db: { condition: service_healthy } } } }',
        name: 'b',
      },
    ];
    expect((await web('', { files }))!.depends_on).toEqual({
      db: { condition: 'service_healthy', required: false },
    });
    expect(await faults('', { files: files.slice(0, 1) })).toMatch(
      /depends_on.db.condition: this key is missing/u,
    );
  });
});

describe('variables', () => {
  const environment = { N: '3', YES: 'Yes', OFF: 'off', EMPTY: '', NAME: 'n', JSON: '{"a":1}', SIZE: '64m' };

  it.each<[string, string, object]>([
    ['a whole number where one is wanted', 'scale: "${N}"', { scale: 3 }],
    ['a number with a fraction where one is wanted', 'cpus: "${N}.5"', { cpus: 3.5 }],
    [
      'true and false where they are wanted, in any case',
      'tty: "${YES}", init: $OFF',
      { tty: true, init: false },
    ],
    ['a size', 'mem_limit: $SIZE', { mem_limit: '67108864' }],
    ['text elsewhere', 'user: $N, hostname: $YES', { user: '3', hostname: 'Yes' }],
    ['values and not keys', 'labels: { $NAME: $NAME }', { labels: { $NAME: 'n' } }],
    ['keys that are written in a list', 'labels: ["$NAME=$NAME"]', { labels: { n: 'n' } }],
    ['a default with braces', `command: ['\${NONE:-{"b":2}}']`, { command: ['{"b":2}'] }],
    ['a part of a word', 'user: "a${N}b$NAME-c"', { user: 'a3bn-c' }],
    ['a dollar sign from two', 'user: "$$N $$$N"', { user: '$N $3' }],
    ['a value with a dollar sign only once', 'user: "${NONE:-$$N}"', { user: '$N' }],
  ])('give %s', async (_, attribute, expected) => {
    expect(await web(of(attribute), { environment })).toMatchObject(expected);
  });

  it.each<[string, string, RegExp]>([
    ['cannot be cast', 'scale: "${NAME}"', /services.web.scale: "n" cannot be used here/u],
    ['is neither true nor false', 'init: "${N}"', /services.web.init: "3" cannot be used here/u],
    ['is required and missing', 'user: "${NONE:?say who}"', /NONE is not set: say who/u],
    ['is required and empty', 'user: "${EMPTY:?say who}"', /EMPTY is empty: say who/u],
    ['is no variable', 'user: "${a!}"', /"\$\{a!\}" is not a variable; .* \$\$ for a dollar sign/u],
    ['replaces a part, which only shells do', 'user: "${NAME/a/b}"', /is not a variable/u],
  ])('are refused with their place when one %s', async (_, attribute, message) => {
    expect(await faults(of(attribute), { environment })).toMatch(message);
  });

  it('are replaced in each file before it is merged', async () => {
    const files = [
      { content: of('labels: { a: "$NAME" }'), name: 'a' },
      { content: 'services: { web: { labels: { a: !reset null, b: "$NAME" } } }', name: 'b' },
    ];
    expect((await web('', { files, environment }))!.labels).toEqual({ b: 'n' });
  });

  it('that are not set stand for nothing, with a warning; of a branch that is not taken nothing is said', async () => {
    const text = of('user: "a$NONE", hostname: "${NAME:-$GONE}", domainname: "${EMPTY:+$LOST}x"');
    const { canonical, warnings } = await load(text, { environment });
    expect(canonical.services['web']).toMatchObject({ user: 'a', hostname: 'n', domainname: 'x' });
    expect(warnings.map(({ message }) => message)).toEqual([
      'the variable NONE is not set, so it stands for nothing',
    ]);
  });
});

describe('the environment', () => {
  const text = of(
    'labels: { a: "${A-unset}" }, environment: { A: , B: b, C: "" }, env_file: [one.env, two.env]',
  );
  const disk = {
    '/app/one.env': 'A=one\nB=one\nC=one\nD=one\nE=one',
    '/app/two.env': 'D=two\nX=${A-none}-${B-none}-${E-none}',
  };

  it.each<[string, Given, object, string | undefined]>([
    [
      'of a container: environment over environment files, the later over the earlier',
      {},
      { A: null, B: 'b', C: '', D: 'two', E: 'one', X: 'one-b-one' },
      'unset',
    ],
    [
      'of a container: a name without a value takes that of the process, before any file',
      { environment: { A: 'process' } },
      { A: 'process', X: 'process-b-one' },
      'process',
    ],
    [
      'of a container: a name without a value takes that of .env',
      { disk: { ...disk, '/app/.env': 'A=dotenv\nF=dotenv' } },
      { A: 'dotenv' },
      'dotenv',
    ],
    [
      'for variables: the process before the files that are named',
      { environment: { A: 'process' }, envFiles: ['e'], disk: { ...disk, '/app/e': 'A=file' } },
      {},
      'process',
    ],
    [
      'for variables: the later of the files that are named, and .env not at all',
      {
        envFiles: ['e', 'f'],
        disk: { ...disk, '/app/e': 'A=e', '/app/f': 'A=f', '/app/.env': 'A=dotenv' },
      },
      {},
      'f',
    ],
    [
      'for variables: the files in COMPOSE_ENV_FILES',
      { environment: { COMPOSE_ENV_FILES: 'e,f' }, disk: { ...disk, '/app/e': 'A=e', '/app/f': 'A=f' } },
      {},
      'f',
    ],
    [
      'for variables: no .env when COMPOSE_DISABLE_ENV_FILE says so',
      {
        environment: { COMPOSE_DISABLE_ENV_FILE: '1' },
        disk: { ...disk, '/app/.env': 'A=dotenv' },
      },
      {},
      'unset',
    ],
  ])('%s', async (_, given, environment, label) => {
    const service = await web(text, { disk, ...given });
    expect(service).toMatchObject({ environment });
    expect(service!.labels!['a']).toBe(label);
  });

  it('.env is for variables, and not for containers', async () => {
    const service = await web(of('user: $A'), { disk: { '/app/.env': 'A=dotenv' } });
    expect(service).toMatchObject({ user: 'dotenv' });
    expect(service).not.toHaveProperty('environment');
  });

  it('.env where the command runs may name the files, and stands before the one beside them', async () => {
    const files = {
      '/app/.env': 'COMPOSE_FILE=deep/web.yaml\nA=here\nCOMPOSE_PROFILES=p',
      '/app/deep/.env': 'A=there\nB=there',
      '/app/deep/web.yaml':
        'services: { web: { image: a, user: "$A-$B" }, tool: { image: b, profiles: [p] } }',
    };
    const { canonical } = await load('', { files: [], disk: files });
    expect(canonical.services).toMatchObject({ web: { user: 'here-there' }, tool: { image: 'b' } });
    expect(canonical.name).toBe('deep');
  });

  it('a variable in an environment file is that of the file before that of an earlier one', async () => {
    const files = { '/app/one.env': 'A=one\nB=one', '/app/two.env': 'A=two\nX=$A-$B' };
    const service = await web(of('env_file: [one.env, two.env]'), { disk: files });
    expect(service!.environment).toMatchObject({ X: 'two-one' });
  });

  it('a variable in a label file is one of the label files, and never from outside', async () => {
    const files = { '/app/one': 'a=one', '/app/two': 'b=$a-${OUTSIDE-none}' };
    const given = { disk: files, environment: { OUTSIDE: 'x', a: 'x' } };
    expect((await web(of('label_file: [one, two]'), given))!.labels).toEqual({ a: 'one', b: 'one-none' });
  });

  it('COMPOSE_DISABLE_ENV_FILE is true or false', async () => {
    const given = { environment: { COMPOSE_DISABLE_ENV_FILE: 'yes' } };
    expect(await faults(of('user: a'), given)).toMatch(
      /COMPOSE_DISABLE_ENV_FILE is "yes"; make it true or false/u,
    );
  });

  it('raw environment files have no quotes, escapes or variables', async () => {
    const raw = { '/app/r.env': 'A="a" # b\nB=$A\\n' };
    const service = await web(of('env_file: [{ path: r.env, format: raw }]'), { disk: raw });
    expect(service!.environment).toEqual({ A: '"a" # b', B: '$A\\n' });
  });
});

describe('values', () => {
  it.each<[string, string, object]>([
    ['durations have days and weeks', 'stop_grace_period: 1w2d3h', { stop_grace_period: '219h0m0s' }],
    ['durations may have fractions', 'stop_grace_period: 1.5s', { stop_grace_period: '1.5s' }],
    ['a bare 0 is a duration', 'stop_grace_period: "0"', { stop_grace_period: '0s' }],
    [
      'sizes count in powers of 1024, also in kb',
      'mem_limit: 1kb, shm_size: 1KiB',
      { mem_limit: '1024', shm_size: '1024' },
    ],
    [
      'fractions of sizes are cut off',
      'mem_limit: 1.5k, shm_size: "0.7k"',
      { mem_limit: '1536', shm_size: '716' },
    ],
    ['a size may be a number', 'mem_limit: 65536', { mem_limit: '65536' }],
    ['memswap_limit may be -1', 'mem_limit: 1m, memswap_limit: -1', { memswap_limit: '-1' }],
    [
      'file modes are octal, as numbers and as text',
      'configs: [{ source: c, target: /a, mode: 0440 }, { source: c, target: /b, mode: "0440" }, { source: c, target: /c, mode: 0o440 }]',
      { configs: [{ mode: '0440' }, { mode: '0440' }, { mode: '0440' }] },
    ],
    [
      'a command is split into words, and no shell reads it',
      `command: 'a "b c" $$D'`,
      { command: ['a', 'b c', '$D'] },
    ],
    [
      'a healthcheck written as text is for a shell',
      'healthcheck: { test: a | b }',
      { healthcheck: { test: ['CMD-SHELL', 'a | b'] } },
    ],
    [
      'numbers among texts are written as Go writes them',
      'labels: { a: 1.10, b: 0440, c: 1e3, d: 1_000, e: 0x1F, f: true, g: }',
      { labels: { a: '1.1', b: '288', c: '1000', d: '1000', e: '31', f: 'true', g: '' } },
    ],
    [
      'yes and no are texts where a text is wanted',
      'labels: { a: yes, b: no, c: on }',
      { labels: { a: 'yes', b: 'no', c: 'on' } },
    ],
    ['22:22 is a text', 'labels: { a: 22:22 }', { labels: { a: '22:22' } }],
    ['a date is a text', 'labels: { a: 2001-01-01 }', { labels: { a: '2001-01-01' } }],
  ])('%s', async (_, attribute, expected) => {
    const text = `${of(attribute)}\nconfigs: { c: { content: x } }`;
    expect(await web(text)).toMatchObject(expected);
  });

  it.each<[string, string, RegExp]>([
    [
      'a duration that is a number',
      'stop_grace_period: 10',
      /10 cannot be used here; a duration needs its unit/u,
    ],
    ['a negative size with a unit', 'mem_limit: -1m', /"-1m" cannot be used here/u],
    [
      'a command with a part for a shell',
      'command: a && b',
      /no shell reads it, so "&" outside quotes means nothing/u,
    ],
    ['a command with parentheses', 'command: (a)', /no shell reads it/u],
  ])('%s is refused', async (_, attribute, message) => {
    expect(await faults(of(attribute))).toMatch(message);
  });
});

describe('YAML', () => {
  it('<< merges maps and lists of maps, one level deep: the map itself wins, then the first of the list', async () => {
    const service = await web(`
x-a: &a { user: a, labels: { a: a } }
x-b: &b { user: b, hostname: b, labels: { b: b } }
services: { web: { <<: [*a, *b], image: own, labels: { own: own } } }
`);
    expect(service).toMatchObject({ image: 'own', user: 'a', hostname: 'b', labels: { own: 'own' } });
    expect(service!.labels).toEqual({ own: 'own' });
  });

  it('an alias is for one document', async () => {
    expect(await faults('x-a: &a { image: a }\n---\nservices: { web: *a }')).toMatch(
      /nothing above is anchored as &a/u,
    );
  });

  it('anchors are resolved before variables', async () => {
    const text = 'x-a: &a "$A"\nservices: { web: { image: nginx, user: *a } }';
    expect(await web(text, { environment: { A: 'me' } })).toMatchObject({ user: 'me' });
  });

  it('<< is given once, with maps', async () => {
    const bases = 'x-a: &a { user: a }\nx-b: &b { hostname: b }\n';
    const twice = 'services:\n  web:\n    image: a\n    <<: *a\n    <<: *b';
    expect(await faults(`${bases}${twice}`)).toMatch(
      /^7:5 services.web\["<<"\]: the key "<<" is given twice/u,
    );
    expect(await faults('services: { web: { image: a, <<: null } }')).toMatch(
      /<< merges maps, and this is none/u,
    );
  });

  it('a control character can only be written as an escape', async () => {
    expect(await faults('services: { web: { image: a, user: "a\u0007" } }')).toMatch(
      /^1:38 : the file has the character U\+0007; take it out/u,
    );
    expect(await web('services: { web: { image: a, user: "a\\a" } }')).toMatchObject({ user: 'a\u0007' });
  });

  it('a dollar sign that is written as an escape begins a variable as well', async () => {
    const text = String.raw`services: { web: { image: nginx, user: "\x24{A}" } }`;
    expect(await web(text, { environment: { A: 'me' } })).toMatchObject({ user: 'me' });
  });

  it('a key that is given twice is refused, with the line of the first', async () => {
    expect(await faults('services:\n  web:\n    image: a\n    image: b')).toMatch(
      /^4:5 services.web.image: the key "image" is given twice, first on line 3/u,
    );
  });
});
