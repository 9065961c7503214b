import { expect, test } from 'vitest';
import { sampleService, sampleTemplate } from '../../test/samples.ts';
import { scalingOrder } from './scaling.ts';

const service = (key: string, replicas: number, anchor?: string) =>
  sampleService(key, {
    mode: { kind: 'replicated', replicas },
    task: sampleTemplate(anchor === undefined ? {} : { sharing: { pid: `app_${anchor}` } }),
  });

const keys = (targets: [ReturnType<typeof service>, number][]) =>
  scalingOrder(targets.map(([one, replicas]) => ({ service: one, replicas }))).map(
    (target) => target.service.spec.key,
  );

test('services that share grow after the ones they share with, and shrink before them', () => {
  const [db, proxy, probe] = [service('db', 2), service('proxy', 2, 'db'), service('probe', 2, 'proxy')];
  expect(
    keys([
      [probe, 4],
      [proxy, 4],
      [db, 4],
    ]),
  ).toEqual(['db', 'proxy', 'probe']);
  expect(
    keys([
      [db, 1],
      [proxy, 1],
      [probe, 1],
    ]),
  ).toEqual(['probe', 'proxy', 'db']);
  expect(
    keys([
      [service('web', 1), 5],
      [proxy, 1],
      [db, 3],
    ]),
  ).toEqual(['proxy', 'web', 'db']);
});
