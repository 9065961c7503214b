import { caseOf, linesOf, type PeerCase } from './case.ts';

/** What a model must be: ports, volumes, names, profiles, and what refers to what. */

const rest = `
networks: { n: , m: }
volumes: { data: , other: , v: }
secrets: { s: { environment: A } }
configs: { c: { content: x } }
`;

const of = (attribute: string) =>
  `services: { web: { image: nginx, ${attribute} }, db: { image: d }, off: { image: o, profiles: [p] } }\n${rest}`;

/** Ports and volumes, each way to write them alone and together. */
function listCases(): PeerCase[] {
  const given = { environment: { A: 'a', HOME: '/home/me' } };
  const one = (attribute: string) => caseOf(`model ${attribute}`, of(attribute), given);
  return [
    ...linesOf('models.txt', 'short ports').map((text) => one(`ports: [${JSON.stringify(text)}]`)),
    ...linesOf('models.txt', 'long ports').map((text) => one(`ports: [${text}]`)),
    ...linesOf('models.txt', 'ports').map((text) => one(`ports: ${text}`)),
    ...linesOf('models.txt', 'short volumes').map((text) => one(`volumes: [${JSON.stringify(text)}]`)),
    ...linesOf('models.txt', 'long volumes').map((text) => one(`volumes: [${text}]`)),
    ...linesOf('models.txt', 'volumes').map((text) => one(`volumes: ${text}`)),
  ];
}

/** A service that uses everything, so that nothing is left out for want of use. */
function usingAll(top: string): string {
  const [kind = ''] = top.split(':');
  const names: Record<string, string> = {
    networks: 'networks: [n]',
    volumes: 'volumes: ["vol:/v"]',
    secrets: 'secrets: [s]',
    configs: 'configs: [c]',
    models: 'models: [m]',
  };
  const uses = /^networks: (?:\{ default|\[)/u.test(top) ? '' : `, ${names[kind]}`;
  return `services: { web: { image: nginx${uses} } }\n${top}`;
}

function nameCases(): PeerCase[] {
  const text =
    'services: { web: { image: a, labels: ["p=$COMPOSE_PROJECT_NAME"], networks: [n] } }\nnetworks: { n: }';
  const named = `name: file\n${text}`;
  const keyed = (key: string): [string, string][] => [
    [`service ${key}`, `services: { ${key}: { image: a } }`],
    [`network ${key}`, `services: { web: { image: a, networks: [${key}] } }\nnetworks: { ${key}: }`],
    [
      `volume ${key}`,
      `services: { web: { image: a, volumes: [{ type: volume, source: ${key}, target: /v }] } }\nvolumes: { ${key}: }`,
    ],
  ];
  const variable = (name: string) => ({ environment: { COMPOSE_PROJECT_NAME: name } });
  const inFolder = (folder: string) => {
    const path = `${folder}/compose.yaml`;
    return { name: `name of the folder ${folder}`, files: { [path]: text }, composeFiles: [path] };
  };
  return [
    ...linesOf('models.txt', 'names').map((name) =>
      caseOf(`name ${name}`, `name: ${name}\n${text}`, { environment: { A: 'a' } }),
    ),
    ...linesOf('models.txt', 'keys')
      .flatMap(keyed)
      .map(([name, file]) => caseOf(name, file)),
    caseOf('-p', named, { projectName: 'asked', ...variable('env') }),
    caseOf('-p in upper case', text, { projectName: 'My' }),
    caseOf('-p that begins with a dash', text, { projectName: '_a' }),
    caseOf('COMPOSE_PROJECT_NAME', named, variable('env')),
    caseOf('COMPOSE_PROJECT_NAME that is none', text, variable('My Env')),
    caseOf('an empty COMPOSE_PROJECT_NAME', named, variable('')),
    caseOf('COMPOSE_PROJECT_NAME in .env', named, { files: { '.env': 'COMPOSE_PROJECT_NAME=dotenv' } }),
    inFolder('My.Shop'),
    inFolder('___'),
  ];
}

function profileCases(): PeerCase[] {
  const text =
    'services: { web: { image: a }, one: { image: b, profiles: [a, b] }, two: { image: c, profiles: [c], depends_on: [one] } }';
  const asked = [[], ['a'], ['b', 'c'], ['c'], ['*'], ['none']].map((profiles) => ({ profiles }));
  const said = ['a', 'a,c', 'a, c', '*', ''].map((profiles) => ({
    environment: { COMPOSE_PROFILES: profiles },
  }));
  const both = { environment: { COMPOSE_PROFILES: 'a' }, profiles: ['c', 'b'] };
  return [
    ...[...asked, ...said, both, { files: { '.env': 'COMPOSE_PROFILES=b' } }].map((given) =>
      caseOf(`profiles ${JSON.stringify(given)}`, text, given),
    ),
    caseOf(
      'a service of a profile that is off may name what is not there',
      'services: { web: { image: a }, off: { image: b, profiles: [p], networks: [none], env_file: none.env, depends_on: [nobody] } }',
    ),
    caseOf(
      'a circle',
      'services: { a: { image: a, depends_on: [b] }, b: { image: b, links: [c] }, c: { image: c, volumes_from: [a] } }',
    ),
    caseOf(
      'a circle of profiles that are off',
      'services: { w: { image: w }, a: { image: a, profiles: [p], depends_on: [b] }, b: { image: b, profiles: [p], depends_on: [a] } }',
    ),
  ];
}

/** Which files are read without `-f`. */
function foundCases(): PeerCase[] {
  const one = 'services: { web: { image: a } }';
  const over = 'services: { web: { user: b } }';
  const endings = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'];
  const two = { 'a.yaml': one, 'b.yaml': over };
  return [
    ...endings.flatMap((file) =>
      endings.map((other) => {
        const override = other.replace('.y', '.override.y');
        return { name: `found ${file} and ${override}`, files: { [file]: one, [override]: over } };
      }),
    ),
    {
      name: 'found of several',
      files: { 'compose.yml': one, 'compose.yaml': one.replace('web', 'b'), 'docker-compose.yml': one },
    },
    { name: 'found none', files: { 'other.yaml': one } },
    { name: 'COMPOSE_FILE', files: two, environment: { COMPOSE_FILE: 'a.yaml:b.yaml' } },
    {
      name: 'COMPOSE_FILE with a separator',
      files: two,
      environment: { COMPOSE_FILE: 'a.yaml,b.yaml', COMPOSE_PATH_SEPARATOR: ',' },
    },
    {
      name: 'COMPOSE_FILE that is not there',
      files: { 'compose.yaml': one },
      environment: { COMPOSE_FILE: 'none.yaml' },
    },
  ];
}

export function modelCases(): PeerCase[] {
  const given = { files: { a: 'a' }, environment: { A: 'a', HOME: '/home/me' } };
  return [
    ...listCases(),
    ...linesOf('models.txt', 'relations').map((attribute) =>
      caseOf(`relation ${attribute}`, of(attribute), given),
    ),
    ...linesOf('models.txt', 'resources').map((top) => caseOf(`resource ${top}`, usingAll(top), given)),
    ...nameCases(),
    ...profileCases(),
    ...foundCases(),
  ];
}
