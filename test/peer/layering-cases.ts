import { caseOf, linesOf, type PeerCase } from './case.ts';

/** How several files become one application: merging, `extends`, `include`, paths. */

const rest = `
networks: { front: , back: }
volumes: { data: , other: }
secrets: { s: { environment: A }, t: { environment: A } }
configs: { c: { content: x }, d: { content: y } }
models: { llm: { model: a }, other: { model: b } }
`;

const disk = {
  'a.env': 'A=a',
  'b.env': 'A=b',
  l: 'l=file',
  m: 'l=more',
};

/** An attribute of a service in one file, and in a later one. */
function pairCases(): PeerCase[] {
  return linesOf('merging.txt', 'attributes').map((line) => {
    const [below = '', above = ''] = line.split(' ++ ');
    const image = below.includes('image:') ? '' : 'image: nginx, ';
    const base = `services: { web: { ${image}${below} }, db: { image: a }, cache: { image: b } }\n${rest}`;
    return caseOf(`merge ${below} + ${above}`, base, {
      files: { ...disk, 'over.yaml': `services: { web: { ${above} } }` },
      composeFiles: ['compose.yaml', 'over.yaml'],
      environment: { A: 'outside' },
    });
  });
}

/** Whole files over one another, and as documents of one file. */
function wholeCases(): PeerCase[] {
  return linesOf('merging.txt', 'files').flatMap((line) => {
    const texts = line.split(' ++ ');
    const files = Object.fromEntries(texts.map((text, index) => [`${index}.yaml`, text]));
    const several = {
      name: `files ${JSON.stringify(texts)}`,
      files,
      composeFiles: Object.keys(files),
      environment: { A: 'outside' },
    };
    const documents = caseOf(`documents ${JSON.stringify(texts)}`, texts.join('\n---\n'), {
      environment: { A: 'outside' },
    });
    return [several, documents];
  });
}

const library = {
  'lib/base.yaml': `
include: [none.yaml]
services:
  base: { extends: { file: ../root.yaml, service: root }, env_file: base.env, environment: { B: base }, ports: ["80:80"] }
  paths: { image: a, label_file: labels, env_file: base.env, build: ., volumes: ["./v:/v", "named:/n"], secrets: [key], develop: { watch: [{ path: src, action: rebuild }] } }
  inherits: { image: a, depends_on: [db], links: [db], profiles: [p], volumes_from: [db], network_mode: "service:db" }
  lost: { image: a, networks: [lost] }
  variables: { image: "a:\${TAG:-none}", environment: [A] }
  resets: { image: a, ports: !reset ["1:1"], user: !override b }
networks: { lost: }
secrets: { key: { file: key.txt } }
`,
  'lib/base.env': 'FROM_FILE=1',
  'lib/labels': 'from=lib',
  'lib/.env': 'TAG=lib',
  'root.yaml':
    'services: { root: { image: "root:${TAG:-1}", user: root, environment: { B: root, C: root }, healthcheck: { disable: true } } }',
  'loop.yaml': 'services: { a: { extends: { file: compose.yaml, service: web } } }',
  'many.yaml': 'services: { a: { image: a } }\n---\nservices: { a: { user: b } }',
  'empty.yaml': '',
  'bad.yaml': 'services: { a: { image: a, unknown: b }, ok: { image: c } }',
  'key.txt': 'k',
};

const around = 'networks: { lost: , n: }\nvolumes: { named: , vol: }\nsecrets: { key: { file: key.txt } }';

function extendsCases(): PeerCase[] {
  const one = linesOf('extending.txt', 'extends').map((text) => {
    return caseOf(`extends ${text}`, `${text}\n${around}`, {
      files: library,
      environment: { A: 'outside', HOME: '/home/me' },
    });
  });
  const over: PeerCase = {
    name: 'extends in a later file',
    files: {
      ...library,
      'a.yaml':
        'services: { web: { image: a, user: me, ports: ["1:1"] }, base: { image: b, ports: ["2:2"] } }',
      'b.yaml':
        'services: { base: { ports: ["3:3"] }, web: { extends: base, user: !reset null, ports: !override ["4:4"] } }',
    },
    composeFiles: ['a.yaml', 'b.yaml'],
  };
  const across: PeerCase = {
    name: 'extends a service of an earlier file',
    files: { 'a.yaml': 'services: { base: { image: b } }', 'b.yaml': 'services: { web: { extends: base } }' },
    composeFiles: ['a.yaml', 'b.yaml'],
  };
  const nested: PeerCase = {
    name: 'extends a file of another folder that extends one of its own',
    files: {
      'x/compose.yaml': 'services: { web: { extends: { file: ../y/a.yaml, service: a } } }',
      'y/a.yaml': 'services: { a: { extends: { file: z/b.yaml, service: b }, build: ./a } }',
      'y/z/b.yaml': 'services: { b: { image: b, build: { context: ./b, dockerfile: D }, env_file: b.env } }',
      'y/z/b.env': 'Z=1',
    },
    composeFiles: ['x/compose.yaml'],
  };
  return [...one, over, across, nested];
}

const parts = {
  'db/compose.yaml':
    'services: { db: { image: "db:${TAG:-1}", env_file: db.env, environment: { SEEN: }, build: ., volumes: ["./d:/d", "data:/x"] } }\nvolumes: { data: }\nname: inner\nx-inner: 1',
  'db/.env': 'TAG=7\nSEEN=inside',
  'db/db.env': 'A=1',
  'other.yaml': 'services: { db: { image: other } }',
  'same.yaml': 'services: { db: { image: other } }',
  'over.yaml': 'services: { db: { user: me } }',
  'a.yaml': 'include: [b.yaml]\nservices: { a: { image: a } }',
  'b.yaml': 'include: [a.yaml]\nservices: { b: { image: b } }',
  'self.yaml': 'include: [self.yaml]\nservices: { s: { image: s } }',
  'deep.yaml': 'include: [db/compose.yaml]\nservices: { deep: { image: deep, depends_on: [db] } }',
  'nets.yaml':
    'services: { n: { image: n, networks: [net], secrets: [sec], configs: [con] } }\nnetworks: { net: }\nsecrets: { sec: { environment: SEEN } }\nconfigs: { con: { file: ./con.txt } }',
  'extends.yaml': 'services: { e: { extends: { file: db/compose.yaml, service: db } } }\nvolumes: { data: }',
  'bad.yaml': 'services: { bad: { image: a, unknown: 1 } }',
  'incomplete.yaml': 'services: { db: { user: x } }',
  'needs.yaml': 'services: { needs: { image: a, depends_on: [web] } }',
  'profile.yaml': 'services: { off: { image: a, profiles: [p] } }',
  'empty.yaml': '',
  'empty.env': '',
  'other.env': 'TAG=other',
  'con.txt': 'c',
};

function includeCases(): PeerCase[] {
  return linesOf('extending.txt', 'include').flatMap((text) => {
    const environments: Record<string, string>[] = text.includes('db/') ? [{}, { TAG: '9' }] : [{}];
    return environments.map((environment) =>
      caseOf(`include ${text} ${JSON.stringify(environment)}`, text, { files: parts, environment }),
    );
  });
}

/** What paths are relative to. */
function pathCases(): PeerCase[] {
  const text = `services:
  web:
    image: a
    build: { context: b, dockerfile: D, additional_contexts: { x: ../x }, ssh: [id=./key] }
    env_file: a.env
    label_file: labels
    volumes: ["./v:/v", "../w:/w", "~/h:/h", "/abs:/abs", { type: bind, source: rel, target: /rel }]
    develop: { watch: [{ path: src, action: rebuild }] }
    credential_spec: { file: spec.json }
secrets: { s: { file: ./s.txt } }
configs: { c: { file: ../c.txt } }
volumes: { dev: { driver_opts: { type: none, o: bind, device: ./dev } } }
`;
  const used = text
    .replace('    image: a\n', '    image: a\n    secrets: [s]\n    configs: [c]\n')
    .replace('"/abs:/abs"', '"/abs:/abs", "dev:/dev"');
  const at = (folder: string) => ({
    [`${folder}a.env`]: `AT=${folder}`,
    [`${folder}labels`]: `at=${folder}`,
  });
  const environment = { HOME: '/home/me' };
  return [
    caseOf('paths in the working directory', used, { files: at(''), environment }),
    {
      name: 'paths of the first file',
      files: { 'one/a.yaml': used, 'two/b.yaml': 'services: { web: { env_file: a.env } }', ...at('one/') },
      composeFiles: ['one/a.yaml', 'two/b.yaml'],
      environment,
    },
    {
      name: 'paths of a later file',
      files: { 'one/a.yaml': 'services: { web: { image: b } }', 'two/b.yaml': used, ...at('one/') },
      composeFiles: ['one/a.yaml', 'two/b.yaml'],
      environment,
    },
    {
      name: 'paths with a project directory',
      files: { 'one/a.yaml': used, ...at('pro/') },
      composeFiles: ['one/a.yaml'],
      projectDirectory: 'pro',
      environment,
    },
    caseOf('paths with a project directory that is not there', 'services: { web: { image: a, build: b } }', {
      projectDirectory: 'nowhere',
    }),
    ...[
      '~',
      '~/a',
      '~root/a',
      '',
      '.',
      './',
      './/a',
      'a/../b',
      '../../..',
      'C:\\a',
      '\\a',
      'a b',
      '$HOME/a',
      './a:b',
    ].map((path) =>
      caseOf(
        `path ${path}`,
        `services: { web: { image: a, build: ${JSON.stringify(path)}, volumes: [{ type: bind, source: ${JSON.stringify(path)}, target: /t }] } }`,
        { environment },
      ),
    ),
  ];
}

export function layeringCases(): PeerCase[] {
  return [...pairCases(), ...wholeCases(), ...extendsCases(), ...includeCases(), ...pathCases()];
}
