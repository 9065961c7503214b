import { caseOf, linesOf, readLines, serviceOf, type PeerCase } from './case.ts';

/** How values are read: variables, environment files, numbers and sizes, YAML. */

const variables = {
  SET: 'value',
  EMPTY: '',
  OTHER: 'other',
  N: '3',
  YES: 'Yes',
  SIZE: '64m',
  JSON: '{"a":1}',
};

/** Texts with variables, each as a label and so read as text; and attributes where other values than texts are wanted. */
function variableCases(): PeerCase[] {
  const more = { files: { 'a.env': 'A=1' }, environment: variables };
  return [
    ...linesOf('variables.txt', 'templates').map((text) =>
      caseOf(`variables ${text}`, serviceOf(`labels: { a: ${JSON.stringify(text)} }`), {
        environment: variables,
      }),
    ),
    ...linesOf('variables.txt', 'attributes').map((attribute) =>
      caseOf(`variables in ${attribute}`, serviceOf(attribute), more),
    ),
  ];
}

/** Environment files, each on its own as `.env`, as an `env_file`, raw, and as a `label_file`. */
function environmentCases(): PeerCase[] {
  const environment = { SET: 'value' };
  return linesOf('environment-files.txt', 'files').flatMap((text) => [
    caseOf(
      `.env ${JSON.stringify(text)}`,
      serviceOf('environment: [A, B, C, SET], labels: ["a=${A-none}"]'),
      {
        files: { '.env': text },
        environment,
      },
    ),
    caseOf(`env_file ${JSON.stringify(text)}`, serviceOf('env_file: a.env, environment: { OWN: own }'), {
      files: { 'a.env': text },
      environment,
    }),
    caseOf(`raw ${JSON.stringify(text)}`, serviceOf('env_file: [{ path: a.env, format: raw }]'), {
      files: { 'a.env': text },
      environment,
    }),
    caseOf(`label_file ${JSON.stringify(text)}`, serviceOf('label_file: a.env, labels: { own: own }'), {
      files: { 'a.env': text },
      environment,
    }),
  ]);
}

/** Which of several environments says what a variable is. */
function precedenceCases(): PeerCase[] {
  const text = serviceOf(
    'labels: ["a=${A-unset}"], environment: { A: , B: b, C: "" }, env_file: [one.env, two.env]',
  );
  const files = {
    'one.env': 'A=one\nB=one\nC=one\nD=one\nE=one',
    'two.env': 'D=two\nX=${A-none}-${B-none}-${E-none}-${D-none}',
    'e.env': 'A=e\nZ=${A}',
    'f.env': 'A=f',
  };
  const dotenv = { ...files, '.env': 'A=dotenv\nF=dotenv' };
  const rows: [string, Partial<PeerCase>][] = [
    ['nothing', { files }],
    ['the process', { files, environment: { A: 'process' } }],
    ['an empty one of the process', { files: dotenv, environment: { A: '' } }],
    ['.env', { files: dotenv }],
    ['the process before .env', { files: dotenv, environment: { A: 'process' } }],
    ['files that are named', { files: dotenv, envFiles: ['e.env', 'f.env'] }],
    ['files that are named, and the process', { files, envFiles: ['e.env'], environment: { A: 'process' } }],
    ['a file that is not there', { files, envFiles: ['none.env'] }],
    ['COMPOSE_ENV_FILES', { files: dotenv, environment: { COMPOSE_ENV_FILES: 'e.env,f.env' } }],
    [
      'COMPOSE_ENV_FILES and a file that is named',
      { files, envFiles: ['f.env'], environment: { COMPOSE_ENV_FILES: 'e.env' } },
    ],
    ['COMPOSE_DISABLE_ENV_FILE', { files: dotenv, environment: { COMPOSE_DISABLE_ENV_FILE: '1' } }],
    ['COMPOSE_DISABLE_ENV_FILE=false', { files: dotenv, environment: { COMPOSE_DISABLE_ENV_FILE: 'false' } }],
    ['COMPOSE_DISABLE_ENV_FILE=maybe', { files: dotenv, environment: { COMPOSE_DISABLE_ENV_FILE: 'maybe' } }],
  ];
  const more = [
    serviceOf('environment: { A: null, B: ~, C: }'),
    serviceOf('environment: [A, "B=", "C"]'),
    serviceOf('environment: { A: "${A:-d}" }'),
    serviceOf('environment: { COMPOSE_PROJECT_NAME: }, labels: ["p=$COMPOSE_PROJECT_NAME"]'),
    serviceOf('env_file: none.env'),
    serviceOf('env_file: [{ path: none.env, required: false }]'),
    serviceOf('env_file: [{ path: none.env, required: "false" }]'),
    serviceOf('env_file: []'),
    serviceOf('env_file: { path: one.env }'),
    serviceOf('env_file: [one.env, one.env]'),
    serviceOf('env_file: [{ path: one.env, format: other }]'),
    serviceOf('env_file: [{ path: one.env, x-a: 1 }]'),
  ];
  return [
    ...rows.map(([name, given]) => caseOf(`precedence: ${name}`, text, given)),
    ...more.map((one) => caseOf(`environment ${one}`, one, { files, environment: { A: 'process' } })),
    caseOf('.env where the command runs names the files', '', {
      files: {
        'compose.yaml': serviceOf('user: wrong'),
        '.env': 'COMPOSE_FILE=deep/web.yaml\nA=here\nCOMPOSE_PROFILES=p',
        'deep/.env': 'A=there\nB=there',
        'deep/web.yaml': 'services: { web: { image: a, user: "$A-$B" }, tool: { image: b, profiles: [p] } }',
      },
    }),
  ];
}

/** Attributes whose values have a grammar of their own. */
function valueCases(): PeerCase[] {
  return [...readLines('values.txt')].flatMap(([attribute, texts]) =>
    texts.map((value) => {
      const image = attribute === 'image' ? '' : '    image: nginx\n';
      const block = /^[|>]/u.test(value) ? value.replaceAll('\n  ', '\n      ') : value;
      const text = `services:\n  web:\n${image}    ${attribute}: ${block}\n`;
      return caseOf(`value ${attribute}: ${value}`, `${text}secrets: { s: { environment: SET } }\n`, {
        files: { 'a.env': 'A=1' },
        environment: { SET: 'value', B: 'outside', HOME: '/home/me' },
      });
    }),
  );
}

/** Whole documents, for YAML itself. */
function documentCases(): PeerCase[] {
  return linesOf('documents.txt', 'documents').map((text) =>
    caseOf(`document ${JSON.stringify(text)}`, text, { environment: { A: 'outside' } }),
  );
}

export function readingCases(): PeerCase[] {
  return [
    ...variableCases(),
    ...environmentCases(),
    ...precedenceCases(),
    ...valueCases(),
    ...documentCases(),
  ];
}
