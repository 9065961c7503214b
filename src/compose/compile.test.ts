import { expect, it } from 'vitest';
import { compiledFor } from './compile.ts';
import { fromPlain, toPlain } from './tree.ts';

it('the first schema, made for its data alone, finds the same faults as the whole one', async () => {
  const at = { file: { name: 'a', text: '' }, offset: 0 };
  const data = toPlain(
    fromPlain(at, {
      'x-any': 1,
      wrong: true,
      services: {
        '-bad-name': { image: 'nginx' },
        web: {
          image: 'A B',
          imge: 'x',
          build: '.',
          'x-any': [],
          ports: [{ target: 0 }, { published: 'x' }, 5],
          environment: { A: [], 'B=': 'x' },
          networks: { front: null, back: { aliases: ['!'], priority: 1 } },
          deploy: { replicas: -1, resources: { limits: { cpus: 'x' } }, nope: 1 },
          healthcheck: null,
          command: null,
        },
        db: [],
      },
      networks: { front: null, back: 5 },
      volumes: [],
    }),
  );
  const found = async () => {
    const check = await compiledFor(data);
    expect(check(data)).toBe(false);
    const errors = check.errors!.map(({ instancePath, keyword, params }) =>
      JSON.stringify([instancePath, keyword, params]),
    );
    return errors.toSorted();
  };
  const first = await found();
  const second = await found();
  expect(first.length).toBeGreaterThan(15);
  expect(second).toEqual(first);
});
