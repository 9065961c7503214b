import { X509Certificate } from 'node:crypto';
import { get, Agent } from 'node:https';
import { expect, test } from 'vitest';
import { administratorsMax, type AdministratorRole } from '../../src/spec/administrator.ts';
import { systemClock } from '../../src/util/clock.ts';
import { sampleAdministrator, sampleService } from '../../test/samples.ts';
import { createKeyAndRequest, managerServerName } from '../../src/wire/certificates.ts';
import { startTestManager, type TestCredentials, type TestManager } from '../testing.ts';

const year = 366 * 24 * 60 * 60 * 1000;

async function creation(name: string, role: string, lifeMs?: number) {
  const { certificateRequestPem } = await createKeyAndRequest();
  return { name, role, lifeMs, certificateRequestPem };
}

/** An answer that stays open, and how it ends. */
function openWatch(manager: TestManager, { certificatePem, privateKeyPem }: TestCredentials) {
  const opened = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  const target = {
    host: '127.0.0.1',
    port: manager.port,
    path: '/api/v1/logs?application=app&service=web&follow=true',
    agent: new Agent({
      ca: manager.database.view.cluster!.certificateAuthority.certificatePem,
      cert: certificatePem,
      key: privateKeyPem,
      servername: managerServerName,
    }),
  };
  get(target, (answer) => {
    answer.resume();
    if (answer.statusCode === 200) opened.resolve();
    else opened.reject(new Error(`answered ${answer.statusCode}`));
    answer.on('error', (error) => ended.resolve(error.message));
    answer.on('end', () => ended.resolve('end'));
  }).on('error', opened.reject);
  return { opened: opened.promise, ended: ended.promise };
}

const application = {
  name: 'app',
  services: [],
  networks: [],
  volumes: [{ name: 'app_data', application: 'app', labels: {} }],
  secrets: [],
  configs: [],
};

test.each([
  ['viewer', [true, false, false]],
  ['operator', [true, true, false]],
  ['admin', [true, true, true]],
] as [AdministratorRole, boolean[]][])('%s may what the role says and no more', async (role, may) => {
  await using manager = await startTestManager();
  const who = await manager.administrator(role);
  const attempts = [
    () => manager.call('/api/v1/nodes', who),
    () => manager.call('/api/v1/applications/app', who, application, 'PUT'),
    () => manager.call('/api/v1/tokens', who),
  ];
  for (const [index, attempt] of attempts.entries()) {
    if (may[index]) await expect(attempt()).resolves.toBeDefined();
    else await expect(attempt()).rejects.toMatchObject({ code: 'permission_denied' });
  }
});

test('the certificate names the administrator and the role, and ends when it was asked to', async () => {
  await using manager = await startTestManager();
  const before = systemClock.now();
  const { certificatePem, name } = await manager.administrator('operator', 3_600_000);
  const certificate = new X509Certificate(certificatePem);
  expect(certificate.subject.split('\n')).toEqual([
    `O=${manager.database.view.cluster!.clusterId}`,
    'OU=administrator',
    'OU=operator',
    `CN=${name}`,
  ]);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(certificate.checkHost(managerServerName)).toBeUndefined();
  expect(Math.abs(certificate.validToDate.getTime() - before - 3_600_000)).toBeLessThan(10_000);
});

test('a removed administrator is refused at once, and the name can be given again to another', async () => {
  await using manager = await startTestManager();
  const old = await manager.administrator('admin');
  await manager.client.request('DELETE', `/administrators/${old.name}`);
  await expect(manager.call('/api/v1/version', old)).rejects.toMatchObject({
    code: 'unauthenticated',
    message: expect.stringContaining('revoked') as string,
  });
  await manager.client.request('POST', '/administrators', await creation(old.name, 'admin'));
  await expect(manager.call('/api/v1/version', old)).rejects.toMatchObject({ code: 'unauthenticated' });
});

test('removing an administrator ends what is open, and leaves that of others open', async () => {
  await using manager = await startTestManager();
  const service = sampleService('web');
  await manager.database.write([[{ kind: 'service', action: 'create', object: service }]]);
  const [revoked, other] = [await manager.administrator('viewer'), await manager.administrator('viewer')];
  const [first, second] = [openWatch(manager, revoked), openWatch(manager, other)];
  const results = await Promise.allSettled([first.opened, second.opened]);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  await manager.client.request('DELETE', `/administrators/${revoked.name}`);
  expect(await first.ended).toMatch(/aborted|reset|closed/);
  const still = await Promise.race([second.ended, Promise.resolve('open')]);
  expect(still).toBe('open');
});

test('removing a node ends its agent session', async () => {
  await using manager = await startTestManager();
  const worker = await manager.join('worker');
  const agent = await manager.agent(worker);
  await manager.client.request('DELETE', `/nodes/${worker.nodeId}`);
  await expect.poll(() => agent.closed).toBe(true);
});

test('nobody makes a second administrator of a name, one with a wrong name, or one for ever', async () => {
  await using manager = await startTestManager();
  const make = async (name: string, role = 'viewer', lifeMs?: number) =>
    await manager.client.request('POST', '/administrators', await creation(name, role, lifeMs));
  await make('alice');
  await expect(make('alice')).rejects.toMatchObject({ code: 'already_exists' });
  for (const [name, role, lifeMs] of [
    ['Alice\u001b[2J', 'viewer', undefined],
    ['bob', 'root', undefined],
    ['bob', 'viewer', year + 1],
    ['bob', 'viewer', 0],
  ] as const) {
    await expect(make(name, role, lifeMs)).rejects.toMatchObject({ code: 'invalid_argument' });
  }
  expect(manager.database.view.administrators.size).toBe(1);
});

test('no more administrators are made than the limit', async () => {
  await using manager = await startTestManager();
  const objects = Array.from({ length: administratorsMax }, (_, index) => sampleAdministrator(`a${index}`));
  await manager.database.write([
    objects.map((object) => ({ kind: 'administrator' as const, action: 'create' as const, object })),
  ]);
  await expect(
    manager.client.request('POST', '/administrators', await creation('last', 'viewer')),
  ).rejects.toMatchObject({ code: 'resource_exhausted' });
});

test('an administrator cannot remove the one that asks', async () => {
  await using manager = await startTestManager();
  const admin = await manager.administrator('admin');
  const answer = manager.call(`/api/v1/administrators/${admin.name}`, admin, undefined, 'DELETE');
  await expect(answer).rejects.toMatchObject({ code: 'failed_precondition' });
});
