import { describe, expect, test } from 'vitest';
import type { ApplicationSpec } from '../../src/spec/application.ts';
import type { Network } from '../../src/spec/network.ts';
import { versionedName } from '../../src/spec/names.ts';
import type { Service, ServiceSpec } from '../../src/spec/service.ts';
import { seededRandom } from '../../src/util/random.ts';
import type { ApplyResult } from '../../src/wire/api.ts';
import { sampleService, sampleTask, sampleTemplate } from '../../test/samples.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { startTestManager, until } from '../testing.ts';
import { planApply, planRemove } from './apply.ts';
import { planCleanup } from './janitor.ts';
import { validateApplication } from './validate.ts';

const data = Buffer.from('secret').toString('base64');
const secretName = versionedName('app', 'key', Buffer.from('secret'));
const file = { application: 'app', labels: {}, data };

/** `web` on a network, with a volume and a secret. */
function application(changes: Partial<ServiceSpec> = {}): ApplicationSpec {
  const { container } = sampleTemplate();
  const task = sampleTemplate({
    networks: [{ name: 'app_front', aliases: [] }],
    container: {
      ...container,
      mounts: [{ type: 'volume', source: 'app_data', target: '/data', readOnly: false }],
      secrets: [{ name: secretName, target: '/run/secrets/key', uid: 0, gid: 0, mode: 0o444 }],
    },
  });
  return {
    name: 'app',
    services: [{ ...sampleService('web').spec, task, ...changes }],
    networks: [{ name: 'app_front', application: 'app', labels: {}, internal: false }],
    volumes: [{ name: 'app_data', application: 'app', labels: {} }],
    secrets: [{ name: secretName, ...file }],
    configs: [],
  };
}

const changed = ({ changes }: Pick<ApplyResult, 'changes'>) =>
  changes.map(({ kind, action }) => `${action} ${kind}`).sort();

function applied() {
  const view = viewOf({});
  const random = seededRandom(1);
  applyPlan(view, [planApply(view, application(), { now: 1, by: 'alice', random }).group]);
  const plan = (spec: ApplicationSpec, removeOrphans = false) =>
    planApply(view, spec, { now: 2, by: 'bob', random, removeOrphans });
  return { view, plan };
}

test('a new application is made whole', () => {
  const { view } = applied();
  expect(view.serviceByName('app_web')).toMatchObject({
    specVersion: 1,
    dependenciesMet: false,
    removing: false,
  });
  expect([view.networks.size, view.volumes.size, view.secrets.size]).toEqual([1, 1, 1]);
});

test('the same application again writes nothing', () => {
  const { plan } = applied();
  const again = plan(JSON.parse(JSON.stringify(application())) as ApplicationSpec);
  expect(again.group).toEqual([]);
  expect(changed(again)).toEqual(['keep network', 'keep secret', 'keep service', 'keep volume']);
});

test('another replica count changes the service, but makes no new version', () => {
  const { view, plan } = applied();
  const scaled = plan(application({ mode: { kind: 'replicated', replicas: 5 } }));
  expect(changed(scaled)).toContain('update service');
  applyPlan(view, [scaled.group]);
  expect(view.serviceByName('app_web')).toMatchObject({ specVersion: 1, spec: { mode: { replicas: 5 } } });
  expect(view.serviceByName('app_web')).toMatchObject({ versions: [{ version: 1 }], changedBy: 'bob' });
});

describe('a service that keeps its scale', () => {
  const scaled = (changes: Partial<ServiceSpec> = {}) => {
    const { view, plan } = applied();
    applyPlan(view, [plan(application({ mode: { kind: 'replicated', replicas: 5 } })).group]);
    return plan({ ...application(changes), keepsScale: ['app_web'] });
  };

  test('has as many replicas as before, and that is told as nothing new', () => {
    expect(changed(scaled())).toContain('keep service');
  });

  test('is scaled by its file where it cannot have as many, or has another mode', () => {
    const modes = [scaled({ containerName: 'only' }), scaled({ mode: { kind: 'global' } })].map(({ group }) =>
      group.flatMap(({ kind, object }) => (kind === 'service' ? [object.spec.mode] : [])),
    );
    expect(modes).toEqual([[application().services[0]!.mode], [{ kind: 'global' }]]);
  });

  test('is new with what its file says', () => {
    const { plan } = applied();
    const spec = application({ name: 'app_new', key: 'new' });
    const made = plan({ ...spec, keepsScale: ['app_new'] }).group.find(({ action }) => action === 'create');
    expect(made).toMatchObject({ object: { spec: { mode: spec.services[0]!.mode } } });
  });
});

test('another task template makes a new version, which rolls; what was never completed is not returned to', () => {
  const { view, plan } = applied();
  const { task } = application().services[0]!;
  applyPlan(view, [plan(application({ task: { ...task, forceUpdate: 1 } })).group]);
  expect(view.serviceByName('app_web')).toMatchObject({
    specVersion: 2,
    versions: [
      { version: 1, state: 'superseded', by: 'alice', endedAt: 2 },
      { version: 2, state: 'proposed', by: 'bob' },
    ],
  });
  expect(view.serviceByName('app_web')).not.toHaveProperty('rollbackTarget');
});

test('what is no longer in the file is left with its networks, and named', () => {
  const { view, plan } = applied();
  const other = { ...sampleService('other').spec };
  const result = plan({ ...application(), services: [other], networks: [], volumes: [], secrets: [] });
  expect(changed(result)).toEqual(['create service', 'orphan service']);
  applyPlan(view, [result.group]);
  expect(view.serviceByName('app_web')?.removing).toBe(false);
});

test('what is no longer in the file is marked for removal where that is asked for; volumes stay', () => {
  const { view, plan } = applied();
  const other = { ...sampleService('other').spec };
  const spec = { ...application(), services: [other], networks: [], volumes: [], secrets: [] };
  const result = plan(spec, true);
  expect(changed(result)).toEqual(['create service', 'remove network', 'remove service']);
  applyPlan(view, [result.group]);
  expect(view.serviceByName('app_web')?.removing).toBe(true);
  expect(view.networkByName('app_front')?.removing).toBe(true);
  expect(view.volumes.size).toBe(1);
});

test('a name that is being removed is not made anew', () => {
  const { view, plan } = applied();
  applyPlan(view, [planRemove(view, 'app', 'carol').group]);
  expect(plan(application()).beingRemoved.sort()).toEqual(['app_front', 'app_web']);
});

test('a name that another application has is refused', () => {
  const { plan } = applied();
  const spec = application();
  spec.name = 'other';
  for (const each of [...spec.services, ...spec.networks]) each.application = 'other';
  expect(() => plan(spec)).toThrow(/app has one of this name/);
});

test.each([
  [{ subnet: '10.1.0.0/16' }, /Cannot change the subnet/],
  [{ range: '10.1.5.0/24' }, /Cannot change the ip_range/],
  [{ mtuBytes: 1400 }, /Cannot change the MTU/],
])('%j of a network cannot change in place', (change, refusal) => {
  const { plan } = applied();
  const spec = application();
  Object.assign(spec.networks[0]!, change);
  expect(() => plan(spec)).toThrow(refusal);
});

test('secrets are deleted once no spec, earlier spec or live task refers to them', () => {
  const { view } = applied();
  const service = view.serviceByName('app_web')!;
  expect(planCleanup(view)).toEqual([]);
  const rollbackTarget = { version: 1, spec: service.spec };
  const bare: Service = { ...service, rollbackTarget, spec: sampleService('web').spec };
  view.put('service', bare);
  expect(planCleanup(view)).toEqual([]);
  view.remove('service', service.id);
  view.put('task', sampleTask(service, 1, { status: { state: 'running', at: 0, message: '' } }));
  expect(planCleanup(view)).toEqual([]);
  view.put('task', sampleTask(service, 1, { status: { state: 'shutdown', at: 0, message: '' } }));
  expect(planCleanup(view)).toMatchObject([[{ kind: 'secret', action: 'delete' }]]);
});

test.each([
  [
    '/services/0/task/placement/constraints/0',
    (spec: ApplicationSpec) => spec.services[0]!.task.placement.constraints.push('node.x ~ 1'),
  ],
  [
    '/services/0/task/placement/spread/0',
    (spec: ApplicationSpec) => (spec.services[0]!.task.placement.spread = ['zone']),
  ],
  ['/services/0/task/networks/0', (spec: ApplicationSpec) => (spec.networks = [])],
  ['/services/0/task/container/secrets/0', (spec: ApplicationSpec) => (spec.secrets = [])],
  ['/services/0/task/container/mounts/0', (spec: ApplicationSpec) => (spec.volumes = [])],
  [
    '/services/0/mode',
    (spec: ApplicationSpec) => (spec.services[0]!.mode = { kind: 'replicated', replicas: -1 }),
  ],
  ['/services/0/name', (spec: ApplicationSpec) => (spec.services[0]!.name = 'app_other')],
  ['/networks/0/subnet', (spec: ApplicationSpec) => (spec.networks[0]!.subnet = '10.1.0.0/99')],
  ['/networks/0/range', (spec: ApplicationSpec) => (spec.networks[0]!.range = 'here')],
  [
    '/services/0/mode',
    (spec: ApplicationSpec) =>
      Object.assign(spec.services[0]!, { containerName: 'one', mode: { kind: 'global' } }),
  ],
  [
    '/services/0/links/0',
    (spec: ApplicationSpec) => (spec.services[0]!.links = [{ alias: 'a', service: 'b' }]),
  ],
  [
    '/services/0/task/networks/0/address',
    (spec: ApplicationSpec) => (spec.services[0]!.task.networks[0]!.address = '10.1.0.5'),
  ],
  [
    '/services/0/task/networks/0/address',
    (spec: ApplicationSpec) => {
      Object.assign(spec.networks[0]!, { subnet: '10.1.0.0/16', reserved: ['10.1.0.5'] });
      spec.services[0]!.task.networks[0]!.address = '10.1.0.5';
    },
  ],
  [
    '/services/0/task/networks/0/address',
    (spec: ApplicationSpec) => {
      spec.networks[0]!.subnet = '10.1.0.0/16';
      spec.services[0]!.update = { ...spec.services[0]!.update, order: 'start-first' };
      spec.services[0]!.task.networks[0]!.address = '10.1.0.5';
    },
  ],
  ['/secrets/0/name', (spec: ApplicationSpec) => (spec.secrets[0]!.data = 'b3RoZXI=')],
  ['/secrets/0/data', (spec: ApplicationSpec) => (spec.secrets[0]!.data = 'ä')],
  ['/services/0', (spec: ApplicationSpec) => Object.assign(spec.services[0]!, { priviledged: true })],
])('a mistake is refused with its path %s', (path, spoil) => {
  const spec = application();
  spoil(spec);
  const where = expect.stringContaining(path) as string;
  expect(() => validateApplication(spec)).toThrow(expect.objectContaining({ details: { path: where } }));
});

test('apply writes the application in one transaction, and a dry run writes nothing', async () => {
  await using manager = await startTestManager();
  const { revision } = manager.database.view;
  const dry = await manager.client.request<ApplyResult>(
    'PUT',
    '/applications/app?dryRun=true',
    application(),
  );
  expect(changed(dry)).toContain('create service');
  expect(manager.database.view.revision).toBe(revision);
  await manager.client.request('PUT', '/applications/app', application());
  expect(manager.database.view.revision).toBe(revision + 1);
  expect(manager.database.view.services.size).toBe(1);
});

test('a bad application is refused, and nothing is written', async () => {
  await using manager = await startTestManager();
  const { revision } = manager.database.view;
  const bad = { ...application(), networks: [] };
  const answer = manager.client.request('PUT', '/applications/app', bad);
  await expect(answer).rejects.toMatchObject({ code: 'invalid_argument' });
  expect(manager.database.view.revision).toBe(revision);
});

test('two applies of the same new application at once make it once', async () => {
  await using manager = await startTestManager();
  const put = () => manager.client.request<ApplyResult>('PUT', '/applications/app', application());
  await Promise.all([put(), put(), put()]);
  expect(manager.database.view.services.size).toBe(1);
  expect(manager.database.view.networks.size).toBe(1);
});

test('applying what is just being removed waits until it is gone', async () => {
  await using manager = await startTestManager();
  const { database, client } = manager;
  await client.request('PUT', '/applications/app', application());
  await client.request('DELETE', '/applications/app');
  const applying = client.request<ApplyResult>('PUT', '/applications/app', application());
  const service = await until(() => database.view.serviceByName('app_web'));
  expect(service.removing).toBe(true);
  const network: Network = database.view.networkByName('app_front')!;
  await database.write([
    [{ kind: 'service', action: 'delete', object: service }],
    [{ kind: 'network', action: 'delete', object: network }],
  ]);
  expect(changed(await applying)).toContain('create service');
  expect(database.view.serviceByName('app_web')?.id).not.toBe(service.id);
});
