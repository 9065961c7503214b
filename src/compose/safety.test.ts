import { describe, expect, it } from 'vitest';
import { faultsOf, load } from './fixtures.ts';
import { renderCanonical } from './render.ts';

const levels = Array.from(
  { length: 9 },
  (_, level) => `  a${level + 1}: &a${level + 1} [${Array(9).fill(`*a${level}`).join(', ')}]`,
);
const laughs = `services: { web: { image: nginx } }\nx-bomb:\n  a0: &a0 [x, x, x]\n${levels.join('\n')}\n`;

describe('a hostile file is refused with its place:', () => {
  it.each<[string, string, RegExp]>([
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
    [
      'a control character in a name',
      'services: { "a\\x1b": { image: a } }',
      /U\+001B, which cannot be seen/u,
    ],
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
    [
      'a variation selector in a name',
      'services: { a: { image: a, labels: { "a\\ufe0f": x } } }',
      /U\+FE0F/u,
    ],
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
    ['half a file', 'services: { a: { image: "x', /this is not YAML/u],
    ['a very long key', `services: { ${'a'.repeat(2000)}: { image: a } }`, /the key is too long/u],
  ])('%s', async (_, text, message) => {
    const faults = await faultsOf(text);
    expect(faults.map((fault) => fault.message).join('\n')).toMatch(message);
    for (const fault of faults) expect(fault.line).toBeGreaterThan(0);
  });
});

describe('what looks dangerous and is not', () => {
  it('loads: names of properties that all objects have', async () => {
    const { application, canonical } = await load(
      'services: { constructor: { image: a, environment: { __proto__: x, toString: y } } }\nx-__proto__: 1',
    );
    const [service] = application.services;
    expect(service?.name).toBe('app_constructor');
    expect(Object.entries(service!.task.container.environment)).toEqual([
      ['__proto__', 'x'],
      ['toString', 'y'],
    ]);
    expect(Object.hasOwn(canonical.services['constructor']!.environment!, '__proto__')).toBe(true);
  });

  it('loads: aliases and merge keys in moderation, the map itself and then the first of a list winning', async () => {
    const { canonical } = await load(`
x-one: &one { image: one, restart: always }
x-two: &two { image: two, user: root }
services:
  a: { <<: [*one, *two], user: me }
  b: *two
`);
    expect(canonical.services).toMatchObject({
      a: { image: 'one', restart: 'always', user: 'me' },
      b: { image: 'two', user: 'root' },
    });
  });

  it('loads: a file of nothing but comments below a service, and white space in a value', async () => {
    const { canonical } = await load(
      `services: { a: { image: a, labels: { l: a\u00a0 } } }\n${'# nothing\n'.repeat(50_000)}`,
    );
    expect(canonical.services['a']!.labels).toEqual({ l: 'a\u00a0' });
  });

  it('loads: a name that ends as no other does, also a second time', async () => {
    const first = await load(
      'services: { a: { image: a, networks: [__proto__] } }\nnetworks: { __proto__: }',
    );
    const again = await load(renderCanonical(first.canonical, 'yaml'));
    expect(again.canonical).toEqual(first.canonical);
  });

  it('tells of overlapping subnets by the later of the two', async () => {
    const [fault] = await faultsOf(`services: { a: { image: a } }
networks:
  a: { ipam: { config: [{ subnet: 10.9.0.0/16 }] } }
  b: { ipam: { config: [{ subnet: 10.8.0.0/16 }] } }
  c: { ipam: { config: [{ subnet: 10.8.0.0/13 }] } }
`);
    expect(fault).toMatchObject({ line: 5, path: 'networks.c.ipam.config[0].subnet' });
  });

  it('names no more than 200 faults of a file that is nothing but faults', async () => {
    const services = Array.from({ length: 1000 }, (_, index) => `  s${index}: 1`);
    expect(await faultsOf(`services:\n${services.join('\n')}`)).toHaveLength(200);
  });
});
