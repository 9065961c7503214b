import { expect, test } from 'vitest';
import { shownApplication, shownService, shownStatus, shownTask, shownWish } from '../../test/cli-samples.ts';
import type { Service, ServiceVersion } from '../spec/service.ts';
import type { ServiceStatus, TaskInfo } from '../wire/api.ts';
import { settleMs } from './convergence.ts';
import { actionVerdict, assess, scaleVerdict, stopVerdict, verdictOn } from './verdict.ts';

const later = settleMs + 1;
const asked = { id: 'web', name: 'shop_web', version: 2, replicas: 2 };

/** A version as it is after it was made. */
function version(number: number, changes: Partial<ServiceVersion> = {}): ServiceVersion {
  return { version: number, cause: 'up', state: 'completed', createdAt: 0, by: 'bob', ...changes };
}

const verdict = (
  versions: ServiceVersion[],
  changes: Partial<Service> = {},
  status: Partial<ServiceStatus> = {},
) => verdictOn(asked, shownStatus({ service: shownService({ versions, ...changes }), ...status }), later);

test('a command is done when its version runs, and has failed when that fails', () => {
  expect(verdict([version(2)])).toEqual({ state: 'converged' });
  expect(verdict([version(2)], {}, { converged: false })).toEqual({ state: 'converging' });
  const failure = 'web.1 ended with exit code 1, 3 times in a row';
  expect(verdict([version(2)], {}, { failure })).toEqual({ state: 'failed', reason: failure });
});

test('a version that somebody else has put in its place is told with who it was', () => {
  const overtaken = (reason: string) => ({ state: 'overtaken', reason });
  expect(verdict([version(2), version(3)])).toEqual(
    overtaken('it was changed to version 3 by bob meanwhile'),
  );
  expect(verdict([version(2), version(3, { cause: 'rollback', restores: 1 })])).toEqual(
    overtaken('it was rolled back to version 1 by bob meanwhile'),
  );
  expect(verdict([version(9), version(10)])).toEqual(
    overtaken('it was changed to version 10 by bob meanwhile'),
  );
});

test('a service that is scaled, removed or made anew meanwhile is not what was asked for', () => {
  const mode = { kind: 'replicated' as const, replicas: 5 };
  const scaled = shownService({ versions: [version(2)], changedBy: 'carol' });
  const status = shownStatus({ service: { ...scaled, spec: { ...scaled.spec, mode } } });
  expect(verdictOn(asked, status, later)).toEqual({
    state: 'overtaken',
    reason: 'it was scaled to 5 by carol meanwhile',
  });
  expect(verdict([version(2)], { removing: true, changedBy: 'carol' })).toEqual({
    state: 'overtaken',
    reason: 'it is being removed by carol',
  });
  expect(verdictOn(asked, undefined, later)).toMatchObject({ state: 'overtaken' });
  expect(verdict([version(2)], { id: 'other' })).toMatchObject({ state: 'overtaken' });
});

test('a restart, by hand or with a dependency, is waited for: it makes the same once more', () => {
  for (const cause of ['restart', 'dependency'] as const) {
    const versions = [version(2, { state: 'superseded' }), version(3, { cause })];
    expect(verdict(versions)).toEqual({ state: 'converged' });
    expect(verdict(versions, {}, { converged: false })).toEqual({ state: 'converging' });
  }
});

const failed = version(2, { state: 'failed', failure: 'web.1 failed: exit code 7' });
const rollback = version(3, { cause: 'failure', restores: 1, by: undefined });

test('a version that was rolled back has failed once the rollback has ended, with why', () => {
  expect(verdict([failed, rollback], {}, { converged: false })).toEqual({ state: 'converging' });
  const reason = 'the update failed and was rolled back to version 1: web.1 failed: exit code 7';
  expect(verdict([failed, rollback])).toEqual({ state: 'failed', reason });
  expect(verdict([failed, rollback, version(4)], {}, { converged: false })).toEqual({
    state: 'failed',
    reason,
  });
  const paused = 'the rollback is paused: web.1 failed';
  expect(verdict([failed, rollback], {}, { failure: paused })).toEqual({
    state: 'failed',
    reason: `the update failed: web.1 failed: exit code 7; ${paused}`,
  });
});

test('what came after a version that was rolled back is judged by itself', () => {
  const versions = [failed, rollback, version(4)];
  const status = shownStatus({ service: shownService({ versions }) });
  expect(verdictOn({ ...asked, version: 4 }, status, later)).toEqual({ state: 'converged' });
  expect(verdictOn({ ...asked, version: 3 }, status, later)).toMatchObject({ state: 'overtaken' });
});

test('a scale is reached when as many slots are served as asked for, whichever version they run', () => {
  const scaled = (changes: Partial<ServiceStatus>) =>
    scaleVerdict(
      { id: 'web', replicas: 2 },
      shownStatus({ running: 0, converged: false, ...changes }),
      later,
    );
  const failure = 'the update is paused: web.1 failed';
  expect(scaled({ failure })).toEqual({ state: 'converged' });
  expect(scaled({ failure, serving: 1 })).toEqual({ state: 'failed', reason: failure });
  expect(scaled({ leaving: 1 })).toEqual({ state: 'converging' });
});

test('a restart or rollback is not overtaken by another scale, but by another version', () => {
  const restarted = shownService({ versions: [version(2, { cause: 'restart' })] });
  const mode = { kind: 'replicated' as const, replicas: 5 };
  const scaled = { ...restarted, spec: { ...restarted.spec, mode }, changedBy: 'carol' };
  expect(actionVerdict(restarted, shownStatus({ service: scaled }), later)).toEqual({ state: 'converged' });
  const changed = { ...restarted, versions: [version(2, { cause: 'restart' }), version(3)] };
  expect(actionVerdict(restarted, shownStatus({ service: changed }), later)).toMatchObject({
    state: 'overtaken',
  });
});

test('a service is stopped when all its tasks have ended, and started again by who did it', () => {
  const stopped = shownService({ stopped: true });
  const none = { desired: 0, running: 0, serving: 0 };
  expect(stopVerdict(stopped, shownStatus({ service: stopped, ...none }))).toEqual({ state: 'converged' });
  const ending = shownStatus({ service: stopped, ...none, converged: false });
  expect(stopVerdict(stopped, ending)).toEqual({ state: 'converging' });
  expect(stopVerdict(stopped, shownStatus({ service: shownService({ changedBy: 'bob' }) }))).toEqual({
    state: 'overtaken',
    reason: 'it was started again by bob meanwhile',
  });
  const asUp = verdictOn({ ...asked, version: 1 }, shownStatus({ service: stopped }), later);
  expect(asUp).toEqual({ state: 'overtaken', reason: 'it was stopped meanwhile' });
});

const wish = shownWish();

test('an application is done when every service has converged or failed, and names those that failed', () => {
  const broken = shownStatus({ converged: false, failure: 'Cannot pull image web: not found' });
  expect(assess(shownApplication([broken]), later, wish)).toEqual({
    done: true,
    failures: [{ service: 'shop_web', reason: 'Cannot pull image web: not found' }],
    overtaken: [],
  });
  const waiting = shownStatus({ converged: false, running: 1 });
  expect(assess(shownApplication([waiting]), later, wish).done).toBe(false);
  expect(assess(shownApplication([]), later, wish)).toMatchObject({
    done: true,
    overtaken: [{ service: 'shop_web', reason: 'it was removed meanwhile' }],
  });
});

test('an application is not done while a service that left the file is still there', () => {
  const gone = shownService({ id: 'db', removing: true });
  const leaving = shownStatus({ service: { ...gone, spec: { ...gone.spec, name: 'shop_db' } } });
  expect(assess(shownApplication([shownStatus(), leaving]), later, wish).done).toBe(false);
});

test('an earlier failure of an unchanged service does not count while it is tried again', () => {
  const failure = 'Cannot pull image web: not found';
  const rejected = { ...shownTask(1, { state: 'rejected' }), revision: 5 };
  const trying = shownTask(1, { state: 'preparing' });
  const status = (tasks: TaskInfo[]) =>
    shownApplication([shownStatus({ converged: false, running: 0, failure, tasks })]);
  const kept = (revision: number) => shownWish({ isKept: true }, revision);
  expect(assess(status([trying, rejected]), later, kept(6)).done).toBe(false);
  expect(assess(status([trying, rejected]), later, kept(4)).failures).toHaveLength(1); // it failed since
  expect(assess(status([rejected]), later, kept(6)).failures).toHaveLength(1); // nothing more is tried
  expect(assess(status([trying, rejected]), later, wish).failures).toHaveLength(1); // the service is new
});
