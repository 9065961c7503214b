import { expect, test } from 'vitest';
import type { LeaveAnswer } from '../../src/wire/api.ts';
import { departureOf, refuseForVolumes } from './leaving.ts';

const answer = (managers: number): LeaveAnswer => ({ tasks: 0, managers });
const manager = (force: boolean, known = 3) => ({
  isManager: true,
  force,
  managerAddresses: Array<string>(known).fill('a:1'),
});
const outcome = (...given: Parameters<typeof departureOf>) => {
  try {
    return departureOf(...given);
  } catch (error) {
    return (error as Error).message;
  }
};

test('a worker leaves, whoever answers', () => {
  const worker = { isManager: false, force: false, managerAddresses: ['a:1'] };
  expect(outcome(answer(1), worker)).toBe('leaves');
  expect(outcome(undefined, worker)).toBe('leaves');
});

test('the cluster ends with its only manager, and only by force', () => {
  expect(outcome(answer(1), manager(false))).toMatch(/the only manager/);
  expect(outcome(answer(1), manager(true))).toBe('ends-cluster');
  expect(outcome(undefined, manager(true, 1))).toBe('ends-cluster');
  // A manager that does not say how many there are is of a version that knows one.
  expect(outcome({ tasks: 0 }, manager(false))).toMatch(/the only manager/);
});

test('one of several managers leaves when the others can be told, or by force', () => {
  expect(outcome(answer(3), manager(false))).toBe('leaves');
  expect(outcome(undefined, manager(false))).toMatch(/none of the other managers answers/);
  expect(outcome(undefined, manager(true))).toBe('leaves');
});

test('volumes on the host are named, and not too many of them', () => {
  expect(() => refuseForVolumes({})).not.toThrow();
  expect(() => refuseForVolumes({ volumes: ['v'] })).toThrow('Cannot leave: v is on this host');
  const many = [1, 2, 3, 4, 5, 6, 7].map((number) => `v${number}`);
  expect(() => refuseForVolumes({ volumes: many })).toThrow('v1, v2, v3, v4, v5 and 2 more are on this host');
});
