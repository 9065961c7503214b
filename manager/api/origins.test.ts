import { expect, test } from 'vitest';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { ProjectOrigin } from '../../src/spec/project-origin.ts';
import { seededRandom } from '../../src/util/random.ts';
import type { ApplicationSummary, ApplyResult } from '../../src/wire/api.ts';
import { sampleService } from '../../test/samples.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { startTestManager } from '../testing.ts';
import { planApply } from './apply.ts';
import { planForget } from './origins.ts';

const here: ProjectOrigin = { machine: 'desk', folder: '/home/ann/app' };
const there: ProjectOrigin = { machine: 'desk', folder: '/home/ben/app' };

function application(origin?: ProjectOrigin, keys = ['web']): ApplicationSpec {
  const services = keys.map((key) => sampleService(key).spec);
  const rest = { name: 'app', networks: [], volumes: [], secrets: [], configs: [] };
  return { ...rest, services, ...(origin && { origin }) };
}

/** An application that was brought up from `origin`. */
function applied(origin?: ProjectOrigin) {
  const view = viewOf({});
  const random = seededRandom(1);
  const plan = (spec: ApplicationSpec, more: { takesOver?: boolean; removeOrphans?: boolean } = {}) =>
    planApply(view, spec, { now: 2, by: 'bob', random, ...more });
  applyPlan(view, [plan(application(origin)).group]);
  const origins = () => view.applications.values().toArray();
  return { view, plan, origins };
}

test('where an application was brought up from is remembered with it', () => {
  expect(applied(here).origins()).toMatchObject([{ id: 'app', origin: here }]);
});

test('a change from another place is refused with both places and how to go on', () => {
  const { plan } = applied(here);
  expect(() => plan(application(there, ['web', 'wiki']))).toThrow(
    expect.objectContaining({
      code: 'failed_precondition',
      message:
        'Cannot bring up app: it was brought up from /home/ann/app on desk, and this is /home/ben/app on desk',
      next: expect.stringMatching(/moved.*--yes.*another name/) as string,
      details: { otherOrigin: here },
    }),
  );
});

test('what another place takes over belongs to it', () => {
  const { view, plan, origins } = applied(here);
  const { group, otherOrigin } = plan(application(there, ['wiki']), { takesOver: true, removeOrphans: true });
  expect(otherOrigin).toEqual(here);
  applyPlan(view, [group]);
  expect(origins()).toMatchObject([{ origin: there }]);
  expect(() => plan(application(here))).toThrow('Cannot bring up app');
});

test('the same from another place changes nothing, and is not asked about', () => {
  const { plan } = applied(here);
  expect(plan(application(there))).toMatchObject({ group: [] });
});

test('an application of which it was not known is of the place that tells first', () => {
  const { view, plan, origins } = applied();
  expect(origins()).toEqual([]);
  applyPlan(view, [plan(application(here)).group]);
  expect(origins()).toMatchObject([{ origin: here }]);
  expect(plan(application(undefined, ['web', 'wiki'])).group).toHaveLength(1);
});

test('the same place by another way is told by the latest way', () => {
  const repository = { remote: 'host/app', path: '' };
  const runner = { machine: 'runner-1', folder: '/builds/app', repository };
  const { view, plan, origins } = applied({ ...here, repository });
  applyPlan(view, [plan(application(runner, ['web', 'wiki'])).group]);
  expect(origins()).toMatchObject([{ origin: runner }]);
});

test('what is being removed is nobody’s any more, but a volume that stays is', () => {
  const { view, plan } = applied(here);
  const service = view.serviceByName('app_web')!;
  applyPlan(view, [[{ kind: 'service', action: 'update', object: { ...service, removing: true } }]]);
  expect(plan(application(there, ['wiki'])).group).toHaveLength(2);
  const meta = { id: 'volume', createdAt: 0, updatedAt: 0, revision: 0 };
  const object = { ...meta, spec: { name: 'app_data', application: 'app', labels: {} } };
  applyPlan(view, [[{ kind: 'volume', action: 'create', object }]]);
  expect(() => plan(application(there, ['wiki']))).toThrow('Cannot bring up app');
});

test('the place is forgotten with the last that there is of the application', () => {
  const { view, origins } = applied(here);
  expect(planForget(view)).toEqual([]);
  const object = view.serviceByName('app_web')!;
  applyPlan(view, [[{ kind: 'service', action: 'delete', object }]]);
  applyPlan(view, planForget(view));
  expect(origins()).toEqual([]);
});

test('over the API a dry run tells of the other place, and an apply that takes over is let through', async () => {
  await using manager = await startTestManager();
  const put = (query: string, spec: ApplicationSpec) =>
    manager.client.request<ApplyResult>('PUT', `/applications/app${query}`, spec);
  await put('', application(here));
  const other = application(there, ['web', 'wiki']);
  expect((await put('?dryRun=true', other)).otherOrigin).toEqual(here);
  await expect(put('', other)).rejects.toMatchObject({ details: { otherOrigin: here } });
  await put('?takeOver=true', other);
  const list = await manager.client.request<ApplicationSummary[]>('GET', '/applications');
  expect(list).toMatchObject([{ name: 'app', origin: there }]);
});

test('what is told of a place is bounded', async () => {
  await using manager = await startTestManager();
  const bad: unknown[] = [
    { ...here, machine: 'm'.repeat(256) },
    { ...here, folder: `/${'f'.repeat(4_096)}` },
    { ...here, folder: 'home' },
    { ...here, repository: { remote: 'r'.repeat(513), path: '' } },
    { ...here, more: 1 },
  ];
  for (const origin of bad) {
    const spec = { ...application(), origin };
    await expect(manager.client.request('PUT', '/applications/app', spec)).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  }
});
