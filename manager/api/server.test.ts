import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { oddRequests, sendRaw } from '../../test/odd-requests.ts';
import { Audit } from '../audit/audit.ts';
import { viewOf } from '../store/view.ts';
import { startTestManager } from '../testing.ts';
import { createApiServer } from './server.ts';
import { soleSite } from './site.ts';

test('a worker certificate cannot call the API', async () => {
  await using manager = await startTestManager();
  const worker = await manager.join('worker');
  await expect(manager.call('/api/v1/tokens', worker)).rejects.toMatchObject({ code: 'permission_denied' });
  await expect(manager.call('/api/v1/nodes', worker)).rejects.toMatchObject({ code: 'permission_denied' });
});

test('the certificate of a manager node opens agent sessions, not the API', async () => {
  await using manager = await startTestManager();
  const identity = await manager.join('manager');
  await expect(manager.call('/api/v1/nodes', identity)).rejects.toMatchObject({ code: 'permission_denied' });
  await (await manager.agent(identity)).greet();
});

test('without a certificate only the CA can be read', async () => {
  await using manager = await startTestManager();
  await expect(manager.call('/api/v1/version')).rejects.toMatchObject({ code: 'unauthenticated' });
  await expect(manager.call('/ca')).resolves.toContain('BEGIN CERTIFICATE');
});

test('a certificate of another cluster is nobody here', async () => {
  await using manager = await startTestManager();
  await using other = await startTestManager();
  const foreign = await other.administrator('admin');
  await expect(manager.call('/api/v1/version', foreign)).rejects.toMatchObject({ code: 'unauthenticated' });
});

test('the certificate of a removed node is nobody any more', async () => {
  await using manager = await startTestManager();
  const worker = await manager.join('worker');
  await manager.client.request('DELETE', `/nodes/${worker.nodeId}`);
  await expect(manager.agent(worker)).rejects.toThrow(/401/);
});

test('an agent session needs a certificate', async () => {
  await using manager = await startTestManager();
  const worker = await manager.join('worker');
  const nobody = { ...worker, certificatePem: '', privateKeyPem: '' };
  await expect(manager.agent(nobody)).rejects.toThrow(/401/);
});

test('a connection that resumes its TLS session is still known', async () => {
  await using manager = await startTestManager();
  const identity = await manager.administrator('viewer');
  const agent = new Agent({
    ca: manager.database.view.cluster!.certificateAuthority.certificatePem,
    cert: identity.certificatePem,
    key: identity.privateKeyPem,
    servername: managerServerName,
    keepAlive: false,
  });
  const status = () =>
    new Promise((resolve, reject) => {
      const target = { host: '127.0.0.1', port: manager.port, path: '/api/v1/version', agent };
      get(target, (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode));
      }).on('error', reject);
    });
  expect([await status(), await status(), await status()]).toEqual([200, 200, 200]);
});

test('an unknown path is refused with what to do next', async () => {
  await using manager = await startTestManager();
  await expect(manager.client.request('GET', '/nothing')).rejects.toMatchObject({ code: 'not_found' });
  await expect(manager.client.request('DELETE', '/version')).rejects.toThrow(/does not take this method/);
});

test('whatever a request says, it is answered or its connection ended, and nothing else ends', async () => {
  await using manager = await startTestManager();
  const { port } = manager;
  const doors = {
    local: () => connect(manager.socketPath),
    tls: () =>
      connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: managerServerName }),
  };
  for (const dial of Object.values(doors)) {
    const answers = await Promise.all(oddRequests.map(async (head) => await sendRaw(dial(), head)));
    for (const answer of answers) expect(answer).toMatch(/^(?:HTTP\/1\.1 [45]|$)/);
    expect(await sendRaw(dial(), 'GET // HTTP/1.1')).toMatch(/^HTTP\/1\.1 400.*malformed/s);
  }
  await expect(manager.client.request('GET', '/version')).resolves.toMatchObject({ apiVersion: 'v1' });
});

test('a body that is too large is refused', async () => {
  await using manager = await startTestManager();
  const body = 'x'.repeat(33 * 1024 * 1024);
  await expect(manager.client.request('PUT', '/applications/app', body)).rejects.toThrow(/Cannot/);
  await expect(manager.client.request('GET', '/version')).resolves.toMatchObject({ apiVersion: 'v1' });
});

test('the local socket is for its owner alone, and one that was left behind is replaced', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-manager-'));
  const path = join(folder, 'manager.sock');
  await writeFile(path, '');
  const database = { view: viewOf({}), onChange: () => () => undefined };
  const common = { clock: systemClock, log: silentLogger };
  const audit = await Audit.open({ ...common, folder: join(folder, 'audit') });
  const server = createApiServer({
    site: soleSite({ routes: [], upgrades: [] }),
    database,
    audit,
    ...common,
  });
  await server.listenLocal(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(path).isSocket()).toBe(true);
  await server.stop();
  await audit.stop();
  await rm(folder, { recursive: true });
});
