import { expect, test } from 'vitest';
import type { VersionState } from '../../src/spec/service.ts';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import { versionedName } from '../../src/spec/names.ts';
import type { FileSpec, VolumeDriverOptions } from '../../src/spec/resource.ts';
import type { FileReference, ServiceSpec } from '../../src/spec/service.ts';
import { seededRandom } from '../../src/util/random.ts';
import {
  sampleContainer,
  sampleNetwork,
  sampleService,
  sampleSpec,
  sampleTask,
  sampleTemplate,
} from '../../test/samples.ts';
import { viewOf, type MutableView } from '../store/view.ts';
import { planApply, planRemove } from './apply.ts';
import { planCleanup } from './janitor.ts';
import { usersByName } from './users.ts';
import { validateApplication } from './validate.ts';

const meta = (id: string, createdAt = 0) => ({ id, createdAt, updatedAt: 0, revision: 0 });
const none = { networks: [], volumes: [], secrets: [], configs: [] };
const reference = (name: string): FileReference => ({ name, target: '/f', uid: 0, gid: 0, mode: 0o444 });

/** A service `shop_web` that uses one of each by its external name. */
function user(changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return sampleSpec('web', {
    name: 'shop_web',
    application: 'shop',
    task: sampleTemplate({
      networks: [{ name: 'proxy', aliases: [] }],
      container: sampleContainer({
        mounts: [{ type: 'volume', source: 'kept', target: '/d', readOnly: false }],
        secrets: [reference('key')],
        configs: [reference('page')],
      }),
    }),
    ...changes,
  });
}

function application(changes: Partial<ApplicationSpec> = {}): ApplicationSpec {
  const external = { networks: ['proxy'], volumes: ['kept'], secrets: ['key'], configs: ['page'] };
  return { name: 'shop', services: [user()], ...none, external, ...changes };
}

const byCommand = (name: string, data = 'eA=='): FileSpec => ({ name, labels: {}, data });

function everything(driverOptions?: VolumeDriverOptions): MutableView {
  const network = sampleNetwork('n', undefined, { spec: { name: 'proxy', labels: {}, internal: false } });
  return viewOf({
    networks: [network],
    volumes: [{ ...meta('v'), spec: { name: 'kept', labels: {}, ...(driverOptions && { driverOptions }) } }],
    secrets: [{ ...meta('s'), spec: byCommand('key') }],
    configs: [{ ...meta('c'), spec: byCommand('page') }],
  });
}

const plan = (view: MutableView, spec: ApplicationSpec) =>
  planApply(view, spec, { now: 1, random: seededRandom(1) });

function plannedContainer(view: MutableView, spec: ApplicationSpec) {
  const [change] = plan(view, spec).group.filter(({ kind }) => kind === 'service');
  return (change!.object as { spec: ServiceSpec }).spec.task.container;
}

test('everything external that is missing is named at once, and nothing is planned', () => {
  expect(() => plan(viewOf({}), application())).toThrow(
    expect.objectContaining({
      code: 'not_found',
      message:
        'Cannot apply shop: of what it calls external there are no network proxy, volume kept, secret key, config page',
      next: 'Run `shoal network create proxy`, `shoal volume create kept`, `shoal secret create key FILE`, `shoal config create page FILE`, or `shoal up` for the application that makes them.',
    }),
  );
});

test('what is there is used, and is no part of the application', () => {
  const { changes } = plan(everything(), application());
  expect(changes).toMatchObject([{ kind: 'service', name: 'shop_web', action: 'create' }]);
  expect(plannedContainer(everything(), application())).toMatchObject({ secrets: [{ name: 'key' }] });
});

test('a network that is being removed is missing', () => {
  const view = everything();
  view.put('network', { ...view.networkByName('proxy')!, removing: true });
  expect(() => plan(view, application())).toThrow(/there is no network proxy/);
});

test('an application cannot call its own network external', () => {
  const view = everything();
  const network = view.networkByName('proxy')!;
  view.put('network', { ...network, spec: { ...network.spec, application: 'shop' } });
  expect(() => plan(view, application())).toThrow(/and that is its own/);
});

test('the name of another application’s secret means the version that it uses', () => {
  const view = everything();
  view.remove('secret', 's');
  const names = ['old', 'new'].map((text) => versionedName('other', 'key', Buffer.from(text)));
  for (const [index, name] of names.entries()) {
    view.put('secret', { ...meta(name, index), spec: { ...byCommand(name), application: 'other' } });
  }
  view.put('secret', { ...meta('x', 9), spec: { ...byCommand('other_key-more'), application: 'other' } });
  const secrets = [reference('other_key')];
  const spec = application({
    services: [user({ task: sampleTemplate({ container: sampleContainer({ secrets }) }) })],
    external: { ...none, secrets: ['other_key'] },
  });
  expect(plannedContainer(view, spec).secrets[0]?.name).toBe(names[1]);
  const task = sampleTemplate({ container: sampleContainer({ secrets: [reference(names[0]!)] }) });
  view.put('service', sampleService('db', { name: 'other_db', application: 'other', task }));
  expect(plannedContainer(view, spec).secrets[0]?.name).toBe(names[0]);
});

test('tasks are told what a volume mounts, whoever made the volume', () => {
  const options = { type: 'nfs', o: 'addr=192.0.2.1', device: ':/v' };
  expect(plannedContainer(everything(options), application()).mounts).toMatchObject([
    { source: 'kept', driverOptions: options },
  ]);
  const volumes = [{ name: 'kept', application: 'shop', labels: {}, driverOptions: options }];
  const own = application({ volumes, external: { ...application().external!, volumes: [] } });
  const view = (mounted: VolumeDriverOptions | undefined, owner: string | undefined) => {
    const all = everything(mounted);
    const kept = all.volumes.values().find(({ spec }) => spec.name === 'kept')!;
    all.put('volume', { ...kept, spec: { ...kept.spec, ...(owner && { application: owner }) } });
    return all;
  };
  expect(plannedContainer(view(options, 'shop'), own).mounts).toMatchObject([{ driverOptions: options }]);
  expect(() => plan(view(undefined, 'shop'), own)).toThrow(/Cannot change what volume kept mounts/);
  expect(() => plan(view(options, 'other'), own)).toThrow(
    'Cannot make volume kept: other has one of this name',
  );
  expect(() => plan(view(options, undefined), own)).toThrow(
    'Cannot make volume kept: `shoal volume create` made one of this name',
  );
});

test('content that another has under a versioned name is not mixed up', () => {
  const name = versionedName('shop', 'key', Buffer.from('x'));
  const view = viewOf({
    secrets: [{ ...meta('s'), spec: { ...byCommand(name, 'eXl5'), application: 'shop' } }],
  });
  const secrets = [{ name, application: 'shop', labels: {}, data: 'eA==' }];
  expect(() => plan(view, { name: 'shop', services: [], ...none, secrets })).toThrow(/with another content/);
});

test.each([
  ['an external name that is not listed', { external: none }, /proxy is not part of the application/],
  ['a mount’s options, which come from the volume', { services: [withOptions()] }, /must match|not known/],
  [
    'a volume that cannot be mounted',
    { volumes: [{ name: 'v', application: 'shop', labels: {}, driverOptions: { o: 'bind', device: 'x' } }] },
    /is relative/,
  ],
])('the API refuses %s', (_, changes, message) => {
  expect(() => validateApplication(application(changes))).toThrow(message);
  expect(validateApplication(application())).toMatchObject({ name: 'shop' });
});

function withOptions(): ServiceSpec {
  const spec = user();
  Object.assign(spec.task.container.mounts[0]!, { driverOptions: { device: '/x', o: 'bind' } });
  return spec;
}

/** The network `app_front` of `app`, which `shop_web` uses too. */
function shared(changes: Parameters<typeof sampleService>[2] = {}): MutableView {
  const task = sampleTemplate({ networks: [{ name: 'app_front', aliases: [] }] });
  return viewOf({
    networks: [sampleNetwork('front')],
    services: [
      sampleService('web', { task }),
      sampleService('shop', { name: 'shop_web', application: 'shop', task }, changes),
    ],
  });
}

test('an application whose network another one uses is not removed, nor the network', () => {
  const used = /shop_web on network app_front/;
  expect(() => planRemove(shared(), 'app')).toThrow(used);
  const services = [sampleSpec('web')];
  expect(() => plan(shared(), { name: 'app', services, ...none })).toThrow(used);
  expect(planRemove(shared(), 'shop').changes).toEqual([
    { kind: 'service', name: 'shop_web', action: 'remove' },
  ]);
});

test('an application goes when the others that use its network are going', () => {
  expect(planRemove(shared({ removing: true }), 'app').changes).toHaveLength(2);
});

test('a service uses what it may be rolled back to, until its update is completed', () => {
  const users = (state: VersionState) => {
    const versions = [{ version: 2, cause: 'up' as const, state, createdAt: 0 }];
    const rollbackTarget = { version: 1, spec: user() };
    const view = viewOf({ services: [sampleService('web', {}, { rollbackTarget, versions })] });
    return usersByName(view, 'secret').get('key');
  };
  expect(users('proposed')).toEqual([{ application: 'app', service: 'app_web', isLeaving: false }]);
  expect(users('rolling')).toHaveLength(1);
  expect(users('failed')).toHaveLength(1);
  expect(users('completed')).toBeUndefined();
});

test('a task that has not ended uses what it was made with, though its service does not any more', () => {
  const service = sampleService('web');
  const task = sampleTask(service, 1, { template: user().task });
  const users = (state: 'running' | 'failed') => {
    const status = { ...task.status, state };
    return usersByName(viewOf({ services: [service], tasks: [{ ...task, status }] }), 'volume').get('kept');
  };
  expect(users('running')).toEqual([{ application: 'app', service: 'app_web', isLeaving: true }]);
  expect(users('failed')).toBeUndefined();
});

test('what was made by a command is not cleaned up', () => {
  const view = everything();
  view.put('secret', { ...meta('a'), spec: { ...byCommand('app_key-1'), application: 'app' } });
  expect(planCleanup(view).flat()).toMatchObject([{ action: 'delete', object: { id: 'a' } }]);
});
