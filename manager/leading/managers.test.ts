import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Node } from '../../src/spec/node.ts';
import type { Volume } from '../../src/spec/resource.ts';
import { systemClock } from '../../src/util/clock.ts';
import { silentLogger } from '../../src/util/log.ts';
import type { AuditPage } from '../../src/wire/audit.ts';
import { managerServerName } from '../../src/wire/certificates.ts';
import { forwardedHeader } from '../api/forwarded.ts';
import { createClusterStore } from '../store/cluster-store.ts';
import { createMemoryStore } from '../store/memory.ts';
import type { Store, WatchBatch } from '../store/store.ts';
import { TestAgent, until, type TestCredentials } from '../testing.ts';
import { SeveralManagers, type OneManager } from './testing.ts';

let several: SeveralManagers;
let store: Store;
let leader: OneManager;
let follower: OneManager;
/** How late the manager that follows sees what is written. */
let lagMs: number;

async function* late(batches: AsyncIterable<WatchBatch>): AsyncGenerator<WatchBatch> {
  for await (const batch of batches) {
    for (let waitedMs = 0; waitedMs < lagMs; waitedMs += 10) await systemClock.sleep(10);
    yield batch;
  }
}

beforeEach(async () => {
  lagMs = 0;
  store = createMemoryStore();
  // One manager that stops does not close it for the others.
  const shared: Store = {
    lineage: store.lineage,
    get: (key) => store.get(key),
    list: (prefix, options) => store.list(prefix, options),
    page: (after, options) => store.page(after, options),
    transact: (transaction) => store.transact(transaction),
    watch: (prefix, from, signal) => store.watch(prefix, from, signal),
    campaign: (candidate, signal) => store.campaign(candidate, signal),
    watchLeader: (signal) => store.watchLeader(signal),
    close: () => Promise.resolve(),
  };
  const parts = { clock: systemClock, log: silentLogger };
  const behind: Store = {
    ...shared,
    watch: (prefix, from, signal) => late(store.watch(prefix, from, signal)),
  };
  several = await SeveralManagers.start(2, (place) =>
    Promise.resolve(createClusterStore(place === 0 ? shared : behind, 'embedded', parts)),
  );
  [leader, follower] = several.managers as [OneManager, OneManager];
});
afterEach(async () => {
  lagMs = 0;
  await several[Symbol.asyncDispose]();
  await store.close();
});

const volume = (name: string) => ({ name });
const auditText = (manager: OneManager) =>
  readFile(join(manager.folder, 'manager/audit/audit.log'), 'utf8').catch(() => '');

/** What a request with these headers is answered. */
function ask(
  manager: OneManager,
  path: string,
  {
    credentials,
    headers = {},
    method = 'GET',
  }: {
    credentials?: TestCredentials;
    headers?: http.OutgoingHttpHeaders;
    method?: string;
  },
): Promise<http.IncomingMessage> {
  const own = credentials && { cert: credentials.certificatePem, key: credentials.privateKeyPem };
  const { port, ca } = manager.target;
  const target = {
    host: '127.0.0.1',
    port,
    ca,
    servername: managerServerName,
    ...own,
    agent: false as const,
  };
  return new Promise((resolve, reject) => {
    const request = https.request({ ...target, path, method, headers }, (answer) => {
      answer.resume();
      resolve(answer);
    });
    request.on('error', reject);
    request.end();
  });
}

test('what is changed by way of a manager that follows is changed by the one that leads, in the name of who asked', async () => {
  const operator = await several.administrator(follower, 'operator');
  lagMs = 200;
  await follower.call('/api/v1/volumes', operator, volume('data'));
  // Whoever asks the same manager next finds it.
  expect(await follower.client.request<Volume[]>('GET', '/volumes')).toMatchObject([
    { spec: { name: 'data' } },
  ]);
  const { entries } = await follower.client.request<AuditPage>('GET', '/audit');
  const made = entries.filter(({ objects = [] }) => objects.includes('create volume data'));
  expect(made).toMatchObject([
    { caller: { kind: 'administrator', name: operator.name }, from: '127.0.0.2', status: 201 },
  ]);
  expect(await auditText(follower)).not.toContain('create volume');
  expect(await auditText(leader)).toContain('create volume');
});

test('the manager that leads refuses what the caller may not do, whoever passes it on', async () => {
  const viewer = await several.administrator(leader, 'viewer');
  const wish = follower.call('/api/v1/volumes', viewer, volume('data'));
  await expect(wish).rejects.toMatchObject({ code: 'permission_denied' });
  const nobody = follower.call('/api/v1/volumes', undefined, volume('data'));
  await expect(nobody).rejects.toMatchObject({ code: 'unauthenticated' });
  expect(await follower.client.request('GET', '/volumes')).toEqual([]);
});

test('a certificate that the following manager does not know yet is left to the one that leads', async () => {
  lagMs = 500;
  const worker = await several.join(leader, 'worker');
  const { privateKeyPem, certificatePem } = await several.administrator(leader, 'viewer');
  const credentials = { privateKeyPem, certificatePem };
  // The answer is that of the manager that leads, which has seen the new node.
  expect(await follower.call('/api/v1/nodes', credentials)).toHaveLength(3);
  expect(await follower.call('/leave', worker)).toMatchObject({ tasks: 0 });
});

test.each(['local', 'administrator root', `administrator a ${'0'.repeat(64)}`, 'node x'])(
  'nobody but a manager says that it asks for another: %s',
  async (who) => {
    const headers = { [forwardedHeader]: `192.0.2.1 ${who}` };
    const worker = await several.join(leader, 'worker');
    const admin = await several.administrator(leader, 'admin');
    for (const manager of [leader, follower]) {
      for (const credentials of [worker, admin, undefined]) {
        const { statusCode } = await ask(manager, '/api/v1/tokens', { credentials, headers });
        expect(statusCode).toBe(403);
      }
    }
    const asked = new Promise<http.IncomingMessage>((resolve) => {
      const socketPath = join(follower.folder, 'manager.sock');
      http.get({ socketPath, path: '/api/v1/nodes', headers }, (answer) => resolve(answer.resume()));
    });
    expect((await asked).statusCode).toBe(403);
  },
);

test('a manager asks for another, who is known to the one that leads or not at all', async () => {
  const credentials = follower.identity;
  const of = async (who: string) => {
    const headers = { [forwardedHeader]: who };
    return (await ask(leader, '/api/v1/tokens', { credentials, headers })).statusCode;
  };
  expect(await of('192.0.2.1 anonymous')).toBe(401);
  expect(await of('192.0.2.1 node gone')).toBe(401);
  expect(await of(`192.0.2.1 node ${follower.identity.nodeId}`)).toBe(403);
  expect(await of('192.0.2.1 nonsense')).toBe(400);
  expect(await of('- local')).toBe(200);
});

test('what was passed on is not passed on again', async () => {
  const headers = { [forwardedHeader]: '- local' };
  const credentials = leader.identity;
  const answer = await ask(follower, '/api/v1/tokens', { credentials, headers });
  expect([answer.statusCode, answer.headers['shoal-not-leading']]).toEqual([503, 'true']);
});

test('another manager takes over, and requests wait for it', async () => {
  const leaving = leader.stop();
  const made = follower.client.request<Volume>('POST', '/volumes', volume('data'));
  await leaving;
  expect(await made).toMatchObject({ spec: { name: 'data' } });
  const { entries } = await follower.client.request<AuditPage>('GET', '/audit');
  expect(entries.filter(({ path }) => path === '/api/v1/volumes')).toHaveLength(1);
});

test("an agent's session and streams go by way of a manager that follows, and end with the term", async () => {
  const worker = await several.join(follower, 'worker');
  const agent = await TestAgent.open(follower.target, worker);
  await agent.greet('192.0.2.77');
  const { status } = await follower.client.request<Node>('GET', `/nodes/${worker.nodeId}`);
  expect(status.state).toBe('ready');
  const copies = follower.client.request('GET', '/volumes?copies=true');
  expect(await copies).toEqual([]);
  await leader.stop();
  await until(() => agent.closed);
  const again = await TestAgent.open(follower.target, worker);
  await again.greet('192.0.2.77');
  again.close();
});

test('a removed node loses the session that another manager passes on', async () => {
  const worker = await several.join(leader, 'worker');
  const agent = await TestAgent.open(follower.target, worker);
  await agent.greet('192.0.2.78');
  await leader.client.request('PATCH', `/nodes/${worker.nodeId}`, { availability: 'drain' });
  await leader.client.request('DELETE', `/nodes/${worker.nodeId}`);
  await until(() => agent.closed);
});

test('a removed administrator loses what another manager passes on', async () => {
  const { name, ...credentials } = await several.administrator(leader, 'viewer');
  const path = '/api/v1/applications/app/watch';
  const answer = await ask(follower, path, { credentials });
  expect(answer.statusCode).toBe(200);
  // Only the manager that leads sees in time that the administrator is gone.
  lagMs = 60_000;
  const over = new Promise((resolve) => answer.once('close', resolve));
  await leader.client.request('DELETE', `/administrators/${name}`);
  await over;
});

test('a question for a revision waits until the manager has come to it', async () => {
  await leader.client.request('POST', '/volumes', volume('data'));
  const answer = await ask(leader, '/api/v1/nodes', {
    credentials: await several.administrator(leader, 'viewer'),
  });
  const revision = Number(answer.headers['shoal-revision']);
  expect(revision).toBeGreaterThan(0);
  const volumes = await follower.client.request<Volume[]>('GET', `/volumes?revision=${revision}`);
  expect(volumes).toHaveLength(1);
  const late = follower.client.request('GET', `/volumes?revision=${revision + 1_000}`);
  await expect(late).rejects.toMatchObject({ code: 'unavailable' });
});

test('a watch goes by way of a manager that follows, and breaks off when another one leads', async () => {
  const lines: unknown[] = [];
  const reading = (async () => {
    for await (const line of follower.client.stream('/applications/app/watch')) lines.push(line);
  })();
  const broken = expect(reading).rejects.toMatchObject({ code: 'unavailable' });
  await until(() => lines.length > 0);
  await leader.stop();
  await broken;
});
