import { expect, test } from 'vitest';
import { sampleService, sampleSpec, sampleTemplate } from '../../test/samples.ts';
import { seededRandom } from '../util/random.ts';
import { canRollBack, changeService, createService, resumeUpdate, rollBack } from './change.ts';
import type { Service, ServiceSpec, UpdateStatus } from './service.ts';
import { currentVersion, versionsMax, withCurrentVersion } from './versions.ts';

const random = seededRandom(1);
const meta = { id: 'web', createdAt: 0, updatedAt: 0, revision: 0 };
const origin = (by: string, now: number) => ({ cause: 'up' as const, by, now, random });
const ofImage = (forceUpdate: number, changes: Partial<ServiceSpec> = {}) =>
  sampleSpec('web', { task: sampleTemplate({ forceUpdate }), ...changes });
const first = createService(meta, ofImage(1), origin('alice', 1));
const completed = (service: Service) => withCurrentVersion(service, { state: 'completed' });
const states = ({ versions }: Service) => versions.map(({ version, state }) => `${version} ${state}`);
const replicas = (count: number) => ({ mode: { kind: 'replicated' as const, replicas: count } });

test('another scale is no version, another port is one that rolls nothing, another template is one that rolls', () => {
  const scaled = changeService(first, { ...first.spec, ...replicas(3) }, origin('bob', 2));
  expect(states(scaled)).toEqual(['1 rolling']);
  expect(scaled.changedBy).toBe('bob');
  const port = { target: 80, protocol: 'tcp' as const, mode: 'ingress' as const };
  const moved = changeService(completed(first), { ...first.spec, ports: [port] }, origin('bob', 2));
  expect(states(moved)).toEqual(['1 completed', '2 proposed']);
  expect(moved.specVersion).toBe(1);
  expect(changeService(first, ofImage(2), origin('bob', 2)).specVersion).toBe(2);
});

test('a version that is not completed when the next one comes is superseded, and is nothing to return to', () => {
  const second = changeService(completed(first), ofImage(2), origin('bob', 2));
  const third = changeService(second, ofImage(3), origin('carol', 3));
  expect(states(third)).toEqual(['1 completed', '2 superseded', '3 proposed']);
  expect(third.rollbackTarget).toEqual({ version: 1, spec: first.spec });
});

test('a rollback brings the last completed version back, with the scale that the service has by now', () => {
  const second = changeService(completed(first), ofImage(2), origin('bob', 2));
  const scaled = { ...second, spec: { ...second.spec, ...replicas(5) } };
  const back = rollBack(scaled, { cause: 'failure', now: 3, random }, 'web.1 failed');
  expect(back).toMatchObject({
    spec: { ...first.spec, ...replicas(5) },
    specVersion: 3,
    updateStatus: { state: 'rollback_started', failure: 'web.1 failed', specVersion: 3 },
    rollbackTarget: { version: 1 },
  });
  expect(back.versions.slice(1)).toMatchObject([
    { version: 2, state: 'failed', failure: 'web.1 failed', by: 'bob' },
    { version: 3, state: 'rolling', cause: 'failure', restores: 1 },
  ]);
  expect(currentVersion(back)).not.toHaveProperty('by');
  expect(canRollBack(back)).toBe(false);
});

test('a completed version that a person takes back can be brought back the same way', () => {
  const second = completed(changeService(completed(first), ofImage(2), origin('bob', 2)));
  const back = rollBack(second, { cause: 'rollback', by: 'carol', now: 3, random });
  expect(states(back)).toEqual(['1 completed', '2 completed', '3 rolling']);
  expect(back.rollbackTarget).toEqual({ version: 2, spec: second.spec });
  const forth = rollBack(completed(back), { cause: 'rollback', by: 'carol', now: 4, random });
  expect(forth.spec).toEqual(second.spec);
  expect(currentVersion(forth)).toMatchObject({ version: 4, restores: 2, by: 'carol' });
});

test('a restart that fails returns to what was restarted; a person returns to what was there before the change', () => {
  const second = completed(changeService(completed(first), ofImage(5), origin('bob', 2)));
  const spec = { ...second.spec, task: { ...second.spec.task, forceUpdate: 6 } };
  const restarted = changeService(second, spec, { ...origin('bob', 3), cause: 'restart' });
  const failed = rollBack(restarted, { cause: 'failure', now: 4, random }, 'web.1 failed');
  expect(failed.spec).toEqual(second.spec);
  expect(currentVersion(failed)).toMatchObject({ version: 4, restores: 2 });
  const back = rollBack(completed(restarted), { cause: 'rollback', by: 'bob', now: 4, random });
  expect(back.spec).toEqual(first.spec);
  const third = changeService(restarted, ofImage(9), origin('carol', 4));
  expect(third.rollbackTarget).toEqual({ version: 2, spec: second.spec });
});

test('ports alone are rolled back without rolling any task', () => {
  const port = { target: 80, protocol: 'tcp' as const, mode: 'ingress' as const };
  const second = changeService(completed(first), { ...first.spec, ports: [port] }, origin('bob', 2));
  const back = rollBack(second, { cause: 'rollback', by: 'bob', now: 3, random });
  expect(back).toMatchObject({ specVersion: 1, spec: { ports: [] } });
  expect(back.updateStatus).toBeUndefined();
});

test('a paused update goes on under another id, also when all but the template was changed', () => {
  const status: UpdateStatus = {
    id: 'u',
    state: 'paused',
    specVersion: 1,
    startedAt: 0,
    message: 'update paused: web.1 failed',
    failure: 'web.1 failed',
  };
  const paused = sampleService('web', {}, { updateStatus: status });
  const goesOn = { state: 'updating', specVersion: 1, message: 'update in progress' };
  for (const service of [
    resumeUpdate(paused, random),
    changeService(paused, { ...paused.spec, labels: { a: 'b' } }, origin('bob', 2)),
  ]) {
    expect(service.updateStatus).toMatchObject(goesOn);
    expect(service.updateStatus?.id).not.toBe('u');
    expect(service.updateStatus).not.toHaveProperty('failure');
  }
  expect(resumeUpdate(first, random)).toBe(first);
});

test('only the newest versions are remembered', () => {
  let service = first;
  for (let count = 2; count <= versionsMax + 3; count++) {
    service = changeService(service, ofImage(count), origin('bob', count));
  }
  expect(service.versions).toHaveLength(versionsMax);
  expect(currentVersion(service).version).toBe(versionsMax + 3);
});
