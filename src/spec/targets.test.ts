import { expect, test } from 'vitest';
import { sampleService, sampleSpec } from '../../test/samples.ts';
import type { RollbackTarget, Service, VersionState } from './service.ts';
import { earlierTargetsCharactersMax, earlierTargetsMax, targetOf, withTarget } from './targets.ts';

const target = (version: number, charactersOfLabel = 0): RollbackTarget => ({
  version,
  spec: { ...sampleSpec('web'), labels: { text: 'x'.repeat(charactersOfLabel) } },
});

function service(states: VersionState[], changes: Partial<Service> = {}): Service {
  const versions = states.map((state, index) => ({
    version: index + 1,
    cause: 'up' as const,
    state,
    createdAt: 0,
  }));
  return sampleService('web', {}, { versions, ...changes });
}

const numbers = ({ rollbackTarget, earlierTargets = [] }: Partial<Service>) => [
  ...earlierTargets.map(({ version }) => version),
  rollbackTarget?.version,
];

test('what a rollback returned to before can be named afterwards, and the oldest goes', () => {
  let known: Partial<Service> = {};
  for (let version = 1; version <= 8; version++) {
    known = withTarget(service(Array<VersionState>(8).fill('completed'), known), target(version));
  }
  expect(numbers(known)).toEqual([4, 5, 6, 7, 8]);
  expect(known.earlierTargets).toHaveLength(earlierTargetsMax);
});

test('the same version is kept once, in the order of the numbers', () => {
  const known = { rollbackTarget: target(3), earlierTargets: [target(1), target(2)] };
  const all = service(['completed', 'completed', 'completed', 'completed'], known);
  expect(numbers(withTarget(all, target(2)))).toEqual([1, 3, 2]);
  expect(withTarget(all, undefined)).toEqual({});
});

test('large specs are kept up to a size, the newest first, and none that history has forgotten', () => {
  const half = earlierTargetsCharactersMax / 2;
  const known = { rollbackTarget: target(3, half), earlierTargets: [target(1, 10), target(2, half)] };
  const all = service(['completed', 'completed', 'completed', 'completed'], known);
  expect(numbers(withTarget(all, target(4)))).toEqual([3, 4]);
  const forgetful = { ...all, versions: all.versions.slice(3) };
  expect(numbers(withTarget(forgetful, target(4)))).toEqual([4]);
});

test.each([
  [5, 'version 5 is what it is asked to be'],
  [9, 'nothing is known of a version 9'],
  [3, 'version 3 was never completed (failed)'],
  [1, 'of version 1 only what became of it is kept'],
])('version %i cannot be returned to, for %s', (version, why) => {
  const known = { rollbackTarget: target(4), earlierTargets: [target(2)] };
  const web = service(['completed', 'completed', 'failed', 'completed', 'completed'], known);
  expect(() => targetOf(web, version)).toThrow(`Cannot roll back app_web: ${why}`);
  expect(targetOf(web, 2).version).toBe(2);
});
