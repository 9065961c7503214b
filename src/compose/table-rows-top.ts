import type { Row } from './table-rows.ts';

/** The attributes outside services. */

const labels: Row = ['labels', ['{ a: b }', '[a=b]'], ['5', '{ a: [] }', '[1]']];
const name: Row = ['name', ['given', 'a.b_c'], ['5', '"a b"']];
const wrongExternals = ['5', 'maybe', '{ names: a }'];
const driverOptions: Row = ['driver_opts', ['{}'], ['5', '{ a: [] }', '{ a: true }'], ['{ a: b, c: 1 }']];

const network: readonly Row[] = [
  name,
  labels,
  ['driver', ['overlay', 'bridge'], ['5'], ['macvlan', 'host']],
  [
    'driver_opts',
    ['{}', '{ com.docker.network.driver.mtu: 1400 }'],
    ['5', '{ com.docker.network.driver.mtu: [] }', '{ a: true }'],
    ['{ colour: red }', '{ com.docker.network.driver.mtu: 12 }', '{ com.docker.network.bridge.name: a }'],
  ],
  ['driver_opts.encrypted', [], ['[]'], ['"true"', '""']],
  ['attachable', ['true', 'false'], ['5']],
  ['internal', ['true'], ['5']],
  [
    'external',
    ['false', 'true', 'true, name: other', '{ name: other }', 'true, internal: true'],
    [...wrongExternals, '{ name: a }, name: b'],
    ['true, name: host'],
  ],
  ['enable_ipv4', ['true'], ['5'], ['false']],
  ['enable_ipv6', ['false'], ['5'], ['true']],
  ['ipam', ['{}'], ['5', '{ configs: [] }']],
  ['ipam.driver', ['default'], ['5'], ['other']],
  [
    'ipam.config',
    ['[]', '[{ subnet: 10.1.0.0/16 }]'],
    ['5', '[10.1.0.0/16]'],
    ['[{ subnet: 10.1.0.0/16 }, { subnet: 10.2.0.0/16 }]'],
  ],
  ['ipam.config[].subnet', ['10.1.0.0/16'], ['here', '10.1.0.0'], ['"2001:db8::/64"', '10.1.0.0/29']],
  [
    'ipam.config[].ip_range',
    ['10.1.5.0/24, subnet: 10.1.0.0/16'],
    ['here'],
    ['10.1.5.0/24', '10.2.5.0/24, subnet: 10.1.0.0/16', '"2001:db8::/64", subnet: 10.1.0.0/16'],
  ],
  [
    'ipam.config[].gateway',
    ['10.1.0.1, subnet: 10.1.0.0/16'],
    ['here'],
    ['10.1.0.1', '10.2.0.1, subnet: 10.1.0.0/16', '"2001:db8::1", subnet: 10.1.0.0/16'],
  ],
  [
    'ipam.config[].aux_addresses',
    ['{}', '{ a: 10.1.0.5 }, subnet: 10.1.0.0/16'],
    ['5', '{ a: here }'],
    ['{ a: 10.1.0.5 }', '{ a: "::1" }, subnet: "2001:db8::/64"'],
  ],
  ['ipam.options', ['{}'], ['5'], ['{ a: b }']],
];

const volume: readonly Row[] = [
  name,
  labels,
  ['driver', ['local'], ['5', 'local, external: true'], ['nfs', 'nfs, driver_opts: { any: thing }']],
  [
    'driver_opts',
    ['{}', '{ type: tmpfs, o: "size=1m", device: tmpfs }', '{ type: none, o: "ro,bind", device: /srv }'],
    ['5', '{ a: [] }'],
    ['{ type: tmpfs }', '{ device: /dev/sdb1 }', '{ type: nfs, device: ":/x", addr: nas }'],
  ],
  ['driver_opts.type', ['nfs, device: ":/x"'], ['[]'], ['-t, device: x']],
  ['driver_opts.o', ['"addr=nas", device: ":/x", type: nfs'], ['[]'], ['bind']],
  ['driver_opts.device', ['/srv, o: bind'], ['[]'], ['./data, o: bind', '"", o: bind']],
  ['driver_opts.size', [], ['[]'], ['1g, type: nfs, device: ":/x"']],
  [
    'external',
    ['false', 'true', 'true, name: a, x-a: 1', '{ name: other }'],
    [...wrongExternals, 'true, labels: [a]'],
  ],
  ['x-shoal-volume', ['per-node'], ['5', 'shared'], []],
  ['x-cluster-spec', ['{}'], ['5'], ['{ group: a }']],
];

const file: readonly Row[] = [
  name,
  labels,
  ['file', ['pw.txt'], ['5', 'none.txt', 'pw.txt, environment: FROM']],
  ['environment', ['FROM'], ['5', 'NONE', '"a b"']],
  [
    'external',
    ['false, environment: FROM', 'true', '{ name: other }', 'true, file: none.txt'],
    [...wrongExternals, 'false'],
  ],
  ['template_driver', [], ['5'], ['golang', 'golang, external: true']],
];

function below(path: string, rows: readonly Row[]): Row[] {
  return rows.map(([one, ...rest]) => [`${path}.${one}`, ...rest]);
}

export const topRows: readonly Row[] = [
  ['version', ['"3.8"', '3'], ['[]']],
  ['name', ['shop', 'My Shop'], ['5', '"***"']],
  [
    'include',
    ['[other.yaml]', '[{ path: other.yaml }]'],
    ['other.yaml', '[none.yaml]', '[{ file: other.yaml }]'],
  ],
  ['include[].path', ['other.yaml', '[other.yaml]'], ['none.yaml', '5', '[]']],
  ['include[].project_directory', ['.'], ['5']],
  ['include[].env_file', ['a.env', '[a.env]', '[]', 'null'], ['none.env', '{}']],
  ['networks', ['{ n: }', '{ n: {} }', '{}'], ['[n]', '{ "a b": }', '{ n: { drive: overlay } }']],
  [
    'volumes',
    ['{ v: }', '{}', '{ a: { external: true, name: x }, b: { external: true, name: x } }'],
    ['[v]', '{ v: { drive: local } }', '{ a: { external: true, name: x }, b: { name: x } }'],
  ],
  ['secrets', ['{ s: { file: pw.txt } }'], ['{ s: }', '{ s: {} }', '{ s: { content: x } }']],
  ['configs', ['{ c: { content: x } }'], ['{ c: }', '{ c: {} }', '{ c: { content: x, file: pw.txt } }']],
  ['models', ['{}'], ['5', '{ m: }', '{ m: { models: a } }'], ['{ m: { model: ai/smollm2 } }']],
  ['models.*.name', [], ['5'], ['other']],
  ['models.*.model', [], ['5'], ['ai/smollm2']],
  ['models.*.context_size', [], ['-1', 'large'], ['1024']],
  ['models.*.runtime_flags', [], ['"--a"', '[5]'], ['["--a"]']],
  [
    'services',
    ['{ a: { image: a } }', '{ a-b_c.d: { image: a } }'],
    ['[]', '{ a: 5 }', '{ "-a": { image: a } }', '{ a: {} }', '{ 5: { image: a } }'],
    ['{}', '{ a: { image: a, profiles: [p] } }', '{ a: { build: . } }', '{ a: { provider: { type: b } } }'],
  ],
  ...below('networks.*', network),
  ...below('volumes.*', volume),
  ...below('secrets.*', file),
  ...below('secrets.*', [['driver', [], ['5'], ['vault']], driverOptions]),
  ...below('configs.*', file),
  ['configs.*.content', ['x'], ['[]', 'x, file: pw.txt']],
];
