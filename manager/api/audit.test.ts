import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sampleService, sampleTask } from '../../test/samples.ts';
import type { AuditPage } from '../../src/wire/audit.ts';
import { createKeyAndRequest, formatJoinToken, parseJoinToken } from '../../src/wire/certificates.ts';
import { startTestManager, type TestManager } from '../testing.ts';

const secret = Buffer.from('nobody-may-read-this').toString('base64');

async function entries(manager: TestManager) {
  return (await manager.client.request<AuditPage>('GET', '/audit?limit=1000')).entries;
}

test('a change is in the log with who, what, from where and how it ended', async () => {
  await using manager = await startTestManager();
  const operator = await manager.administrator('operator');
  await manager.call('/api/v1/secrets', operator, { name: 'key', data: secret });
  await expect(manager.call('/api/v1/secrets', operator, { name: 'key', data: secret })).rejects.toThrow();
  await manager.client.request('DELETE', '/secrets/key');
  expect(await entries(manager)).toMatchObject([
    {
      id: 1,
      caller: { kind: 'administrator', name: operator.name, role: 'operator' },
      from: expect.stringContaining('127.0.0.1') as string,
      method: 'POST',
      path: '/api/v1/secrets',
      objects: ['create secret key'],
      status: 201,
    },
    { objects: ['create secret key'], status: 409, error: 'already_exists' },
    { caller: { kind: 'local' }, method: 'DELETE', path: '/api/v1/secrets/key', status: 200 },
  ]);
});

test('an application is in the log by what changed, and reads are not in it', async () => {
  await using manager = await startTestManager();
  const application = { name: 'app', services: [], networks: [], secrets: [], configs: [] };
  const volumes = [{ name: 'app_data', application: 'app', labels: {} }];
  await manager.client.request('PUT', '/applications/app?dryRun=true', { ...application, volumes });
  await manager.client.request('PUT', '/applications/app', { ...application, volumes });
  await manager.client.request('PUT', '/applications/app', { ...application, volumes });
  await manager.client.request('GET', '/nodes');
  const [dry, first, second, ...more] = await entries(manager);
  expect(dry).toMatchObject({ objects: ['dry run'] });
  expect(first).toMatchObject({ path: '/api/v1/applications/app', objects: ['create volume app_data'] });
  expect(second).not.toHaveProperty('objects');
  expect(more).toEqual([]);
});

test('what is refused is in the log, reads too, and so is who reads the tokens', async () => {
  await using manager = await startTestManager();
  const viewer = await manager.administrator('viewer');
  const worker = await manager.join('worker');
  const refused = [
    manager.call('/api/v1/nodes'),
    manager.call('/api/v1/nodes', worker),
    manager.call('/api/v1/tokens', viewer),
  ];
  for (const each of refused) await expect(each).rejects.toThrow();
  await manager.client.request('DELETE', `/administrators/${viewer.name}`);
  await expect(manager.call('/api/v1/nodes', viewer)).rejects.toThrow();
  await manager.client.request('GET', '/tokens');
  const all = await entries(manager);
  const found = all.map(({ caller, path, status }) => ({ ...caller, path, status }));
  expect(found).toEqual(
    expect.arrayContaining([
      { kind: 'anonymous', path: '/api/v1/nodes', status: 401 },
      { kind: 'node', name: worker.nodeId, role: 'worker', path: '/api/v1/nodes', status: 403 },
      { kind: 'administrator', name: viewer.name, role: 'viewer', path: '/api/v1/tokens', status: 403 },
      { kind: 'anonymous', revoked: viewer.name, path: '/api/v1/nodes', status: 401 },
      { kind: 'local', path: '/api/v1/tokens', status: 200 },
    ]),
  );
});

test('neither secrets nor tokens nor the arguments of commands are in the files', async () => {
  await using manager = await startTestManager();
  const { certificateRequestPem } = await createKeyAndRequest();
  const token = manager.token('worker');
  await manager.client.request('POST', '/secrets', { name: 'key', data: secret });
  await manager.call('/join', undefined, { token, certificateRequestPem, hostname: 'host' });
  const wrong = formatJoinToken({ ...parseJoinToken(token), secret: 'z'.repeat(25) });
  const attempt = manager.call('/join', undefined, { token: wrong, certificateRequestPem, hostname: 'host' });
  await expect(attempt).rejects.toThrow();
  const web = sampleService('web');
  const task = sampleTask(web, 1, { nodeId: 'gone', status: { state: 'running', at: 0, message: '' } });
  await manager.database.write([[{ kind: 'task', action: 'create', object: task }]]);
  const command = ['mysql', '-phidden-argument'];
  const exec = manager.client.exec(task.id, { command, tty: false, environment: { PASSWORD: 'hidden-too' } });
  await expect(exec).rejects.toThrow();
  const last = (await entries(manager)).at(-1);
  expect(last).toMatchObject({ objects: ['exec mysql in app_web.1'], error: 'unavailable' });
  await manager.audit.stop();
  const folder = join(manager.folder, 'audit');
  const text = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('');
  expect(text).toContain('join worker');
  const hidden = [
    secret,
    'nobody-may-read',
    'hidden-argument',
    'hidden-too',
    'zzzzz',
    parseJoinToken(token).secret,
  ];
  for (const each of hidden) expect(text).not.toContain(each);
  expect(text).not.toContain('BEGIN');
});
