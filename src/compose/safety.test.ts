import { describe, expect, it } from 'vitest';
import { faultsOf, load } from './fixtures.ts';
import { hostileRows } from './hostile-rows.ts';
import { renderCanonical } from './render.ts';

describe('a hostile file is refused with its place:', () => {
  it.each(hostileRows)('%s', async (_, text, message) => {
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

  it('takes a right file however much there is to warn of, and names the faults of a wrong one all the same', async () => {
    const labels = Array.from({ length: 250 }, (_, index) => `l${index}: $UNSET_${index}`).join(', ');
    const file = (image: string) => `services: { a: { labels: { ${labels} }, image: ${image} } }`;
    expect((await load(file('a'))).warnings).toHaveLength(200);
    const faults = await faultsOf(file('[]'));
    expect(faults.filter(({ severity }) => severity === 'error')).toMatchObject([
      { path: 'services.a.image' },
    ]);
  });
});
