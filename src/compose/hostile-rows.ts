/** A file that is written to do harm: what it is, its text, and what is said of it. */
export type HostileRow = [name: string, text: string, message: RegExp];

function texts(count: number, text: (index: number) => string, separator = ', '): string {
  return Array.from({ length: count }, (_, index) => text(index)).join(separator);
}

function services(count: number, text: (index: number) => string): string {
  return `services:\n${texts(count, (index) => `  s${index}: { ${text(index)} }`, '\n')}\n`;
}

const levels = Array.from(
  { length: 9 },
  (_, level) => `  a${level + 1}: &a${level + 1} [${Array(9).fill(`*a${level}`).join(', ')}]`,
);
const laughs = `services: { web: { image: nginx } }\nx-bomb:\n  a0: &a0 [x, x, x]\n${levels.join('\n')}\n`;

/** Files to be refused at once: `safety.test.ts` looks at what is said, the bench `refusal` at how long it takes. */
export const hostileRows: HostileRow[] = [
  ['an alias bomb', laughs, /aliases repeat more than/u],
  ['brackets without end', '['.repeat(100_000), /nested too deeply/u],
  ['braces without end', '{a: '.repeat(10_000), /nested too deeply/u],
  ['dashes without end', '- '.repeat(10_000), /nested too deeply/u],
  ['question marks without end', '? '.repeat(10_000), /nested too deeply/u],
  [
    'deep indentation',
    Array.from({ length: 500 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
    /nested too deeply/u,
  ],
  ['a huge file', 'a: b\n'.repeat(1_000_000), /too large/u],
  [
    'a value without end',
    `services: { a: { image: a, command: "${'a'.repeat(1_100_000)}" } }`,
    /the value is too long/u,
  ],
  [
    'a command line without end',
    `services: { a: { image: a, command: "${'a '.repeat(70_000)}" } }`,
    /more than 131072 characters/u,
  ],
  [
    'a map with 100,000 keys',
    Array.from({ length: 100_000 }, (_, index) => `k${index}: 1`).join('\n'),
    /too long/u,
  ],
  [
    'port ranges without end',
    `services: { a: { image: a, ports: [${Array.from({ length: 9000 }, (_, index) => `"${index + 1}-${index + 1000}"`).join(',')}] } }`,
    /the ranges make too many ports/u,
  ],
  [
    'a long circle of services',
    `services: { ${Array.from({ length: 500 }, (_, index) => `s${index}: { image: a, depends_on: [s${(index + 1) % 500}] }`).join(', ')} }`,
    /in a circle: s0 -> .* -> … -> .* -> s0$/u,
  ],
  ['documents without end', '---\na: b\n'.repeat(1000), /too many documents/u],
  [
    'a variable in a variable in a variable',
    `services: { a: { image: "${'${A:-'.repeat(90)}${'}'.repeat(90)}" } }`,
    /nested too deeply/u,
  ],
  ['an alias to itself', 'services: &a { web: *a }', /nothing above is anchored as &a/u],
  ['a merge with itself', 'services: { a: &x { <<: *x } }', /nothing above is anchored as &x/u],
  ['a merge with a list', 'x-a: &x [1]\nservices: { a: { <<: *x } }', /<< merges maps/u],
  ['an alias to nothing', 'services: *none', /nothing above is anchored as &none/u],
  ['a key given twice', 'services: { a: { image: a, image: b } }', /given twice, first on line 1/u],
  ['a number as a key', 'services: { 1: { image: a } }', /the key 1 is not a string/u],
  ['a list as a key', 'services: { ? [a] : { image: a } }', /the key a list is not a string/u],
  ['nothing as a key', 'services: { : { image: a } }', /the key null is not a string/u],
  ['NUL in a key', 'services: { "a\\0": { image: a } }', /NUL character/u],
  ['NUL in a value', 'services: { a: { image: a, command: "\\0" } }', /NUL character/u],
  ['a control character in a name', 'services: { "a\\x1b": { image: a } }', /U\+001B, which cannot be seen/u],
  [
    'text that runs backwards in a name',
    'services: { "a\\u202eb": { image: a } }',
    /U\+202E, which cannot be seen/u,
  ],
  [
    'an invisible space in a name',
    'services: { a: { image: a, environment: { "A\\u200b": x } } }',
    /U\+200B/u,
  ],
  ['a filler in a name', 'services: { a: { image: a, labels: { "a\\u3164": x } } }', /U\+3164/u],
  ['a space that is none in a name', 'services: { a: { image: a, labels: ["a\\u00a0b"] } }', /U\+00A0/u],
  ['a variation selector in a name', 'services: { a: { image: a, labels: { "a\\ufe0f": x } } }', /U\+FE0F/u],
  [
    'an invisible space in a name of a list',
    'services: { a: { image: a, environment: ["A\\u200b=x"] } }',
    /U\+200B, which cannot be seen/u,
  ],
  [
    'a name that means something to JavaScript',
    'services: { __proto__: { image: a } }',
    /"__proto__" cannot be used as a name/u,
  ],
  [
    'a tag nobody knows',
    'services: { a: !python/object { image: a } }',
    /the tag !python\/object is not known/u,
  ],
  ['tabs', 'services:\n\ta:\n\t\timage: b', /this is not YAML: tabs/u],
  [
    'a variable without quotes in a map on one line',
    'services:\n  a: { image: "x:${N:-9}", hostname: ${N:-9} }\n  b: { image: y }',
    /^this is not YAML: [^\n]*$/u,
  ],
  ['half a file', 'services: { a: { image: "x', /this is not YAML/u],
  ['a very long key', `services: { ${'a'.repeat(2000)}: { image: a } }`, /the key is too long/u],
  [
    'services that extend each other in a long circle',
    services(5000, (index) => `image: a, extends: s${(index + 1) % 5000}`),
    /too many services extend one another/u,
  ],
  [
    'services that extend each other two by two',
    services(5000, (index) => `image: a, extends: s${index ^ 1}`),
    /the services extend each other/u,
  ],
  [
    'services that depend on each other in a long circle',
    services(5000, (index) => `image: a, depends_on: [s${(index + 1) % 5000}]`),
    /in a circle: s0 -> .* -> … -> .* -> s0$/u,
  ],
  [
    'services that all depend on all',
    services(150, () => `image: a, depends_on: [${texts(150, (other) => `s${other}`)}]`),
    /depend on each other in a circle/u,
  ],
  [
    'keys that nobody knows',
    `services: { a: { image: a, ${texts(9000, (index) => `k${index}: 1`)} } }`,
    /this key is not known/u,
  ],
  [
    'services with a key that nobody knows',
    services(5000, () => 'image: a, imagee: b'),
    /this key is not known/u,
  ],
  ['services that are numbers', `services: { ${texts(9000, (index) => `s${index}: 1`)} }`, /cannot be used/u],
  [
    'ports that are none',
    `services: { a: { image: a, ports: [${texts(9000, (index) => `x${index}`)}] } }`,
    /is not a port/u,
  ],
  [
    'networks that are not there',
    services(5000, (index) => `image: a, networks: [n${index}]`),
    /no network is called n0/u,
  ],
  [
    'variables that must be set',
    `services: { a: { image: a, labels: [${texts(9000, (index) => `"l${index}=${'${A:?b}'.repeat(10)}"`)}] } }`,
    /the required variable A is not set/u,
  ],
  [
    'networks with one subnet',
    `services: { a: { image: a } }\nnetworks: { ${texts(5000, (index) => `n${index}: { ipam: { config: [{ subnet: 10.1.0.0/16 }] } }`)} }`,
    /overlaps/u,
  ],
  ['a key given thousands of times', texts(9000, () => 'x-k: 1', '\n'), /given twice/u],
];
