import { expect, test } from 'vitest';
import { changeService, rollBack } from '../../src/spec/change.ts';
import type { Service, UpdateStatus } from '../../src/spec/service.ts';
import { currentVersion, withCurrentVersion } from '../../src/spec/versions.ts';
import { seededRandom } from '../../src/util/random.ts';
import { sampleContainer, sampleNode, sampleService, sampleTemplate } from '../../test/samples.ts';
import { viewOf } from '../store/view.ts';
import { acted } from './actions.ts';

const caller = { by: 'carol', now: 5, random: seededRandom(1) };
const view = viewOf({ nodes: [sampleNode('a')] });
const web = sampleService('web');
const ofImage = (image: string) =>
  sampleService('web', { task: sampleTemplate({ container: sampleContainer({ image }) }) }).spec;
const second = changeService(web, ofImage('two'), { cause: 'up', ...caller });
const status: UpdateStatus = {
  id: 'u',
  state: 'updating',
  specVersion: 2,
  startedAt: 0,
  message: 'update in progress',
};
const rolling: Service = { ...second, updateStatus: status };

test('a rollback by hand returns to the last completed version, in the name of who asked', () => {
  const back = acted(view, rolling, 'rollback', caller);
  expect(back.spec).toEqual(web.spec);
  expect(currentVersion(back)).toMatchObject({ version: 3, cause: 'rollback', by: 'carol', restores: 1 });
});

test('a rollback to nothing, or to what is there already, is refused', () => {
  expect(() => acted(view, web, 'rollback', caller)).toThrow(
    'Cannot roll back app_web: no version before version 1 was completed',
  );
  const back = rollBack(rolling, { cause: 'failure', now: 5, random: caller.random }, 'web.1 failed');
  expect(() => acted(view, back, 'rollback', caller)).toThrow(
    'Cannot roll back app_web: version 3 is what version 1 was',
  );
});

test('a rollback to what used something that is gone is refused by its name', () => {
  const secrets = [{ name: 'key', target: '/run/secrets/key', uid: 0, gid: 0, mode: 0o444 }];
  const task = sampleTemplate({ container: sampleContainer({ secrets }) });
  const rollbackTarget = { version: 1, spec: { ...web.spec, task } };
  expect(() => acted(view, { ...rolling, rollbackTarget }, 'rollback', caller)).toThrow(
    'Cannot roll back app_web: secret key, which version 1 used, is gone',
  );
});

test('a restart is a version that rolls; what is stopped cannot be restarted', () => {
  const restarted = acted(view, web, 'restart', caller);
  expect(restarted).toMatchObject({ specVersion: 2, spec: { task: { forceUpdate: 1 } } });
  expect(currentVersion(restarted)).toMatchObject({ cause: 'restart', by: 'carol' });
  expect(() => acted(view, { ...web, stopped: true }, 'restart', caller)).toThrow('it is stopped');
});

test('a rollout is paused and goes on; one that had failed is tried again', () => {
  const held = acted(view, rolling, 'pause', caller);
  expect(held.updateStatus).toMatchObject({ state: 'paused', message: 'update paused: asked for by carol' });
  expect(acted(view, held, 'pause', caller)).toBe(held);
  expect(acted(view, held, 'resume', caller).updateStatus).toMatchObject({ state: 'updating' });
  const failed = withCurrentVersion(held, { state: 'failed', failure: 'web.1 failed', endedAt: 4 });
  const again = currentVersion(acted(view, failed, 'resume', caller));
  expect(again).toMatchObject({ state: 'rolling', failure: undefined });
  expect(() => acted(view, web, 'pause', caller)).toThrow('no update of it is under way');
  expect(() => acted(view, web, 'resume', caller)).toThrow('no update of it is paused');
});

test('a stop keeps the spec, and a start takes it back', () => {
  const stopped = acted(view, web, 'stop', caller);
  expect(stopped).toEqual({ ...web, stopped: true, changedBy: 'carol' });
  expect(acted(view, stopped, 'stop', caller)).toBe(stopped);
  expect(acted(view, stopped, 'start', caller)).toEqual({ ...web, changedBy: 'carol' });
  expect(acted(view, web, 'start', caller)).toBe(web);
});
