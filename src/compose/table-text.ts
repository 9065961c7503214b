/** The rows of the tables as whole Compose files. */

const surroundings = `
networks: { front: , back: , fixed: { ipam: { config: [{ subnet: 10.3.0.0/16 }] } } }
volumes: { data: , cache: }
secrets: { pw: { file: pw.txt } }
configs: { page: { content: hello } }
`;
/** The files and variables that the rows name. */
export const given = {
  disk: {
    '/app/pw.txt': 's3cret',
    '/app/a.env': 'A=1',
    '/app/a.json': '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [] }',
    '/app/other.yaml': 'services: { base: { image: b } }',
  },
  environment: { FROM: 'outside', HOME: '/home/me' },
};

/** What an attribute needs beside it, by the path of the map that it is in. */
const beside: Record<string, Record<string, string>> = {
  'ports[]': { target: '80' },
  'volumes[]': { type: 'volume', target: '/d' },
  'secrets[]': { source: 'pw' },
  'configs[]': { source: 'page' },
  'depends_on.*': { condition: 'service_started' },
  'env_file[]': { path: 'a.env' },
  'develop.watch[]': { path: '.', action: 'rebuild' },
  'develop.watch[].exec': { command: 'a' },
  'devices[]': { source: '/dev/a' },
  'ulimits.*': { soft: '1', hard: '2' },
  'build.secrets[]': { source: 'pw' },
  'build.ulimits.*': { soft: '1', hard: '2' },
  'post_start[]': { command: 'a' },
  'pre_stop[]': { command: 'a' },
  'pre_start[]': { command: 'a' },
  'blkio_config.weight_device[]': { path: '/dev/sda', weight: '10' },
  'deploy.resources.reservations.devices[]': { capabilities: '[gpu]' },
  provider: { type: 'a' },
  'top models.*': { model: 'm' },
  'top secrets.*': { file: 'pw.txt' },
  'top configs.*': { content: 'x' },
  'top include[]': { path: 'other.yaml' },
};
for (const way of ['read', 'write']) {
  for (const unit of ['bps', 'iops']) {
    beside[`blkio_config.device_${way}_${unit}[]`] = { path: '/dev/sda', rate: '1000' };
  }
}

function neighbours(path: string, key: string, value: string): Record<string, string> {
  if (path === 'extends') return key === 'service' ? {} : { service: 'base' };
  if (path === 'volumes[]' && key === 'image') return { type: 'image', source: 'a', target: '/d' };
  if (path === 'volumes[]' && key === 'bind') return { type: 'bind', source: '/s', target: '/d' };
  if (path === 'volumes[]' && key === 'tmpfs') return { type: 'tmpfs', target: '/d' };
  const content = ['file', 'environment', 'content', 'external', 'driver'];
  if (/^top (?:secrets|configs)\.\*$/u.test(path) && content.includes(key)) return {};
  // A value may go on with what is beside it.
  const own = Object.entries(beside[path] ?? {});
  return Object.fromEntries(own.filter(([name]) => !value.includes(`, ${name}: `)));
}

const entryNames: Record<string, string> = {
  networks: 'front',
  depends_on: 'db',
  ulimits: 'nofile',
  'build.ulimits': 'nofile',
  models: 'llm',
};

/** The value of the first key of a path, when the last has this one: the path `a[].b` gives `[{ b: VALUE }]` for a. */
function nested(path: string, value: string): string {
  const cut = Math.max(path.lastIndexOf('.'), path.endsWith('[]') ? path.length - 2 : -1);
  if (cut < 0) return value;
  const outer = path.slice(0, cut);
  if (path.endsWith('[]')) return nested(outer, `[${value}]`);
  const key = path.slice(cut + 1);
  if (key === '*') return nested(outer, `{ ${entryNames[outer] ?? 'one'}: ${value} }`);
  const pairs = { ...neighbours(outer, key, value), [key]: value };
  const text = Object.entries(pairs).map(([name, one]) => `${name}: ${one}`);
  return nested(outer, `{ ${text.join(', ')} }`);
}

/** A file whose service `web` has the attribute of a path with this value. */
export function ofService(path: string, value: string): string {
  const [attribute = ''] = path.split(/[.[]/u);
  const image = attribute === 'image' ? '' : 'image: nginx\n    ';
  const others = 'db: { image: redis }\n  built: { image: redis, build: . }';
  const models = attribute === 'models' ? 'models: { llm: { model: a } }\n' : '';
  return `services:\n  ${others}\n  web:\n    ${image}${attribute}: ${nested(path, value)}\n${surroundings}${models}`;
}

/** A file with a service that uses the first entry of a line such as `volumes: { v: … }`: what none uses is left out. */
export function using(line: string): string {
  const [, kind = '', name = ''] = /^(\w+): \{ ([\w-]+):/u.exec(line) ?? [];
  const uses: Record<string, string> = {
    networks: `networks: [${name}]`,
    volumes: `volumes: [{ type: volume, source: ${name}, target: /mounted }]`,
    secrets: `secrets: [${name}]`,
    configs: `configs: [${name}]`,
    models: `models: [${name}]`,
  };
  const use = uses[kind] === undefined ? '' : `, ${uses[kind]}`;
  return `services: { web: { image: nginx${use} } }\n${line}\n`;
}

/** A file with the attribute of a path outside services. */
export function ofTop(path: string, value: string): string {
  const [attribute = ''] = path.split(/[.[]/u);
  const line = `${attribute}: ${nested(`top ${path}`, value)}`;
  return attribute === 'services' ? `${line}\n` : using(line);
}
