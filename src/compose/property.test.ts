import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../util/random.ts';
import { load } from './fixtures.ts';
import { renderCanonical } from './render.ts';

const disk = { '/app/one.txt': 'one', '/app/two.txt': 'two', '/app/a.env': 'FILE_A=1\nSHARED=file' };
const environment = { OUTSIDE: 'out', HOME: '/home/me' };
const runs = 100;

/** Any text, with dollar signs in the form in which they survive interpolation. */
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.constantFrom(
      'yes',
      '0440',
      '1_000',
      '~',
      'null',
      '',
      ' a ',
      '- b',
      'a: b',
      '#c',
      '<<',
      'two\nlines\n',
      '\t',
      '0o7',
      '*x',
      '&y',
      '!z',
    ),
  )
  .map((value) => value.replaceAll('\u0000', '').replaceAll('$', '$$$$'));

const name = fc.constantFrom('web', 'db', 'cache-1', 'a.b', 'x_y', 'constructor', '10');
const key = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.]{0,8}$/u);
const value = fc.oneof(text, fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean());
const keyValues = fc.oneof(
  fc.dictionary(key, fc.option(value), { maxKeys: 4 }),
  fc.array(
    fc.tuple(key, text).map(([left, right]) => `${left}=${right}`),
    { maxLength: 4 },
  ),
);
const duration = fc.constantFrom('10s', '1m30s', '1.5h', '2d', '0', '250ms');
const size = fc.constantFrom('64m', '1.5g', 1_048_576, '1KiB');
const optional = { requiredKeys: [] as [] };

const port = fc.oneof(
  fc.integer({ min: 1, max: 65_535 }),
  fc.integer({ min: 1, max: 65_000 }).map((target) => `${target}-${target + 2}/udp`),
  fc.record(
    {
      target: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('tcp', 'udp'),
      mode: fc.constant('host'),
    },
    { requiredKeys: ['target'] },
  ),
);

const mounts = fc
  .uniqueArray(fc.stringMatching(/^\/[a-z]{1,6}$/u), { maxLength: 4 })
  .chain((targets) =>
    fc.tuple(
      ...targets.map((target) =>
        fc.constantFrom<unknown>(
          target,
          `data:${target}:ro`,
          `/srv/x:${target}`,
          { type: 'tmpfs', target, tmpfs: { size: '1m', mode: '01777' } },
          { type: 'volume', source: 'data', target, volume: { nocopy: true } },
        ),
      ),
    ),
  );

const policy = fc.record(
  {
    parallelism: fc.nat(9),
    delay: duration,
    monitor: duration,
    failure_action: fc.constantFrom('pause', 'continue'),
  },
  optional,
);

const service = fc.record(
  {
    image: fc.constantFrom('nginx', 'registry:5000/a/b:1', '${NONE:-redis}'),
    command: fc.oneof(fc.array(text, { maxLength: 3 }), fc.constantFrom('run "a b" c', null, '')),
    entrypoint: fc.array(text, { maxLength: 3 }),
    environment: keyValues,
    env_file: fc.constantFrom('a.env', ['a.env'], [{ path: 'none.env', required: false }]),
    labels: keyValues,
    ports: fc.uniqueArray(port, { maxLength: 3, selector: (one) => JSON.stringify(one) }),
    networks: fc.oneof(
      fc.shuffledSubarray(['front', 'back', 'default']),
      fc.dictionary(fc.constantFrom('front', 'back'), fc.constantFrom(null, { aliases: ['a', 'b'] })),
    ),
    volumes: mounts,
    secrets: fc.shuffledSubarray(['one', 'two']),
    configs: fc.constantFrom<unknown[]>(
      [],
      ['page'],
      [{ source: 'page', target: '/etc/page.html', mode: 256 }],
    ),
    healthcheck: fc.record(
      { test: fc.constantFrom<unknown>('curl x', ['CMD', 'a']), interval: duration, retries: fc.nat(9) },
      optional,
    ),
    stop_grace_period: duration,
    restart: fc.constantFrom('no', 'always', 'on-failure:3', 'unless-stopped'),
    'x-note': fc.jsonValue({ maxDepth: 2, noUnicodeString: true }).map(withoutOddities),
    deploy: fc.record(
      {
        replicas: fc.oneof(fc.nat(9), fc.nat(9).map(String)),
        labels: keyValues,
        resources: fc.record(
          { limits: fc.record({ cpus: fc.constantFrom('0.5', 2, '1.25'), memory: size }, optional) },
          optional,
        ),
        update_config: policy,
        rollback_config: policy,
      },
      optional,
    ),
  },
  { requiredKeys: ['image'] },
);

const application = fc.record({
  name: fc.constantFrom('shop', 'My App'),
  services: fc.dictionary(name, service, { minKeys: 1, maxKeys: 3 }),
  networks: fc.constant({ front: null, back: { internal: true } }),
  volumes: fc.constant({ data: null }),
  secrets: fc.constant({ one: { file: 'one.txt' }, two: { file: './two.txt' } }),
  configs: fc.record({ page: fc.record({ content: text }) }),
});

/** Extensions hold what YAML and JSON can both say, with dollar signs doubled and keys that can be seen. */
function withoutOddities(given: unknown): unknown {
  if (typeof given === 'string') return given.replaceAll('$', '$$$$').replaceAll('\u0000', '');
  if (Object.is(given, -0)) return 0;
  if (Array.isArray(given)) return given.map(withoutOddities);
  if (given === null || typeof given !== 'object') return given;
  const kept = Object.entries(given).filter(([one]) => !/[\p{C}\p{Z}]/u.test(one) && one !== '__proto__');
  return Object.fromEntries(kept.map(([one, child]) => [one, withoutOddities(child)]));
}

/** The same value with the keys of its maps in another order, but for the networks that a service joins. */
function shuffled(given: unknown, next: () => number, path: readonly string[] = []): unknown {
  if (Array.isArray(given)) return given.map((item) => shuffled(item, next, [...path, '']));
  if (given === null || typeof given !== 'object') return given;
  const keepsOrder = path.length === 3 && path[0] === 'services' && path[2] === 'networks';
  const entries = Object.entries(given);
  const ordered = keepsOrder
    ? entries
    : entries
        .map((entry) => ({ entry, rank: next() }))
        .sort((left, right) => left.rank - right.rank)
        .map(({ entry }) => entry);
  return Object.fromEntries(ordered.map(([one, child]) => [one, shuffled(child, next, [...path, one])]));
}

describe('for any application', () => {
  it('the canonical form is a fixed point, in YAML and in JSON', async () => {
    await fc.assert(
      fc.asyncProperty(
        application,
        fc.constantFrom('yaml' as const, 'json' as const),
        async (given, format) => {
          const first = await load(JSON.stringify(given), { disk, environment });
          const rendered = renderCanonical(first.canonical, format);
          const second = await load(rendered, { disk, environment });
          expect(second.canonical).toEqual(first.canonical);
          expect(second.application).toEqual(first.application);
          expect(renderCanonical(second.canonical, format)).toBe(rendered);
        },
      ),
      { numRuns: runs },
    );
  });

  it('the order of keys does not matter', async () => {
    await fc.assert(
      fc.asyncProperty(application, fc.nat(), async (given, seed) => {
        const first = await load(JSON.stringify(given), { disk, environment });
        const random = seededRandom(seed);
        const other = shuffled(given, () => random.next());
        const second = await load(JSON.stringify(other), { disk, environment });
        expect(renderCanonical(second.canonical, 'yaml')).toBe(renderCanonical(first.canonical, 'yaml'));
        expect(second.application).toEqual(first.application);
      }),
      { numRuns: runs },
    );
  });

  it('merging with an almost empty file, before or after, changes nothing', async () => {
    await fc.assert(
      fc.asyncProperty(application, fc.boolean(), async (given, before) => {
        const first = await load(JSON.stringify(given), { disk, environment });
        const empty = { content: 'x-empty: 1', name: 'empty.yaml' };
        const file = { path: 'compose.yaml' };
        const second = await load(JSON.stringify({ ...given, 'x-empty': 1 }), {
          disk,
          environment,
          files: before ? [empty, file] : [file, empty],
          projectDirectory: '/app',
        });
        expect(second.application).toEqual(first.application);
      }),
      { numRuns: runs },
    );
  });
});
